"""F7, F8, F9, F12, F17 and F18 against the simulated exchange: found, survived, and said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streamer.clock import SYSTEM_CLOCK
from streamer.collector import Collector
from vol_platform.settings import Settings
from vol_platform.simulator import Exchange, ExchangeOptions
from vol_platform.store.client import connect
from vol_platform_tests.streamer.support import streamer_settings

pytestmark = pytest.mark.slow

SEED = 20261122
BACKOFF_SECONDS = 0.1
CHANNELS = ["ticker.BTC-PERPETUAL.100ms", "deribit_price_index.btc_usd", "book.BTC-PERPETUAL.100ms"]


async def until(condition: Callable[[], bool], *, seconds: float = 30.0) -> float:
    """Wait for a condition and return how long it took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - many conditions of many objects, polled alike
            await asyncio.sleep(0.02)
    return loop.time() - begun


@asynccontextmanager
async def collecting(
    database: Settings, spool: Path, exchange: Exchange, **changes: Any
) -> AsyncIterator[Collector]:
    """Run a collector on a few channels until all of them speak; check its accounts at the end."""
    addresses = {"websocket_url": exchange.websocket_url, "rest_url": exchange.rest_url}
    settings = streamer_settings(
        database, spool, **({"backoff_seconds": BACKOFF_SECONDS} | addresses | changes)
    )
    options = [f"ticker.{row['instrument_name']}.100ms" for row in instruments(exchange)[:40]]
    collector = Collector(settings, SYSTEM_CLOCK, channels=CHANNELS + options)
    running = asyncio.create_task(collector.run())
    try:
        await until(lambda: collector.is_complete or running.done())
        yield collector
    finally:
        collector.stop()
        accounting = await running
    # On a busy machine the last segments may wait on disk when the process ends.
    assert accounting.accounts.is_balanced
    assert accounting.messages >= accounting.accounts.frames


def instruments(exchange: Exchange) -> list[dict[str, Any]]:
    rows = exchange.venue.instruments("BTC", exchange.now_ms(), expired=False)
    return [row for row in rows if row["kind"] == "option"]


def gaps(database: Settings) -> list[tuple[str, bool]]:
    """Return cause and openness of every gap."""
    query = "SELECT cause, isNull(to_ts) FROM ingest_gaps FINAL ORDER BY from_ts"
    with connect(database) as client:
        return [tuple(row) for row in client.query(query).result_rows]


def _close(exchange: Exchange) -> None:
    exchange.close_all(1001)


def _finish(exchange: Exchange) -> None:
    exchange.close_all(1006)


def _reset(exchange: Exchange) -> None:
    exchange.close_all(1006, reset=True)


def _switch(name: str) -> Callable[[Exchange], None]:
    return lambda exchange: setattr(exchange.chaos, name, True)


def _refuse(status: int) -> Callable[[Exchange], None]:
    def inflict(exchange: Exchange) -> None:
        exchange.chaos.handshake_status = status
        exchange.close_all(1006)

    return inflict


@pytest.mark.parametrize(
    ("inflict", "noticed_within"),
    [
        pytest.param(_close, 1.0, id="closing handshake"),
        pytest.param(_finish, 1.0, id="FIN"),
        pytest.param(_reset, 1.0, id="RST"),
        pytest.param(_refuse(429), 1.0, id="handshake 429"),
        pytest.param(_refuse(503), 1.0, id="handshake 503"),
        pytest.param(_refuse(403), 1.0, id="handshake 403"),
        pytest.param(_switch("stalled"), 7.0, id="silent half-open"),
        pytest.param(_switch("stall_in_frame"), 7.0, id="half a frame"),
        pytest.param(_switch("mute"), 7.0, id="F8 heartbeats without data"),
    ],
)
async def test_f7_f8_a_lost_socket_is_noticed_is_back_on_all_channels_and_is_a_gap_row(
    database, tmp_path, record_property, inflict, noticed_within
):
    async with (
        Exchange(ExchangeOptions(seed=SEED)) as exchange,
        collecting(database, tmp_path, exchange) as collector,
    ):
        inflict(exchange)
        noticed = await until(lambda: not collector.is_complete)
        if exchange.chaos.handshake_status:
            await asyncio.sleep(4 * BACKOFF_SECONDS)  # some attempts meet the refusal
        exchange.chaos = exchange.options.chaos.model_copy()
        back = await until(lambda: collector.is_complete)
    assert noticed <= noticed_within + 1.0
    assert back <= 5.0 + 0.5
    found = gaps(database)
    assert ("reconnect", False) in found
    assert not [cause for cause, is_open in found if is_open and cause == "reconnect"]
    record_property("measured", f"noticed after {noticed:.2f} s, all channels {back:.2f} s later")


