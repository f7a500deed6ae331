"""kill -9, of the collector and of the database, at seeded random points."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import statistics
import sys
import time
import zlib
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pytest

from streamer.clock import SYSTEM_CLOCK
from streamer.database.hours import HourKeeper
from streamer.database.store import Store
from streamer.database.writer import SegmentWriter
from streamer.decoding.batch import read_segment
from streamer.decoding.decode import FrameDecoder
from streamer.spool.segment import RecordKind, read_header, read_records
from streamer.spool.spool import Spool, SpoolLimits
from vol_platform.settings import Settings
from vol_platform.simulator import Exchange, ExchangeOptions
from vol_platform.store.client import connect
from vol_platform.store.migrate import migrate
from vol_platform_tests.conftest import REPOSITORY, finish, start_store
from vol_platform_tests.streamer.support import streamer_settings

SEED = 20261122
_PATIENCE_SECONDS = 300.0
"""How long a process may take to its first row on a machine that does much else."""


async def start_streamer(
    database: Settings,
    spool: Path,
    exchange: Exchange,
    collector: str = "killed",
) -> asyncio.subprocess.Process:
    where = database.clickhouse
    environment = {name: each for name, each in os.environ.items() if not name.startswith("VOL_")}  # noqa: TID251 - of a child process
    environment |= {
        "PYTHONPATH": str(REPOSITORY),
        "VOL_STREAMER_WEBSOCKET_URL": exchange.websocket_url,
        "VOL_STREAMER_REST_URL": exchange.rest_url,
        "VOL_STREAMER_CLICKHOUSE__HOST": where.host,
        "VOL_STREAMER_CLICKHOUSE__PORT": str(where.port),
        "VOL_STREAMER_CLICKHOUSE__DATABASE": where.database,
        "VOL_STREAMER_SPOOL_DIRECTORY": str(spool),
        "VOL_STREAMER_SPOOL__DISK_FLOOR_BYTES": "0",
        "VOL_STREAMER_SPOOL__ROLL_SECONDS": "0.3",
        "VOL_STREAMER_SPOOL__KEEP_DONE_SEGMENTS": "100000",
        "VOL_STREAMER_BACKOFF_SECONDS": "0.1",
        "VOL_STREAMER_COLLECTOR": collector,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamer.main", "run", "--log-level", "error", "--json"),
        env=environment,
        cwd=spool.parent,
        stdout=asyncio.subprocess.PIPE,
    )


def frames_by_connection(spool: Path) -> dict[tuple[str, int], list[int]]:
    """Return the CRC-32 of every notification on disk, by start of the process and socket."""
    frames: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for path in sorted(spool.glob("*-*.*")):
        assert path.suffix == ".done", f"{path.name} was left behind"
        buffer = path.read_bytes()
        _, offset = read_header(buffer)
        for record in read_records(buffer, offset):
            if record.kind == RecordKind.FRAME and b'"subscription"' in record.payload:
                key = (path.stem.partition("-")[0], record.connection_id)
                frames[key].append(zlib.crc32(record.payload))
    return frames


def updates_on_disk(spool: Path) -> set[tuple[str, int, int]]:
    """Return instrument, exchange time and checksum of every option update on disk."""
    updates = set()
    for path in spool.glob("*.done"):
        batch = read_segment(path.read_bytes(), FrameDecoder())
        quotes = batch.tables.get("options_quotes")
        if quotes is not None:
            columns = ("instrument_name", "exchange_ts", "content_checksum")
            names, times, checksums = (quotes.column(name) for name in columns)
            milliseconds = times.cast(pa.int64()).to_pylist()
            updates |= set(zip(names.to_pylist(), milliseconds, checksums.to_pylist(), strict=True))
    return updates


def sent_by_connection(oracle: Path) -> list[list[int]]:
    sent: defaultdict[int, list[int]] = defaultdict(list)
    for line in oracle.read_text().splitlines():
        entry = json.loads(line)
        sent[entry["connection"]].append(entry["crc32"])
    return list(sent.values())


def check_nothing_lost_or_doubled(database: Settings, spool: Path, oracle: Path) -> int:
    """Check the whole way: exchange to disk to database; return the messages on disk."""
    received = frames_by_connection(spool)
    sent = sent_by_connection(oracle)
    for key, frames in received.items():
        # In order and without a hole up to the kill: a prefix of what the exchange sent.
        assert any(frames == each[: len(frames)] for each in sent), f"{key} is no prefix"
    with connect(database) as client:
        one = lambda query: client.query(query).first_row  # noqa: E731 - shorter than its name
        frames, data, control, dead = one(
            "SELECT sum(frames), sum(data_messages), sum(control_messages), sum(dead_letters) "
            "FROM ingest_segments"
        )
        assert frames == data + control + dead
        assert dead == 0
        segments = len(list(spool.glob("*.done")))
        assert one("SELECT count(), uniqExact(segment_id) FROM ingest_segments") == (
            segments,
            segments,
        )
        # The exchange sends its newest state again to every new socket, so one update may be on
        # disk twice; the table keeps it once.
        updates = updates_on_disk(spool)
        counted, unmerged, claimed = one(
            "SELECT (SELECT count() FROM options_quotes FINAL), count(), "
            "(SELECT sum(rows['options_quotes']) FROM ingest_segments) FROM options_quotes"
        )
        assert counted == len(updates) > 0
        assert unmerged <= claimed
        stored_updates = client.query(
            "SELECT instrument_name, toUnixTimestamp64Milli(exchange_ts), content_checksum "
            "FROM options_quotes"
        ).result_rows
        assert {tuple(each) for each in stored_updates} == updates
        stored = one("SELECT count() FROM options_quotes")[0]
        state = one("SELECT uniqExact(instrument_name) FROM options_quotes")[0]
        assert one("SELECT count() FROM options_quotes_latest")[0] == state
        assert stored >= state
    return sum(len(each) for each in received.values())


def stored_rows(database: Settings) -> int:
    """Return how many rows the segments of all processes brought; it never falls.

    The table's own count does: of an update that came through two sockets it keeps one row.
    """
    query = "SELECT sum(rows['options_quotes']) FROM ingest_segments"
    with connect(database) as client:
        return int(client.query(query).first_row[0])


async def until_rows(database: Settings, more_than: int) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while stored_rows(database) <= more_than:  # noqa: ASYNC110 - another process, polled
            await asyncio.sleep(0.1)


async def stop(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0
    accounting = json.loads(output)
    assert accounting["frames"] + accounting["waiting_on_disk"] == accounting["messages"]


def drain(database: Settings, spool: Path) -> None:
    """Insert what a clean stop left on disk: it gives the database a moment, not for ever."""
    settings = streamer_settings(database, spool)
    rest = Spool(
        spool,
        collector="killed",
        source="stream",
        testnet=False,
        clock=SYSTEM_CLOCK,
        limits=SpoolLimits(disk_floor_bytes=0, keep_done_segments=100_000),
    )
    assert rest.recover().sealed == 0  # a clean stop seals everything by itself
    store = Store(settings.clickhouse)
    hours = HourKeeper(
        store=store, collector="killed", clock=SYSTEM_CLOCK, grace_seconds=5.0, is_replay=True
    )
    SegmentWriter(spool=rest, store=store, clock=SYSTEM_CLOCK, hours=hours, seed=SEED).write_all()
    rest.close()
    store.close()


_NIGHTLY = [pytest.mark.nightly, pytest.mark.timeout(3600)]


@pytest.mark.parametrize(
    ("kills", "seed", "rate"),
    [
        pytest.param(4, SEED, 3.0, marks=pytest.mark.slow),
        # Two hundred in shares: each is checked to the end in the database.  The simulator's rate 7
        # is three times the 911 messages a second of the real board.
        *(pytest.param(25, SEED + share, 7.0, marks=_NIGHTLY) for share in range(1, 9)),
    ],
)
async def test_f1_f2_killing_the_collector_anywhere_loses_and_doubles_nothing_on_disk(
    database, tmp_path, record_property, kills, seed, rate
):
    chance = random.Random(seed)
    spool, oracle = tmp_path / "spool", tmp_path / "oracle.jsonl"
    options = ExchangeOptions(seed=seed, oracle_log=oracle, rate=rate)
    async with Exchange(options) as exchange:
        first_rows = []
        for _ in range(kills):
            rows = stored_rows(database)
            begun = time.monotonic()
            process = await start_streamer(database, spool, exchange)
            await until_rows(database, rows)
            first_rows.append(time.monotonic() - begun)
            await asyncio.sleep(chance.uniform(0.0, 1.0))
            process.kill()
            await process.communicate()
        process = await start_streamer(database, spool, exchange)
        await until_rows(database, stored_rows(database))
        await stop(process)
    drain(database, spool)
    messages = check_nothing_lost_or_doubled(database, spool, oracle)
    assert messages > 0
    text = (
        f"{kills} kills at rate {rate:g} (seed {seed}): {messages} messages read, 0 lost, 0 twice; "
        f"start of a process to its first row: half within {statistics.median(first_rows):.1f} s, "
        f"all within {max(first_rows):.1f} s"
    )
    record_property("measured", text)
    with connect(database) as client:
        restarts = client.query(
            "SELECT count(), countIf(to_ts > from_ts) FROM ingest_gaps FINAL "
            "WHERE cause = 'restart'"
        ).first_row
    assert restarts[0] == kills  # each kill said so


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(2, marks=pytest.mark.slow),
        pytest.param(25, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)]),
    ],
)
async def test_killing_the_database_loses_and_doubles_nothing(tmp_path, record_property, kills):
    chance = random.Random(SEED + 1)
    spool, oracle, data = tmp_path / "spool", tmp_path / "oracle.jsonl", tmp_path / "store"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    store = start_store(data, port=port)
    database = store.settings("vol_kill")
    migrate(database)
    async with Exchange(ExchangeOptions(seed=SEED + 1, oracle_log=oracle)) as exchange:
        process = await start_streamer(database, spool, exchange)
        for _ in range(kills):
            await until_rows(database, stored_rows(database))
            await asyncio.sleep(chance.uniform(0.0, 1.0))
            finish(store)  # kill -9
            store = await asyncio.to_thread(start_store, data, port=port)
        await until_rows(database, stored_rows(database))
        await stop(process)
    drain(database, spool)
    messages = check_nothing_lost_or_doubled(database, spool, oracle)
    text = f"{kills} kills (seed {SEED + 1}): {messages} messages read, 0 lost, 0 twice"
    record_property("measured", text)
    finish(store)
