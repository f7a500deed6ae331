"""Two collectors side by side: the union has each update once, and killing either loses nothing."""

from __future__ import annotations

import asyncio
import json
import zlib
from pathlib import Path

import pytest

from streamer.spool.segment import RecordKind, read_header, read_records
from vol_platform.simulator import Exchange, ExchangeOptions
from vol_platform.store.client import connect
from vol_platform_tests.streamer.test_collector import one
from vol_platform_tests.streamer.test_kill import start_streamer, stop

INDEX = "deribit_price_index.btc_usd"
UPDATES = (
    ("options_quotes", "instrument_name, exchange_ts, content_checksum"),
    ("futures_prices", "instrument_name, exchange_ts, content_checksum"),
    ("spot_prices", "index_name, exchange_ts, content_checksum"),
    ("trades", "instrument_name, trade_seq, trade_id"),
)


def index_frames(spool: Path) -> set[int]:
    """Return the CRC-32 of every price of the index on a collector's disk."""
    found = set()
    for path in (*spool.glob("*.done"), *spool.glob("*.seg")):
        buffer = path.read_bytes()
        _, offset = read_header(buffer)
        for record in read_records(buffer, offset):
            if record.kind == RecordKind.FRAME and f'"{INDEX}"'.encode() in record.payload[:120]:
                found.add(zlib.crc32(record.payload))
    return found


async def until_index_of(database, collector: str, *, more: int) -> None:
    """Wait until a collector has stored so many more prices of the index.

    Its segments tell: of the same price from both the table keeps one row, of either.
    """

    def count() -> int:
        with connect(database) as client:
            return int(
                client.query(
                    "SELECT sum(rows['spot_prices']) FROM ingest_segments FINAL "
                    "WHERE collector = {collector:String}",
                    parameters={"collector": collector},
                ).first_row[0]
            )

    before = await asyncio.to_thread(count)
    async with asyncio.timeout(90):
        while await asyncio.to_thread(count) < before + more:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.2)


@pytest.mark.nightly
async def test_killing_either_of_two_collectors_loses_and_doubles_nothing(database, tmp_path):
    oracle = tmp_path / "oracle.jsonl"
    async with Exchange(ExchangeOptions(seed=51, oracle_log=oracle)) as exchange:
        names = ("left", "right")
        running = {
            name: await start_streamer(database, tmp_path / name, exchange, name) for name in names
        }
        for name in names:
            await until_index_of(database, name, more=2)
        for name, other in (names, names[::-1]):
            running[name].kill()
            await running[name].communicate()
            await until_index_of(database, other, more=3)
            running[name] = await start_streamer(database, tmp_path / name, exchange, name)
            await until_index_of(database, name, more=2)
        for process in running.values():
            await stop(process)
    for table, key in UPDATES:
        held, distinct, collectors = one(
            database,
            f"SELECT (SELECT count() FROM {table} FINAL), uniqExact({key}), "  # noqa: S608 - ours
            f"uniqExact(collector) FROM {table}",
        )
        assert held == distinct > 0, table
        assert collectors == 2, table
    # Every price of the index that the exchange sent to anybody is on one of the two disks, up to
    # the last one there: the exchange goes on while they stop.
    sent = [
        entry["crc32"]
        for entry in map(json.loads, oracle.read_text().splitlines())
        if entry["channel"] == INDEX
    ]
    kept = {crc for name in names for crc in index_frames(tmp_path / name)}
    last = max(place for place, crc in enumerate(sent) if crc in kept)
    assert set(sent[: last + 1]) == kept
    assert len(kept) >= 10
    # Each kill is a gap of the one that was killed, and of nobody else.
    with connect(database) as client:
        gaps = client.query(
            "SELECT collector, count() FROM ingest_gaps FINAL WHERE cause = 'restart' "
            "GROUP BY collector ORDER BY collector"
        ).result_rows
    assert gaps == [("left", 1), ("right", 1)]
