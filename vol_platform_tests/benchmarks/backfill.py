"""Materialise days of minute snapshots from empty, and once more: rate, memory, bytes.

::

    python -m vol_platform_tests.benchmarks backfill --days 30

works in a database of its own (``vol_benchmark``) of the ClickHouse that the settings point at.
Days that are not there are made first, as by the benchmark `fill`.  ``--boards FOLDER`` imports
recorded boards too, and the same backfill computes their hours.  A run begins with empty derived
tables; ``--go-on`` leaves them, and does what an interrupted run had not done: hours that were
published twice from the same code are done with.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from clickhouse_connect.driver.client import Client

from vol_platform.derivations.registry import REGISTRY
from vol_platform.imports.run import import_boards
from vol_platform.local.dagster_home import write_dagster_home
from vol_platform.quant import warm_up
from vol_platform.record.missing import missing_hours
from vol_platform.record.run import HoursReport, materialise_hours
from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform_tests.benchmarks._footprint import Footprint, listener_of
from vol_platform_tests.benchmarks.fill import (
    DAY,
    SECONDS_BETWEEN_TICKS,
    benchmark_settings,
    count_ticks,
    day_of,
    fill_days,
)

_PUBLISHED_TWICE = """
SELECT hour_ts FROM
(
    SELECT hour_ts, table_name, count() AS times
    FROM derivation_runs GROUP BY hour_ts, table_name
)
GROUP BY hour_ts
HAVING count() = {tables:UInt32} AND min(times) >= 2
"""
_CHANGED = """
SELECT table_name, hour_ts FROM derivation_runs
GROUP BY table_name, hour_ts
HAVING uniqExact(content_checksum, rows) > 1
"""


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
    parser.add_argument(
        "--boards", type=Path, action="append", default=[], help="recorded boards, a file or folder"
    )
    parser.add_argument("--go-on", action="store_true", help="where an earlier run was stopped")
    return parser.parse_args(arguments)


@dataclass
class _Progress:
    """Says after each part how far it is, at what rate, and how long it will take."""

    started: float
    told: int = 0

    def show(self, done: int, wanted: int) -> None:
        """Take note of hours; a line for every 24 of them."""
        if done // 24 == self.told // 24 and done != wanted:
            return
        self.told = done
        taken = time.perf_counter() - self.started
        print(
            f"  {done}/{wanted} hours in {taken:,.0f} s, {done * 60 / taken:.1f} snapshots a "
            f"second, {taken / done * (wanted - done) / 60:.1f} minutes left",
            flush=True,
        )


def _published_twice(client: Client) -> set[datetime]:
    rows = client.query(
        _PUBLISHED_TWICE, parameters={"tables": len(REGISTRY)}, tz_mode="aware"
    ).result_rows
    return {hour.astimezone(UTC) for (hour,) in rows}


def _differences(client: Client) -> list[str]:
    """Tell which hours were published with different rows, and which tables hold other ones."""
    found = [
        f"{table} of {hour:%Y-%m-%d %H}:00 differs"
        for table, hour in client.query(_CHANGED).result_rows
    ]
    for one in REGISTRY:
        held = client.query(
            f"SELECT count(), sum(cityHash64(tuple(*))) FROM {one.table}"  # noqa: S608 - names of our registry
        ).result_rows[0]
        written = client.query(
            "SELECT sum(rows), sum(checksum) FROM (SELECT hour_ts, "
            "argMax(rows, published_ts) AS rows, argMax(content_checksum, published_ts) AS checksum"
            " FROM derivation_runs WHERE table_name = {table:String} GROUP BY hour_ts)",
            parameters={"table": one.table},
        ).result_rows[0]
        if tuple(held) != tuple(written):
            found.append(f"{one.table} holds {held[0]} rows, other ones than were published")
    return found


def _import_boards(client: Client, database: str, paths: Sequence[Path]) -> set[datetime]:
    """Import recorded boards; return the hours that hold their snapshots."""
    results, _ = import_boards(client, database, paths)
    return {hour for result in results for hour in result.hours}


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _materialise(settings: Settings, hours: Sequence[datetime], name: str) -> HoursReport:
    """Materialise the hours with an event log of their own, and print what it took."""
    print(f"{name}: {len(hours)} hours", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_dagster_home(home, 1)
        with (
            dg.DagsterInstance.from_config(folder) as instance,
            Footprint(listener_of(settings.clickhouse.port)) as footprint,
        ):
            before = _megabytes(home)
            start = time.perf_counter()
            report = materialise_hours(
                settings, hours, instance=instance, progress=_Progress(start).show
            )
            taken = time.perf_counter() - start
            events = _megabytes(home) - before
    with connect(settings) as client:
        snapshots = int(
            client.query(
                "SELECT uniqExact(snapshot_ts) FROM surfaces "
                "WHERE toStartOfHour(snapshot_ts) IN {hours:Array(DateTime('UTC'))}",
                parameters={"hours": list(hours)},
            ).result_rows[0][0]
        )
    print(
        f"{name}: {snapshots:,} snapshots in {taken:,.0f} s, {snapshots / taken:.1f} a second; "
        f"event log {events:.1f} MB, {events / len(hours) * 24:.2f} MB a day"
    )
    print(footprint.summary(snapshots), flush=True)
    return report


def main(arguments: Sequence[str] = ()) -> None:
    """Make the ticks that are not there, materialise them twice, and print figures."""
    chosen = _options(arguments)
    settings = benchmark_settings(chosen.processes)
    days = [chosen.last_day - number * DAY for number in range(chosen.days)]
    fill_days(settings, days, SECONDS_BETWEEN_TICKS)
    with connect(settings) as client:
        ticks = sum(count_ticks(client, day) for day in days) * chosen.hours // 24
        if not chosen.go_on:
            for one in REGISTRY:
                client.command(f"TRUNCATE TABLE {one.table}")
            client.command("TRUNCATE TABLE derivation_runs")
        boards = _import_boards(client, settings.clickhouse.database, chosen.boards)
    of_days = {day + timedelta(hours=number) for day in days for number in range(chosen.hours)}
    hours = sorted(of_days | boards)
    warm_up()
    print(
        f"{ticks:,} option ticks, {chosen.hours} hours of {chosen.days} days, "
        f"{len(boards)} hours of recorded boards, {chosen.processes} processes"
    )
    missing = missing_hours(settings, hours)
    failed: dict[datetime, str] = {}
    if missing:
        failed = _materialise(settings, sorted(missing), "from empty").failed
    if not failed:
        with connect(settings) as client:
            twice = _published_twice(client)
        rest = [hour for hour in hours if hour not in twice]
        if rest:
            failed = _materialise(settings, rest, "again").failed
    if failed:
        raise SystemExit(f"{len(failed)} hours failed, --go-on goes on: {failed}")
    with connect(settings) as client:
        differences = _differences(client)
        rows = client.query("SELECT sum(total_rows) FROM system.tables WHERE database = "
            "currentDatabase() AND name IN {tables:Array(String)}",
            parameters={"tables": [one.table for one in REGISTRY]}).result_rows[0][0]  # fmt: skip
    same = "no byte changed" if not differences else "THE SECOND RUN CHANGED ROWS"
    print(f"{rows:,} rows in {len(REGISTRY)} tables; {same}")
    if differences:
        raise SystemExit("\n".join(differences[:20]))


if __name__ == "__main__":
    main(sys.argv[1:])