async def test_f7_a_slow_drip_loses_nothing(database, tmp_path, record_property):
    oracle = tmp_path / "oracle.jsonl"
    async with Exchange(ExchangeOptions(seed=SEED, oracle_log=oracle)) as exchange:
        exchange.chaos.drip_bytes_per_second = 60_000
        async with collecting(database, tmp_path / "spool", exchange) as collector:
            await until(lambda: sum(collector.stored.rows.values()) > 100)
            assert collector.stored.dead_letters == 0
            rows = sum(collector.stored.rows.values())
    assert not gaps(database)
    record_property("measured", f"{rows} rows through 60 kB/s in pieces, no gap, no dead letter")


async def test_f8_a_test_request_is_answered_within_a_second(database, tmp_path, record_property):
    async with Exchange(ExchangeOptions(seed=SEED)) as exchange:
        exchange.heartbeat_scale = 0.1  # the exchange hangs up after one second without an answer
        async with collecting(database, tmp_path, exchange):
            (connection,) = exchange.connections
            await asyncio.sleep(4.0)
            assert list(exchange.connections) == [connection]
    assert not gaps(database)
    record_property("measured", "every test_request in 4 s answered in less than 1 s")


async def test_f9_channels_left_out_and_credits_spent_in_the_middle_are_made_up(
    database, tmp_path, record_property
):
    async with Exchange(ExchangeOptions(seed=SEED)) as exchange:
        exchange.chaos.refuse_channels = ("-P.",)
        begun = asyncio.get_running_loop().time()
        addresses = {"websocket_url": exchange.websocket_url, "rest_url": exchange.rest_url}
        settings = streamer_settings(database, tmp_path, channels_per_subscribe=50, **addresses)
        names = [f"ticker.{row['instrument_name']}.100ms" for row in instruments(exchange)[:900]]
        collector = Collector(settings, SYSTEM_CLOCK, channels=names)
        running = asyncio.create_task(collector.run())
        await until(lambda: bool(exchange.connections))
        exchange.drain_credits()
        await asyncio.sleep(0.3)
        exchange.chaos.refuse_channels = ()
        await until(lambda: collector.is_complete)
        seconds = asyncio.get_running_loop().time() - begun
        subscribed = {name for it in exchange.connections for name in it.channels}
        collector.stop()
        accounting = await running
    assert accounting.accounts.is_balanced
    assert accounting.refused_channels == 0
    assert subscribed >= set(names)
    assert seconds <= 30.0
    record_property("measured", f"{len(names)} channels live after {seconds:.1f} s")


async def test_f12_the_feed_lives_on_odd_messages_and_counts_them_exactly(
    database, tmp_path, record_property
):
    oracle = tmp_path / "oracle.jsonl"
    options = ExchangeOptions(seed=SEED, oracle_log=oracle)
    async with Exchange(options) as exchange:
        exchange.chaos.only_channels = ("ticker",)
        exchange.chaos.odd_share = 0.2
        exchange.chaos.malformed_share = 0.1
        exchange.chaos.unknown_field_share = 0.1
        async with collecting(database, tmp_path / "spool", exchange) as collector:
            await until(lambda: collector.stored.dead_letters > 50)
            await until(lambda: sum(collector.stored.rows.values()) > 300)
    with connect(database) as client:
        letters, kept, reasons = client.query(
            "SELECT count(), countIf(raw != ''), groupUniqArray(reason) FROM dead_letters"
        ).first_row
    assert letters == kept == collector.stored.dead_letters
    assert {"malformed", "wrong_type", "unknown_channel"} <= set(reasons)
    record_property("measured", f"{letters} dead letters of {len(reasons)} reasons, all kept")


async def test_f17_an_exchange_from_the_future_makes_no_partitions(
    database, tmp_path, record_property
):
    async with (
        Exchange(ExchangeOptions(seed=SEED)) as exchange,
        collecting(database, tmp_path, exchange) as collector,
    ):
        exchange.chaos.timestamp_offset_ms = 400 * 86_400_000
        await until(lambda: collector.stored.dead_letters > 20)
        exchange.chaos.timestamp_offset_ms = 3_600_000
        rows = sum(collector.stored.rows.values())
        await until(lambda: sum(collector.stored.rows.values()) > rows + 20)
        assert collector.is_complete, "wrong times are no reason to hang up"
        flagged = collector.metrics.registry.get_sample_value("vol_streamer_future_rows_total")
        assert flagged is not None
        assert flagged >= 20
    query = "SELECT uniqExact(toDate(exchange_ts)), max(exchange_ts) FROM options_quotes"
    with connect(database) as client:
        days, newest = client.query(query).first_row
        reasons = client.query("SELECT DISTINCT reason FROM dead_letters").result_rows
    assert days <= 2
    assert newest.timestamp() - SYSTEM_CLOCK.wall_ns() / 1e9 < 2 * 3600
    assert ("timestamp_out_of_range",) in reasons
    record_property("measured", f"400 days ahead: dead letters; 1 h ahead: stored in {days} days")
