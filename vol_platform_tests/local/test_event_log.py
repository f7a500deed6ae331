"""Dagster's event log with files that stay open."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import dagster as dg

from vol_platform.local.dagster_home import write_dagster_home
from vol_platform.local.event_log import OpenEventLogStorage
from vol_platform.record.maintenance import prune_runs

PARTITIONS = dg.HourlyPartitionsDefinition("2026-02-01-00:00")
HOURS = [f"2026-02-01-{number:02d}:00" for number in range(6)]


@dg.asset(partitions_def=PARTITIONS)
def table() -> None:
    """Hold hours."""


def run(instance: dg.DagsterInstance, hour: str) -> str:
    return dg.materialize([table], partition_key=hour, instance=instance).run_id


def test_what_is_written_is_read_by_dagsters_own_storage(tmp_path: Path) -> None:
    write_dagster_home(tmp_path, 3030)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        storage = instance.event_log_storage
        assert isinstance(storage, OpenEventLogStorage)
        written = {hour: run(instance, hour) for hour in HOURS}
        seen = {id_: len(instance.all_logs(id_)) for id_ in written.values()}
        assert len(storage._open) == 2
    assert not storage._open
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as plain:
        assert not isinstance(plain.event_log_storage, OpenEventLogStorage)
        assert plain.get_materialized_partitions(table.key) == set(HOURS)
        assert {id_: len(plain.all_logs(id_)) for id_ in written.values()} == seen


def test_two_instances_and_many_threads_write_one_log(tmp_path: Path) -> None:
    write_dagster_home(tmp_path, 3030)
    with (
        dg.DagsterInstance.from_config(str(tmp_path)) as one,
        dg.DagsterInstance.from_config(str(tmp_path)) as other,
        ThreadPoolExecutor(4) as pool,
    ):

        def tell(number: int) -> None:
            (one, other)[number % 2].report_runless_asset_event(
                dg.AssetMaterialization("table", partition=HOURS[number % len(HOURS)])
            )

        list(pool.map(tell, range(60)))
        for instance in (one, other):
            assert len(instance.fetch_materializations(table.key, limit=100).records) == 60


def test_old_runs_are_pruned_from_open_files(tmp_path: Path) -> None:
    write_dagster_home(tmp_path, 3030)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        for hour in (*HOURS[:2], HOURS[0]):
            run(instance, hour)
        assert prune_runs(instance, timedelta(seconds=-5)) == (1, 2)
        assert instance.get_materialized_partitions(table.key) == set(HOURS[:2])
        run(instance, HOURS[2])
        assert instance.get_materialized_partitions(table.key) == set(HOURS[:3])
