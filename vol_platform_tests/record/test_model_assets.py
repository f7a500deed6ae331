"""SQL models and histories as assets: materialised, checked, described."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from vol_platform.derivations.history.registry import HISTORY
from vol_platform.record.engine import materialise
from vol_platform.record.graph import build_definitions
from vol_platform.record.history_assets import history_key
from vol_platform.record.partitions import partition_key
from vol_platform.settings import Settings
from vol_platform.store.client import connect, query_frame
from vol_platform.store.sql_models.loader import load_models
from vol_platform_tests.record.market import insert_live_view, insert_market
from vol_platform_tests.record.ticks import HOUR

MOMENTS = [HOUR, HOUR + timedelta(minutes=1)]


def test_an_hour_runs_through_derivations_and_models_in_one_run(
    database: Settings, instance: dg.DagsterInstance
) -> None:
    insert_market(database, MOMENTS)
    materialise(database, [HOUR], ["surfaces"])
    definitions = build_definitions(database)
    result = definitions.resolve_job_def("record_hours").execute_in_process(
        partition_key=partition_key(HOUR), instance=instance
    )
    assert result.success
    made = {event.asset_key for event in result.get_asset_materialization_events()}
    models = load_models()
    hourly = {one.name for one in models.values() if one.front.materialized == "incremental"}
    assert hourly <= {key.path[-1] for key in made if key}
    evaluations = {
        f"{one.asset_key.path[-1]}/{one.check_name}": one
        for one in result.get_asset_check_evaluations()
    }
    assert all(one.passed for one in evaluations.values())
    tracked = evaluations["mart_dvol_tracking/index_near_dvol"].metadata
    assert tracked["examined_rows"].value == len(MOMENTS)
    assert abs(tracked["mean_difference"].value) < 0.03


def test_histories_and_views_are_replaced_as_a_whole(
    database: Settings, instance: dg.DagsterInstance
) -> None:
    insert_market(database, MOMENTS)
    materialise(database, [HOUR])
    definitions = build_definitions(database)
    result = definitions.resolve_job_def("replace_history").execute_in_process(instance=instance)
    assert result.success
    made = {event.asset_key for event in result.get_asset_materialization_events()}
    assert {history_key(one.name) for one in HISTORY} <= made
    with connect(database) as client:
        regimes = query_frame(client, "SELECT * FROM volatility_regimes")
        chain = query_frame(client, "SELECT count() AS options FROM stg_chain_minute")
    assert regimes["regime"].unique().to_list() == ["unknown"]
    assert regimes.height == 2
    assert chain["options"][0] > 0


def test_a_failing_test_of_a_model_is_a_failed_check_with_a_sample(
    database: Settings, instance: dg.DagsterInstance
) -> None:
    insert_market(database, MOMENTS)
    materialise(database, [HOUR])
    with connect(database) as client:
        insert_live_view(client)
        client.command(
            "ALTER TABLE live_surfaces UPDATE atm_vol = atm_vol + 0.05 WHERE 1 "
            "SETTINGS mutations_sync = 2"
        )
    definitions = build_definitions(database)
    result = definitions.resolve_job_def("record_hours").execute_in_process(
        partition_key=partition_key(HOUR),
        instance=instance,
        asset_selection=[dg.AssetKey(["marts", "live_parity"])],
    )
    assert result.success
    (check,) = [one for one in result.get_asset_check_evaluations() if not one.passed]
    assert check.check_name == "live_matches_record"
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert "BTC" in str(check.metadata["sample"].value)


def test_models_show_columns_lineage_and_statement() -> None:
    graph = build_definitions(Settings()).resolve_asset_graph()
    node = graph.get(dg.AssetKey(["marts", "mart_dvol_tracking"]))
    parents = {key.to_user_string() for key in node.parent_keys}
    assert parents == {"raw/volatility_index", "record/variance_index", "raw/options_quotes"}
    lineage = node.metadata["dagster/column_lineage"].deps_by_column
    assert {dep.asset_key.path[-1] for dep in lineage["difference"]} == {
        "variance_index",
        "volatility_index",
    }
    assert "GROUP BY" in str(node.metadata["statement"].value)
