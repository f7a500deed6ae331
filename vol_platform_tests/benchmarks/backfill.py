"""Materialise days of minute snapshots from empty, and once more: rate, memory, bytes.

::

    python -m vol_platform_tests.benchmarks backfill --days 30

works in a database of its own (``vol_benchmark``) of the ClickHouse that the settings point at.
The first run simulates a day through the streamer, one tick per option and minute; the other days
are copies of it in the database, each a day earlier with its expiries, so that a month takes
minutes to make.  Every run begins with empty derived tables.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from clickhouse_connect.driver.client import Client

from vol_platform.derivations.registry import REGISTRY
from vol_platform.local.dagster_home import write_dagster_home
from vol_platform.quant import warm_up
from vol_platform.record.run import materialise_hours
from vol_platform.settings import Settings, load_settings
from vol_platform.store.client import connect
from vol_platform.store.migrate import migrate

DATABASE = "vol_benchmark"
DAY = timedelta(days=1)
SECONDS_BETWEEN_TICKS = 60


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks backfill", description=__doc__)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--hours", type=int, default=24, help="of each day, from midnight")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--last-day",
        type=lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC),
        default=datetime(2026, 11, 21, tzinfo=UTC),
        help="the day that is simulated; the others lie before it",
    )
    return parser.parse_args(arguments)


def _count(client: Client, day: datetime) -> int:
    return int(
        client.query(
            "SELECT count() FROM options_quotes WHERE toDate(exchange_ts) = {day:Date}",
            parameters={"day": f"{day:%Y-%m-%d}"},
        ).result_rows[0][0]
    )


def _simulate(settings: Settings, day: datetime) -> None:
    """Fill a day with simulated ticks, through the wire format, the parser and the spool."""
    where = settings.clickhouse
    environment = {
        **os.environ,
        "VOL_STREAMER_CLICKHOUSE__HOST": where.host,
        "VOL_STREAMER_CLICKHOUSE__PORT": str(where.port),
        "VOL_STREAMER_CLICKHOUSE__DATABASE": where.database,
    }
    history = [
        *(sys.executable, "-m", "vol_platform.simulator", "history", "--hours", "24"),
        *("--end", (day + DAY).isoformat(), "--output", "-"),
        *("--seconds-between-ticks", str(SECONDS_BETWEEN_TICKS)),
    ]
    with tempfile.TemporaryDirectory() as spool:
        ingest = [sys.executable, "-m", "streamer.main", "ingest", "-", "--json"]
        ingest += ["--spool-directory", spool]
        with subprocess.Popen(history, stdout=subprocess.PIPE, env=environment) as source:
            subprocess.run(ingest, stdin=source.stdout, env=environment, check=True)


def _forget_listing_times(client: Client) -> None:
    """Forget when options were listed: an option then counts on the days that quote it."""
    client.command(
        "INSERT INTO options_metadata SELECT * REPLACE (CAST(NULL, 'Nullable(DateTime64(3, "
        "''UTC''))') AS creation_ts, seen_ts + INTERVAL 1 HOUR AS seen_ts) "
        "FROM (SELECT * FROM instruments WHERE creation_ts IS NOT NULL)"
    )


def _copy_day(client: Client, base: datetime, days: int) -> None:
    """Copy the base day so many days back, with its expiries and the names that hold them."""
    expiries = [row[0] for row in client.query(_CODES).result_rows]
    values: dict[str, Any] = {
        "base": base,
        "end": base + DAY,
        "days": days,
        "old": expiries,
        "new": [_code(datetime.strptime(code, "%d%b%y") - days * DAY) for code in expiries],  # noqa: DTZ007 - a date of the wire
    }
    moved = ", ".join(
        f"{column} - toIntervalDay({{days:UInt32}}) AS {column}"
        for column in ("exchange_ts", "received_ts")
    )
    named = f"{_renamed('instrument_name')} AS instrument_name"
    underlying = f"{_renamed('underlying_index')} AS underlying_index"
    for table, replaced in (
        ("options_quotes", f"{moved}, {named}, {underlying}"),
        ("futures_prices", f"{moved}, {named}"),
        ("spot_prices", moved),
    ):
        client.command(
            f"INSERT INTO {table} SELECT * REPLACE ({replaced}) FROM (SELECT * FROM {table} "  # noqa: S608 - our own texts
            "WHERE exchange_ts >= {base:DateTime64(3, 'UTC')} "
            "AND exchange_ts < {end:DateTime64(3, 'UTC')})",
            parameters=values,
        )
    client.command(
        f"INSERT INTO options_metadata SELECT * REPLACE ({named}, "  # noqa: S608 - our own texts
        "expiry_ts - toIntervalDay({days:UInt32}) AS expiry_ts) FROM (SELECT * FROM instruments "
        "WHERE kind = 'future' OR instrument_name IN (SELECT instrument_name FROM options_quotes "
        "WHERE exchange_ts >= {base:DateTime64(3, 'UTC')}))",
        parameters=values,
    )


_CODES = """
SELECT DISTINCT splitByChar('-', toString(instrument_name))[2] AS code FROM instruments
WHERE match(code, '^[0-9]+[A-Z]{3}[0-9]{2}$')
"""


def _renamed(column: str) -> str:
    """Return SQL for a name with the date in it moved; other names stay."""
    parts = f"splitByChar('-', toString({column}))"
    return (
        f"arrayStringConcat(arrayMap(part -> transform(part, {{old:Array(String)}}, "
        f"{{new:Array(String)}}, part), {parts}), '-')"
    )


def _code(day: datetime) -> str:
    return f"{day.day}{day:%b%y}".upper()


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
    base = chosen.last_day
    given = load_settings()
    settings = given.model_copy(
        update={
            "clickhouse": given.clickhouse.model_copy(update={"database": DATABASE}),
            "record": given.record.model_copy(update={"processes": chosen.processes}),
        }
    )
    migrate(settings)
    days = [base - number * DAY for number in range(chosen.days)]
    with connect(settings) as client:
        if not _count(client, base):
            _simulate(settings, base)
        _forget_listing_times(client)
        for number, day in enumerate(days):
            if not _count(client, day):
                _copy_day(client, base, number)
        ticks = sum(_count(client, day) for day in days) * chosen.hours // 24
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
