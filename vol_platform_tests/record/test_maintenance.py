"""Forgetting old runs, but never one that says that an hour is there."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

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


def test_runs_that_no_hour_needs_go_and_the_others_stay(instance: dg.DagsterInstance) -> None:
    superseded = run(instance, "2026-02-01-00:00")
    newest = run(instance, "2026-02-01-00:00")
    other = run(instance, "2026-02-01-01:00")
    failed = dg.materialize([broken], instance=instance, raise_on_error=False).run_id
    assert prune_runs(instance, timedelta(seconds=-5)) == 2
    left = {record.dagster_run.run_id for record in instance.get_run_records()}
    assert left == {newest, other}
    assert {superseded, failed}.isdisjoint(left)
    held = instance.get_materialized_partitions(table.key)
    assert held == {"2026-02-01-00:00", "2026-02-01-01:00"}


@pytest.mark.parametrize("age", [timedelta(days=1)])
def test_young_runs_stay(instance: dg.DagsterInstance, age: timedelta) -> None:
    run(instance, "2026-02-01-00:00")
    run(instance, "2026-02-01-00:00")
    assert prune_runs(instance, age) == 0


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
