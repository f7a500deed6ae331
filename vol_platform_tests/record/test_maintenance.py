"""Forgetting old runs, but never one that says that an hour is there."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from vol_platform.record import maintenance
from vol_platform.record.maintenance import prune_runless_events, prune_runs

PARTITIONS = dg.HourlyPartitionsDefinition("2026-02-01-00:00")


@dg.asset(partitions_def=PARTITIONS)
def table() -> None:
    """Hold hours."""


@dg.asset
def broken() -> None:
    """Fail always."""
    raise RuntimeError("no")


def run(instance: dg.DagsterInstance, hour: str) -> str:
    return dg.materialize([table], partition_key=hour, instance=instance).run_id


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("page", [1, 2, 200])
def test_runs_that_no_hour_needs_go_and_the_others_keep_what_the_hours_need(
    tmp_path: Path, on_disk: bool, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_PAGE", page)
    kept = (
        dg.instance_for_test(temp_dir=str(tmp_path)) if on_disk else dg.DagsterInstance.ephemeral()
    )
    with kept as instance:
        newest = run(instance, "2026-02-01-02:00")
        superseded = run(instance, "2026-02-01-00:00")
        second = run(instance, "2026-02-01-00:00")
        failed = dg.materialize([broken], instance=instance, raise_on_error=False).run_id
        third = run(instance, "2026-02-01-01:00")
        assert prune_runs(instance, timedelta(seconds=-5)) == (2, 3)
        left = {record.dagster_run.run_id for record in instance.get_run_records()}
        assert left == {newest, second, third}
        assert {superseded, failed}.isdisjoint(left)
        hours = {f"2026-02-01-0{number}:00" for number in range(3)}
        assert instance.get_materialized_partitions(table.key) == hours
        assert [event.dagster_event_type for event in instance.all_logs(third)] == [
            dg.DagsterEventType.ASSET_MATERIALIZATION
        ]
        assert prune_runs(instance, timedelta(seconds=-5)) == (0, 0)
        # An hour that is computed again lets the run go that held it.
        run(instance, "2026-02-01-01:00")
        assert prune_runs(instance, timedelta(seconds=-5)) == (1, 1)
        assert instance.get_materialized_partitions(table.key) == hours


@pytest.mark.parametrize("age", [timedelta(days=1)])
def test_young_runs_stay(instance: dg.DagsterInstance, age: timedelta) -> None:
    run(instance, "2026-02-01-00:00")
    run(instance, "2026-02-01-00:00")
    assert prune_runs(instance, age) == (0, 0)


@pytest.mark.parametrize("on_disk", [False, True])
def test_events_without_a_run_go_but_the_newest_of_each_hour_stays(
    tmp_path: Path, on_disk: bool
) -> None:
    kept = (
        dg.instance_for_test(temp_dir=str(tmp_path)) if on_disk else dg.DagsterInstance.ephemeral()
    )
    hours = ["2026-02-01-00:00", "2026-02-01-01:00"]
    with kept as instance:
        for _ in range(3):
            for hour in hours:
                instance.report_runless_asset_event(
                    dg.AssetMaterialization("table", partition=hour)
                )
            instance.report_runless_asset_event(dg.AssetObservation("table"))
        run(instance, hours[0])
        assert prune_runless_events(instance, timedelta(days=1)) == 0
        assert prune_runless_events(instance, timedelta(seconds=-5)) == 6
        assert prune_runless_events(instance, timedelta(seconds=-5)) == 0
        assert instance.get_materialized_partitions(table.key) == set(hours)
        events = instance.fetch_materializations(table.key, limit=10).records
        assert len(events) == 3
        # New ones can still be told.
        instance.report_runless_asset_event(dg.AssetMaterialization("table", partition=hours[1]))
        assert len(instance.fetch_materializations(table.key, limit=10).records) == 4
