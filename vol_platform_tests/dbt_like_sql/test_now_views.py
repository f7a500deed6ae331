"""The record continued by the live tail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from vol_platform.clock import utc_now
from vol_platform.derivations.contracts import DerivationContext
from vol_platform.derivations.registry import derive_all
from vol_platform.settings import Settings
from vol_platform.store.client import connect, insert_frame, query_frame
from vol_platform.store.publish import publish_hours
from vol_platform.store.sql_models.tables import table_columns
from vol_platform_tests.derivations import boards

VIEWS = {
    "surfaces_now": "surfaces",
    "options_greeks_now": "options_greeks",
    "term_structure_now": "term_structure",
    "skew_metrics_now": "skew_metrics",
}


@pytest.fixture
def both(database: Settings) -> tuple[Settings, datetime]:
    """Publish one hour to the record; the live view covers it and the next one."""
    hour = utc_now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    shift = hour - boards.MOMENT
    frames = derive_all(boards.raw_frames(), DerivationContext())
    moved = {
        name: frame.with_columns(pl.selectors.datetime() + shift) for name, frame in frames.items()
    }
    with connect(database) as client:
        for table in VIEWS.values():
            rows = moved[table].with_columns(code_version=pl.lit("1"), parameters_hash=pl.lit("p"))
            publish_hours(
                client, table, rows, [hour], run_id="r", code_version="1", parameters_hash="p"
            )
        for after in (timedelta(minutes=30), timedelta(minutes=90)):
            computed = pl.lit(hour + after + timedelta(seconds=1)).cast(pl.Datetime("us", "UTC"))
            common = {
                "snapshot_ts": pl.lit(hour + after).cast(pl.Datetime("ms", "UTC")),
                "computed_ts": computed,
                "code_version": pl.lit("1"),
            }
            insert_frame(client, "live_surfaces", moved["surfaces"].with_columns(**common))
            insert_frame(client, "live_greeks", moved["options_greeks"].with_columns(**common))
            constant = moved["skew_metrics"].filter("is_constant_maturity")
            metrics = constant.unpivot(
                ["atm_vol", "risk_reversal_25", "butterfly_25"], index=["currency", "days"]
            ).select(
                "currency",
                "value",
                metric=pl.format("{}_{}d", "variable", pl.col("days").round(0).cast(pl.Int64)),
            )
            insert_frame(client, "live_metrics", metrics.with_columns(**common))
    return database, hour


@pytest.mark.parametrize("view", VIEWS)
def test_an_hour_comes_from_the_record_or_from_the_live_tail(
    both: tuple[Settings, datetime], view: str
) -> None:
    settings, hour = both
    with connect(settings) as client:
        rows = query_frame(client, f"SELECT DISTINCT snapshot_ts, is_live FROM {view}")  # noqa: S608 - names of our own
    found = {(moment.astimezone(UTC), live) for moment, live in rows.iter_rows()}
    assert found == {(hour, False), (hour + timedelta(minutes=90), True)}


@pytest.mark.parametrize(("view", "table"), VIEWS.items())
def test_a_view_has_the_columns_of_its_table(database: Settings, view: str, table: str) -> None:
    with connect(database) as client:
        held = client.query(f"DESCRIBE TABLE {view}").result_rows
    columns = {column.name: column.type for column in table_columns()[table]}
    del columns["parameters_hash"]
    found = {row[0]: row[1] for row in held}
    assert found.pop("is_live") in {"Bool", "UInt8"}
    assert {
        name: kind.replace("LowCardinality(String)", "String") for name, kind in found.items()
    } == {name: kind.replace("LowCardinality(String)", "String") for name, kind in columns.items()}


def test_the_live_tail_agrees_with_the_record_on_what_both_hold(
    both: tuple[Settings, datetime],
) -> None:
    settings, _ = both
    with connect(settings) as client:
        term = query_frame(client, "SELECT * FROM term_structure_now ORDER BY days")
        skew = query_frame(client, "SELECT * FROM skew_metrics_now ORDER BY days")
    for frame, columns in (
        (term, ["atm_vol", "atm_total_variance"]),
        (skew.filter("is_constant_maturity"), ["atm_vol", "risk_reversal_25", "butterfly_25"]),
    ):
        live, record = frame.filter("is_live"), frame.filter(~pl.col("is_live"))
        assert live.height == record.height
        for column in columns:
            assert (live[column] - record[column]).abs().max() < 1e-12, column  # type: ignore[operator]
    listed = term.filter(~pl.col("is_constant_maturity"))
    live, record = listed.filter("is_live"), listed.filter(~pl.col("is_live"))
    assert (live["forward_vol"] - record["forward_vol"]).abs().max() < 1e-9  # type: ignore[operator]
