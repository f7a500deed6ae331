"""The whole collector against a real exchange process and a real database."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from redis.asyncio import Redis

from streamer.captures.ingest import Accounting
from streamer.clock import SYSTEM_CLOCK
from streamer.collector import Collector
from streamer.decoding.batch import Accounts
from streamer.errors import PortInUseError, SpoolLockedError, StoreRefusedError
from streamer.settings import ClickHouseSettings, StreamerSettings
from vol_platform.settings import Settings, child_environment
from vol_platform.simulator import Exchange, ExchangeOptions
from vol_platform.store.client import connect
from vol_platform_tests.conftest import REPOSITORY
from vol_platform_tests.streamer.support import streamer_settings, ticker_frame


def live_settings(
    database: Settings, spool: Path, exchange: Exchange, **changes: Any
) -> StreamerSettings:
    addresses = {"websocket_url": exchange.websocket_url, "rest_url": exchange.rest_url}
    return streamer_settings(database, spool, **(addresses | changes))


async def until(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - many conditions of many objects, polled alike
            await asyncio.sleep(0.05)


async def run_until(collector: Collector, condition: Callable[[], bool]) -> Accounting:
    running = asyncio.create_task(collector.run())
    try:
        await until(lambda: condition() or running.done())
    finally:
        collector.stop()
        accounting = await running
    return accounting


def stored_rows(collector: Collector) -> int:
    return collector.stored.rows.get("options_quotes", 0)


def one(database: Settings, query: str) -> Any:
    with connect(database) as client:
        return client.query(query).first_row


async def test_a_live_run_stores_every_instrument_publishes_it_and_balances(
    database, redis_url, tmp_path
):
    received = []

    async def listen(ready: asyncio.Event) -> None:
        async with Redis.from_url(redis_url) as redis, redis.pubsub() as pubsub:
            await pubsub.psubscribe(f"{database.clickhouse.database}:batches:*")
            ready.set()
            async for message in pubsub.listen():
                received.append(message)

    ready = asyncio.Event()
    listener = asyncio.create_task(listen(ready))
    await ready.wait()
    async with Exchange(ExchangeOptions(seed=11)) as exchange:
        settings = live_settings(database, tmp_path, exchange, redis_url=redis_url)
        collector = Collector(settings, SYSTEM_CLOCK)
        accounting = await run_until(collector, lambda: stored_rows(collector) >= 2_000)
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)
    received = [message for message in received if message["type"] == "pmessage"]

    assert accounting.is_balanced
    assert accounting.accounts.dead_letters == 0
    listed, quoted = one(
        database,
        "SELECT (SELECT countIf(kind = 'option') FROM instruments), "
        "uniqExact(instrument_name) FROM options_quotes",
    )
    assert listed == quoted >= 900
    counted = one(database, "SELECT count(), min(source), max(connection_id) FROM options_quotes")
    assert counted[0] == accounting.accounts.rows["options_quotes"]
    assert counted[1] == "stream"
    assert counted[2] >= 2  # 1,100 channels do not fit one socket
    assert one(database, "SELECT sum(frames) FROM ingest_segments")[0] == accounting.messages

    channels = {message["channel"].decode().rpartition(":")[2] for message in received}
    assert channels == {"options_quotes", "futures_prices", "spot_prices", "options_metadata"}
    batches = [msgspec.msgpack.decode(message["data"]) for message in received]
    sequences = [batch["sequence"] for batch in batches]
    assert sequences == sorted(set(sequences))
    published = 0
    for message, batch in zip(received, batches, strict=True):
        assert batch["version"] == 1
        assert all(len(row) == len(batch["columns"]) for row in batch["rows"])
        if message["channel"].endswith(b"options_quotes"):
            published += len(batch["rows"])
    assert published == counted[0]


async def test_a_lost_socket_is_a_gap_that_closes_when_data_flows_everywhere(database, tmp_path):
    async with Exchange(ExchangeOptions(seed=12)) as exchange:
        collector = Collector(live_settings(database, tmp_path, exchange), SYSTEM_CLOCK)
        running = asyncio.create_task(collector.run())
        await until(lambda: collector.is_complete)
        exchange.close_all(1001)
        await until(lambda: not collector.is_complete)
        await until(lambda: collector.is_complete)
        collector.stop()
        accounting = await running
    assert accounting.is_balanced
    gaps = one(
        database,
        "SELECT count(), countIf(to_ts IS NULL), min(to_ts > from_ts), groupUniqArray(cause) "
        "FROM ingest_gaps FINAL",
    )
    assert gaps == (3, 0, True, ["reconnect"])


async def test_a_stalled_exchange_is_torn_down_and_missed_channels_are_reported(database, tmp_path):
    async with Exchange(ExchangeOptions(seed=13)) as exchange:
        settings = live_settings(database, tmp_path, exchange, data_silence_seconds=1.0)
        collector = Collector(settings, SYSTEM_CLOCK)
        running = asyncio.create_task(collector.run())
        await until(lambda: collector.is_complete)
        exchange.chaos.stalled = True
        await until(lambda: not collector.is_complete)
        exchange.chaos.stalled = False
        await until(lambda: collector.is_complete)
        collector.stop()
        await running
    causes = one(database, "SELECT groupUniqArray(cause), any(detail) FROM ingest_gaps FINAL")
    assert causes[0] == ["reconnect"]
    assert "no data for" in causes[1]


async def test_bad_frames_become_dead_letters_and_the_feed_goes_on(database, tmp_path):
    async with Exchange(ExchangeOptions(seed=14)) as exchange:
        exchange.chaos.malformed_share = 0.05
        exchange.chaos.unknown_field_share = 0.05
        exchange.chaos.unknown_instrument_share = 0.05
        collector = Collector(live_settings(database, tmp_path, exchange), SYSTEM_CLOCK)
        accounting = await run_until(
            collector,
            lambda: stored_rows(collector) >= 500 and collector.stored.dead_letters > 0,
        )
    assert accounting.is_balanced
    dead, empty = one(database, "SELECT count(), countIf(raw = '') FROM dead_letters")
    assert (dead, empty) == (accounting.accounts.dead_letters, 0)


async def test_a_refused_channel_is_named_and_the_others_flow(database, tmp_path, capsys):
    async with Exchange(ExchangeOptions(seed=15)) as exchange:
        channels = ["deribit_price_index.btc_usd", "ticker.BTC-1JAN30-1-C.100ms"]
        collector = Collector(
            live_settings(database, tmp_path, exchange), SYSTEM_CLOCK, channels=channels
        )
        accounting = await run_until(collector, lambda: collector.is_complete)
    assert accounting.refused_channels == 1
    said = capsys.readouterr()
    assert "ticker.BTC-1JAN30-1-C.100ms" in said.out + said.err


async def test_an_exchange_that_is_not_there_yet_is_tried_until_it_is(database, tmp_path):
    async with Exchange(ExchangeOptions(seed=16)) as first:
        port = first.port
    settings = streamer_settings(
        database,
        tmp_path,
        websocket_url=f"ws://127.0.0.1:{port}/ws/api/v2",
        rest_url=f"http://127.0.0.1:{port}/api/v2",
    )
    collector = Collector(settings, SYSTEM_CLOCK, channels=["deribit_price_index.btc_usd"])
    running = asyncio.create_task(collector.run())
    await until(lambda: collector.metrics.reconnects.labels("unreachable")._value.get() >= 2)
    async with Exchange(ExchangeOptions(seed=16, port=port)):
        await until(lambda: collector.is_complete)
        collector.stop()
        assert (await running).is_balanced


async def test_a_replayed_capture_ends_with_its_accounting(real_data, database, tmp_path):
    capture = real_data / "ws/cryptofeed_deribit_20210417.ws.txt"
    options = ExchangeOptions(
        capture=capture, capture_all=True, capture_end="close", speed=0.0, enforce_credits=False
    )
    async with Exchange(options) as exchange:
        settings = live_settings(database, tmp_path, exchange)
        collector = Collector(
            settings,
            SYSTEM_CLOCK,
            channels=["ticker.BTC-25MAR22-50000-C.100ms"],
            exit_when_closed=True,
        )
        async with asyncio.timeout(60.0):
            accounting = await collector.run()
    assert accounting.is_balanced
    assert accounting.accounts.rows["options_quotes"] == 92
    assert accounting.accounts.rows["order_books"] == 56
    assert accounting.hours_closed == 1
    assert one(database, "SELECT reason FROM ingest_hours") == ("replay",)
    assert one(database, "SELECT DISTINCT source FROM options_quotes") == ("replay",)


@pytest.mark.parametrize(
    ("channel", "texts"),
    [
        ("ticker.BTC-25DEC26-100000-C.raw", ["13778", "VOL_STREAMER_CLIENT_ID"]),
        ("ticker.BTC-1JAN30-1-C.100ms", ["left it out of its reply", "--channels"]),
    ],
)
async def test_a_replay_of_which_no_channel_is_accepted_ends_in_one_line(
    database, tmp_path, channel, texts
):
    where, capture = database.clickhouse, tmp_path / "capture.jsonl"
    capture.write_bytes(ticker_frame() + b"\n")
    async with Exchange(ExchangeOptions(capture=capture, capture_end="close")) as exchange:
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "streamer.main", "run", "--exit-when-closed"),
            *("--channels", channel, "--log-level", "critical"),
            stderr=asyncio.subprocess.PIPE,
            cwd=REPOSITORY,
            env=child_environment(
                {
                    "VOL_STREAMER_WEBSOCKET_URL": exchange.websocket_url,
                    "VOL_STREAMER_REST_URL": exchange.rest_url,
                    "VOL_STREAMER_SPOOL_DIRECTORY": str(tmp_path / "spool"),
                    "VOL_STREAMER_SPOOL__DISK_FLOOR_BYTES": "0",
                    "VOL_STREAMER_CLICKHOUSE__HOST": where.host,
                    "VOL_STREAMER_CLICKHOUSE__PORT": str(where.port),
                    "VOL_STREAMER_CLICKHOUSE__DATABASE": where.database,
                }
            ),
        )
        async with asyncio.timeout(60):
            _, error = await command.communicate()
    assert command.returncode == 1
    (line,) = error.decode().splitlines()
    assert all(text in line for text in [channel, *texts])


async def test_metrics_and_health_tell_whether_rows_land(database, tmp_path, capsys):
    async with Exchange(ExchangeOptions(seed=17)) as exchange:
        collector = Collector(live_settings(database, tmp_path, exchange), SYSTEM_CLOCK)
        running = asyncio.create_task(collector.run())
        await until(lambda: collector.metrics_port > 0)
        address = f"http://127.0.0.1:{collector.metrics_port}"
        async with httpx.AsyncClient() as client:
            before = await client.get(f"{address}/healthz")
            await until(lambda: collector.is_complete)
            health = before
            async with asyncio.timeout(30):
                while health.status_code != 200:
                    health = await client.get(f"{address}/healthz")
            ready = await client.get(f"{address}/readyz")
            # The first rows to land are the instruments; quotes follow with the next segment.
            async with asyncio.timeout(30):
                metrics = await client.get(f"{address}/metrics")
                while 'table="options_quotes"' not in metrics.text:
                    metrics = await client.get(f"{address}/metrics")
            unknown = await client.get(f"{address}/")
        with pytest.raises(PortInUseError, match="in use"):
            await Collector(
                live_settings(
                    database, tmp_path / "other", exchange, metrics_port=collector.metrics_port
                ),
                SYSTEM_CLOCK,
            ).run()
        collector.stop()
        await running
    assert before.status_code in (200, 503)
    assert (health.status_code, ready.status_code, unknown.status_code) == (200, 200, 404)
    assert health.json()["seconds_since_rows"] >= 0
    assert 'vol_streamer_rows_total{table="options_quotes"}' in metrics.text
    assert 'vol_streamer_lag_seconds_bucket{le="0.005",stage="receive_to_spool"}' in metrics.text


def test_a_second_collector_on_the_same_spool_is_refused(database, tmp_path):
    settings = streamer_settings(database, tmp_path)
    first = Collector(settings, SYSTEM_CLOCK)
    with pytest.raises(SpoolLockedError, match="is in use by process"):
        Collector(settings, SYSTEM_CLOCK)
    first.close()


def test_a_database_without_our_tables_is_refused_with_the_cure(store_server, tmp_path):
    clickhouse = ClickHouseSettings(
        host=store_server.host, port=store_server.port, database="nowhere_to_be_found"
    )
    settings = StreamerSettings(clickhouse=clickhouse, spool_directory=tmp_path)
    with pytest.raises(StoreRefusedError, match="vol migrate"):
        Collector(settings, SYSTEM_CLOCK)


def test_the_accounting_is_printable():
    text = json.dumps(Accounting(0, Accounts()).as_dict())
    assert json.loads(text)["balanced"] is True
