"""Materialise days of minute snapshots from empty, and once more: rate, memory, bytes.

::

    python -m vol_platform_tests.benchmarks backfill --days 30

works in a database of its own (``vol_benchmark``) of the ClickHouse that the settings point at.
Days that are not there are made first, as by the benchmark `fill`.  Every run begins with empty
derived tables.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import dagster as dg
from clickhouse_connect.driver.client import Client

from vol_platform.derivations.registry import REGISTRY
from vol_platform.local.dagster_home import write_dagster_home
from vol_platform.quant import warm_up
from vol_platform.record.run import materialise_hours
from vol_platform.store.client import connect
from vol_platform_tests.benchmarks.fill import (
    DAY,
    SECONDS_BETWEEN_TICKS,
    benchmark_settings,
    count_ticks,
    day_of,
    fill_days,
)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks backfill", description=__doc__)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--hours", type=int, default=24, help="of each day, from midnight")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--last-day",
        type=day_of,
        default=day_of("2026-11-21"),
        help="the others lie before it",
    )
    return parser.parse_args(arguments)


def _contents(client: Client) -> dict[str, tuple[int, int]]:
    """Rows and an order-independent checksum of every derived table."""
    return {
        one.table: tuple(
            client.query(
                f"SELECT count(), sum(cityHash64(tuple(*))) FROM {one.table}"  # noqa: S608 - names of our registry
            ).result_rows[0]
        )
        for one in REGISTRY
    }


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def main(arguments: Sequence[str] = ()) -> None:
    """Make the ticks that are not there, materialise them twice, and print figures."""
    chosen = _options(arguments)
    settings = benchmark_settings(chosen.processes)
    days = [chosen.last_day - number * DAY for number in range(chosen.days)]
    fill_days(settings, days, SECONDS_BETWEEN_TICKS)
    with connect(settings) as client:
        ticks = sum(count_ticks(client, day) for day in days) * chosen.hours // 24
        for one in REGISTRY:
            client.command(f"TRUNCATE TABLE {one.table}")
        client.command("TRUNCATE TABLE derivation_runs")
    hours = [day + timedelta(hours=number) for day in days for number in range(chosen.hours)]
    warm_up()
    print(
        f"{ticks:,} option ticks, {chosen.hours} hours of {chosen.days} days, "
        f"{chosen.processes} processes"
    )
    seen: list[dict[str, tuple[int, int]]] = []
    for name in ("from empty", "again"):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            write_dagster_home(home, 1)
            with dg.DagsterInstance.from_config(folder) as instance:
                before = _megabytes(home)
                start = time.perf_counter()
                report = materialise_hours(settings, hours, instance=instance)
                taken = time.perf_counter() - start
                events = _megabytes(home) - before
        if report.failed:
            raise SystemExit(f"hours failed: {report.failed}")
        with connect(settings) as client:
            seen.append(_contents(client))
            snapshots = int(
                client.query("SELECT uniqExact(snapshot_ts) FROM surfaces").result_rows[0][0]
            )
        print(
            f"{name}: {snapshots:,} snapshots in {taken:.0f} s, {snapshots / taken:.1f} a second; "
            f"event log {events:.1f} MB, {events / len(hours) * 24:.2f} MB a day"
        )
    own, workers = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"peak memory: this process {own:.0f} MiB, its largest child {workers:.0f} MiB")
    rows = sum(count for count, _ in seen[0].values())
    same = "no byte changed" if seen[0] == seen[1] else "THE SECOND RUN CHANGED ROWS"
    print(f"{rows:,} rows in {len(seen[0])} tables; {same}")
    if seen[0] != seen[1]:
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
