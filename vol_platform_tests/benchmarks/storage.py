"""What a row costs on disk, and a year of the real rate.

``python -m vol_platform_tests.benchmarks storage --minutes 10``.  Simulated minutes of a whole
board at the real rate and, when they are there, the recorded captures (``VOL_REAL_DATA``) go
through ``streamer ingest`` into a store of their own, in segments of about a second as live ones
are.  After all merges every table's bytes a row are read, and the size of the raw frames in the
archive.  The recorded captures are small: what a part costs by itself weighs heavily there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clickhouse_connect.driver.client import Client

from streamer.spool.archive import Archive
from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform.store.migrate import migrate
from vol_platform_tests.benchmarks.streamer_outage import LIVE_RATE
from vol_platform_tests.benchmarks.streamer_throughput import environment
from vol_platform_tests.conftest import REPOSITORY, StoreProcess, finish, start_store

SECONDS_A_YEAR = 365 * 86400
_RECORDED = Path("../shared/data/real")
_BY_MINUTE = ("options_minute_state", "quote_slots_state")
CAPTURES = ("cryptofeed_deribit_20210417.ws.txt", "cryptofeed_deribit_20210722.ws.txt")
SEED = 7
SECONDS_BETWEEN_TICKS = 1.3
_QUARTER_OF_A_SEGMENT = "230"  # ingest makes segments four times larger than live ones
_SIZES = """
SELECT table, sum(rows), sum(data_compressed_bytes), sum(data_uncompressed_bytes),
       sum(bytes_on_disk)
FROM system.parts WHERE active AND database = currentDatabase() AND rows > 0
GROUP BY table ORDER BY sum(bytes_on_disk) DESC
"""


def _ingest(store: StoreProcess, database: str, folder: Path, source: Path) -> None:
    variables = {
        "CLICKHOUSE__PORT": str(store.port),
        "CLICKHOUSE__DATABASE": database,
        "SPOOL_DIRECTORY": str(folder / f"spool-{database}"),
        "SPOOL__DISK_FLOOR_BYTES": "0",
        "SPOOL__KEEP_DONE_SEGMENTS": "100000",
        "SPOOL__ROLL_MESSAGES": _QUARTER_OF_A_SEGMENT,
        "COLLECTOR": "bench",
    }
    done = subprocess.run(
        [sys.executable, "-m", "streamer.main", "ingest", str(source)],
        env=environment() | {f"VOL_STREAMER_{name}": value for name, value in variables.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{source.name} could not be ingested: {done.stderr[-300:]}")


def _merged(client: Client) -> list[tuple[str, int, int, int, int]]:
    tables = [row[0] for row in client.query(_SIZES).result_rows]
    for table in tables:
        client.command(f"OPTIMIZE TABLE `{table}` FINAL")
    return [tuple(row) for row in client.query(_SIZES).result_rows]


def _tell(name: str, settings: Settings) -> dict[str, tuple[int, int]]:
    """Print the sizes of a database; return rows and bytes by table."""
    print(f"\n{name}\n| table | rows | bytes a row | raw columns | ratio |\n|---|---|---|---|---|")
    sizes = {}
    with connect(settings) as client:
        for table, rows, packed, plain, disk in _merged(client):
            if table.startswith(("ingest_", "schema_")):
                continue
            sizes[table] = (rows, disk)
            ratio = plain / max(packed, 1)
            print(f"| {table} | {rows:,} | {disk / rows:.1f} | {plain / rows:.0f} | {ratio:.1f} |")
    return sizes


def _archived(folder: Path, database: str) -> tuple[int, int]:
    """Return bytes of all segments as they were received, and as the archive keeps them."""
    segments = sorted((folder / f"spool-{database}" / "ingest").glob("*.done"))
    kept = folder / f"archive-{database}"
    archive = Archive(kept, keep_days=2)
    for segment in segments:
        archive.add(segment, time.time_ns())
    packed = sum(path.stat().st_size for path in kept.rglob("*.zst"))
    return sum(path.stat().st_size for path in segments), packed


def _simulated(folder: Path, minutes: int) -> Path:
    file = folder / "simulated.jsonl"
    subprocess.run(
        [
            *(sys.executable, "-m", "vol_platform.simulator", "history", "--output", str(file)),
            *("--hours", str(minutes / 60), "--seed", str(SEED)),
            *("--seconds-between-ticks", str(SECONDS_BETWEEN_TICKS)),
        ],
        env=environment(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return file


def _a_year(sizes: dict[str, tuple[int, int]], archived: tuple[int, int]) -> None:
    """Print what a year costs when every second brings `LIVE_RATE` messages of this mixture."""
    rows = sizes["options_quotes"][0]
    yearly = LIVE_RATE * SECONDS_A_YEAR
    raw = sizes["options_quotes"][1] / rows * yearly / 1e9
    minutes = sum(sizes[table][1] for table in _BY_MINUTE) / rows * yearly / 1e9
    print(f"\na year of {LIVE_RATE} option tickers a second: {yearly / 1e9:.1f} billion rows,")
    print(f"  options_quotes {raw:,.0f} GB, its minutes and slots {minutes:,.0f} GB,")
    plain, packed = archived
    frames = packed / rows * yearly / 1e9
    print(f"  raw frames {frames:,.0f} GB ({plain / packed:.1f} times smaller than received)")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=10)
    given = parser.parse_args(arguments)
    recorded = Path(os.environ.get("VOL_REAL_DATA", REPOSITORY / _RECORDED)) / "ws"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = start_store(folder / "store")
        try:
            database = store.settings("vol_simulated")
            migrate(database)
            _ingest(store, "vol_simulated", folder, _simulated(folder, given.minutes))
            sizes = _tell(f"{given.minutes} simulated minutes, seed {SEED}", database)
            _a_year(sizes, _archived(folder, "vol_simulated"))
            captures = [recorded / capture for capture in CAPTURES]
            if not all(capture.is_file() for capture in captures):
                print(f"\nno recorded captures at {recorded}; set VOL_REAL_DATA")
                return
            database = store.settings("vol_recorded")
            migrate(database)
            for capture in captures:
                _ingest(store, "vol_recorded", folder, capture)
            _tell("recorded captures", database)
            plain, packed = _archived(folder, "vol_recorded")
            print(f"raw frames: {plain:,} bytes, archived {packed:,}: {plain / packed:.1f} times")
        finally:
            finish(store)


if __name__ == "__main__":
    main(sys.argv[1:])
