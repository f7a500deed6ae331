"""What readers of Redis find."""

import json
from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
import redis

from vol_platform.live.engine import Engine
from vol_platform.live.market import Market
from vol_platform.live.publisher import STATUS_TTL_SECONDS, RedisPublisher, json_rows
from vol_platform.settings import QuoteSettings
from vol_platform_tests.live import boards
from vol_platform_tests.live.boards import START, Board

LATER = START + timedelta(milliseconds=250)


@pytest.fixture(scope="module")
def computation():
    board, market = Board(), Market("BTC")
    market.apply_specifications(
        dict(zip(boards.SPECIFICATION_COLUMNS, row, strict=True)) for row in board.specifications()
    )
    market.apply_quotes(boards.QUOTE_COLUMNS, board.quotes(START))
    return Engine(QuoteSettings()).compute(market)


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushdb()
        yield client


@pytest.fixture
def publisher(redis_url):
    publisher = RedisPublisher(redis_url, "vol")
    yield publisher
    publisher.close()


def test_instants_are_iso_and_absent_values_are_null():
    frame = pl.DataFrame(
        {"at": [START], "value": [None], "list": [[1.5]]}, schema_overrides={"value": pl.Float64}
    )
    assert json.loads(json_rows(frame)[0]) == {
        "at": "2026-06-02T12:00:00.000Z",
        "value": None,
        "list": [1.5],
    }


def test_the_keys_hold_the_frames(client, publisher, computation):
    assert publisher.publish(computation, LATER)
    surface = json.loads(client.get("vol:BTC:surface"))
    assert surface["version"] == 1
    assert surface["snapshot_ts"] == "2026-06-02T12:00:00Z"
    assert surface["computed_ts"] == "2026-06-02T12:00:00.250000Z"
    rows = computation.frames["surfaces"]
    assert [row["atm_vol"] for row in surface["expiries"]] == rows["atm_vol"].to_list()
    forwards = json.loads(client.get("vol:BTC:forwards"))["expiries"]
    assert [row["forward"] for row in forwards] == computation.frames["forward_curve"][
        "forward"
    ].to_list()
    term = json.loads(client.get("vol:BTC:term_structure"))
    for part, name in (("expiries", "term_structure"), ("skew", "skew_metrics")):
        assert len(term[part]) == computation.frames[name].height > 0


def test_greeks_are_a_hash_by_instrument(client, publisher, computation):
    publisher.publish(computation, LATER)
    greeks = client.hgetall("vol:BTC:greeks")
    frame = computation.frames["options_greeks"]
    assert set(greeks) == set(frame["instrument_name"])
    row = frame.row(0, named=True)
    stored = json.loads(greeks[row["instrument_name"]])
    assert stored["delta"] == row["delta"]
    assert stored["vol"] == row["vol"]


def test_an_option_that_is_gone_leaves_the_hash(client, publisher, computation):
    client.hset("vol:BTC:greeks", "BTC-1JAN20-1-C", "left by an earlier process")
    publisher.publish(computation, LATER)
    assert client.hlen("vol:BTC:greeks") == computation.frames["options_greeks"].height
    fewer = dict(computation.frames)
    fewer["options_greeks"] = fewer["options_greeks"].head(3)
    publisher.publish(replace(computation, frames=fewer), LATER)
    assert set(client.hkeys("vol:BTC:greeks")) == set(fewer["options_greeks"]["instrument_name"])


def test_every_publication_is_announced(client, publisher, computation):
    with client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("vol:BTC:updates")
        listener.get_message(timeout=5.0)
        publisher.publish(computation, LATER)
        message = None
        while message is None:
            message = listener.get_message(timeout=5.0)
    assert json.loads(message["data"]) == {
        "version": 1,
        "currency": "BTC",
        "snapshot_ts": "2026-06-02T12:00:00Z",
        "computed_ts": "2026-06-02T12:00:00.250000Z",
    }


def test_the_status_ends_by_itself(client, publisher):
    assert publisher.publish_status("BTC", {"state": "live"})
    assert json.loads(client.get("vol:BTC:status")) == {"version": 1, "state": "live"}
    assert 0 < client.ttl("vol:BTC:status") <= STATUS_TTL_SECONDS


def test_without_redis_it_says_no_and_does_not_try_at_every_turn(computation):
    publisher = RedisPublisher("redis://127.0.0.1:9/0", "vol")
    assert not publisher.publish(computation, LATER)
    assert not publisher.connected
    assert not publisher._may_try()
    assert not publisher.publish_status("BTC", {})
    publisher.close()
