"""Fill a database of its own with days of simulated ticks, through the streamer's own path.

::

    python -m vol_platform_tests.benchmarks fill --days 30

Each day is ``simulator history --output - | streamer ingest -``: frames of the wire format, the
collector's parser, spool, decoder and writer.  Days are dealt to processes.  A day whose every hour
was closed is not made again, so the same command goes on where it was stopped; what is there of a
day that was interrupted is dropped first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clickhouse_connect.driver.client import Client

from vol_platform.settings import Settings, load_settings
from vol_platform.store.client import connect
from vol_platform.store.migrate import migrate

DATABASE = "vol_benchmark"
DAY = timedelta(days=1)
SECONDS_BETWEEN_TICKS = 48.0
"""Some 2.1 million option ticks a day (1,190 options): more than 60 million in 30 days."""

_TABLES = ("options_quotes", "futures_prices", "spot_prices", "trades")
_SPOOL = {
    # Nobody waits for the rows of a history: segments are full, and not kept when they are stored.
    "VOL_STREAMER_SPOOL__ROLL_SECONDS": "60",
    "VOL_STREAMER_SPOOL__KEEP_DONE_SEGMENTS": "1",
}


def day_of(text: str) -> datetime:
    """Return midnight UTC of a day such as 2026-11-21."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def benchmark_settings(processes: int) -> Settings:
    """Return the settings with the benchmarks' own database."""
    given = load_settings()
    return given.model_copy(
        update={
            "clickhouse": given.clickhouse.model_copy(update={"database": DATABASE}),
            "record": given.record.model_copy(update={"processes": processes}),
        }
    )


def count_ticks(client: Client, day: datetime) -> int:
    """Return how many option ticks a day holds."""
    return int(
        client.query(
            "SELECT count() FROM options_quotes WHERE toDate(exchange_ts) = {day:Date}",
            parameters={"day": f"{day:%Y-%m-%d}"},
        ).result_rows[0][0]
    )


def _is_filled(client: Client, day: datetime) -> bool:
    # The hour after midnight is touched by the last snapshot: it closes with the day.
    answer = client.query(
        "SELECT uniqExact(hour_ts) FROM ingest_hours "
        "WHERE hour_ts >= {first:DateTime('UTC')} AND hour_ts < {end:DateTime('UTC')} "
        "AND collector = {collector:String}",
        parameters={"first": day, "end": day + DAY, "collector": _collector(day)},
    )
    return int(answer.result_rows[0][0]) == 24


def _collector(day: datetime) -> str:
    return f"fill_{day:%Y%m%d}"


def _fill_day(settings: Settings, day: datetime, seconds_between_ticks: float) -> tuple[int, float]:
    """Fill one day; return its option ticks and the seconds that it took."""
    started = time.perf_counter()
    with connect(settings) as client:
        for table in _TABLES:
            client.command(f"ALTER TABLE {table} DROP PARTITION '{day:%Y%m%d}'")
    where = settings.clickhouse
    environment = {
        **os.environ,
        **_SPOOL,
        "VOL_STREAMER_COLLECTOR": _collector(day),
        "VOL_STREAMER_CLICKHOUSE__HOST": where.host,
        "VOL_STREAMER_CLICKHOUSE__PORT": str(where.port),
        "VOL_STREAMER_CLICKHOUSE__DATABASE": where.database,
    }
    history = [
        *(sys.executable, "-m", "vol_platform.simulator", "history", "--hours", "24"),
        *("--end", (day + DAY).isoformat(), "--output", "-"),
        *("--seconds-between-ticks", str(seconds_between_ticks)),
    ]
    ingest = [sys.executable, "-m", "streamer.main", "ingest", "-", "--json"]
    with tempfile.TemporaryDirectory() as spool, (Path(spool) / "stderr").open("w+b") as errors:
        ingest += ["--keep-receive-times", "--spool-directory", spool]
        with subprocess.Popen(
            history, stdout=subprocess.PIPE, stderr=errors, env=environment
        ) as source:
            taker = subprocess.run(
                ingest,
                stdin=source.stdout,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment,
                check=False,
            )
        errors.seek(0)
        if taker.returncode or source.returncode:
            with connect(settings) as client:  # a history that broke off ends like a whole one
                client.command(
                    "DELETE FROM ingest_hours WHERE collector = {collector:String}",
                    parameters={"collector": _collector(day)},
                )
            raise SystemExit(f"{day:%Y-%m-%d} was not filled: {errors.read().decode()}")
    with connect(settings) as client:
        return count_ticks(client, day), time.perf_counter() - started


def fill_days(
    settings: Settings, days: Sequence[datetime], seconds_between_ticks: float, processes: int = 2
) -> None:
    """Fill the days that are not, oldest first, and tell of each.

    Parameters
    ----------
    settings
        Of the database; it is migrated.
    days
        Midnights, UTC.
    seconds_between_ticks
        Of every option.
    processes
        How many days are made at once.
    """
    migrate(settings)
    with connect(settings) as client:
        wanted = [day for day in sorted(days) if not _is_filled(client, day)]
    print(f"{len(days) - len(wanted)} of {len(days)} days are there already", flush=True)
    started, ticks = time.perf_counter(), 0
    with ThreadPoolExecutor(processes) as pool:
        running = {
            pool.submit(_fill_day, settings, day, seconds_between_ticks): day for day in wanted
        }
        for number, done in enumerate(as_completed(running), start=1):
            rows, seconds = done.result()
            ticks += rows
            taken = time.perf_counter() - started
            print(
                f"{running[done]:%Y-%m-%d}: {rows:,} option ticks in {seconds:.0f} s; "
                f"{number}/{len(wanted)} days, {ticks / taken:,.0f} ticks a second, "
                f"{taken / number * (len(wanted) - number) / 60:.1f} minutes left",
                flush=True,
            )


def main(arguments: Sequence[str] = ()) -> None:
    """Fill the database ``vol_benchmark`` of the ClickHouse that the settings point at."""
    parser = argparse.ArgumentParser(prog="benchmarks fill", description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--last-day", type=day_of, default=day_of("2026-11-21"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds-between-ticks", type=float, default=SECONDS_BETWEEN_TICKS)
    chosen = parser.parse_args(arguments)
    days = [chosen.last_day - number * DAY for number in range(chosen.days)]
    fill_days(benchmark_settings(2), days, chosen.seconds_between_ticks, chosen.processes)


if __name__ == "__main__":
    main(sys.argv[1:])
