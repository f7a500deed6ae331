"""F13 and its kin: whatever the bytes are, nothing raises or hangs, and one outcome is said."""

from __future__ import annotations

import json
import random
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.decoding.decode import FrameDecoder, Outcome
from vol_platform_tests.streamer.support import (
    RECEIVED_NS,
    book_data,
    frame,
    index_data,
    option_ticker,
    ticker_frame,
    trade_data,
)


def decode(raw: bytes):
    return FrameDecoder().decode(raw, RECEIVED_NS)


def _damaged(raw: bytes, chance: random.Random) -> bytes:
    """Return a frame with one to four random edits of its bytes."""
    frame = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(frame))
        match chance.randrange(4):
            case 0:
                frame[place] = chance.randrange(256)
            case 1:
                del frame[place : place + chance.randrange(1, 9)]
            case 2:
                frame[place:place] = chance.randbytes(chance.randrange(1, 9))
            case _:
                frame[place:place] = frame[chance.randrange(len(frame)) :][:40]
        if not frame:
            frame = bytearray(b"{")
    return bytes(frame)


@pytest.mark.parametrize("cases", [3_000, pytest.param(1_000_000, marks=pytest.mark.nightly)])
def test_f13_damaged_frames_never_raise_and_never_hang(cases, record_property):
    chance = random.Random(20261122)
    book = frame("book.BTC-PERPETUAL.100ms", book_data())
    trades = frame("trades.option.BTC.100ms", [trade_data()])
    frames = [ticker_frame(), book, trades, frame("deribit_price_index.btc_usd", index_data())]
    decoder = FrameDecoder()
    outcomes: Counter[Outcome] = Counter()
    slowest = 0.0
    for number in range(cases):
        raw = _damaged(frames[number % len(frames)], chance)
        begun = time.perf_counter()
        outcomes[decoder.decode(raw, RECEIVED_NS).outcome] += 1
        slowest = max(slowest, time.perf_counter() - begun)
    assert sum(outcomes.values()) == cases
    text = f"{cases} damaged frames (seed 20261122), 0 raised, slowest {slowest * 1e3:.1f} ms"
    record_property("measured", text)


_FUZZED = FrameDecoder()  # one for all cases: making it costs a hundred times a decoding


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@settings(deadline=None, max_examples=100_000)
@given(raw=st.binary(max_size=400))
def test_f13_a_hundred_thousand_texts_of_any_bytes_are_decoded_to_one_outcome(raw):
    assert _FUZZED.decode(raw, RECEIVED_NS).outcome in Outcome


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
CHANNELS = st.sampled_from(
    [
        "ticker.BTC-25DEC26-100000-C.100ms",
        "book.BTC-PERPETUAL.raw",
        "book.BTC-PERPETUAL.none.10.100ms",
        "quote.BTC-PERPETUAL",
        "trades.option.BTC.raw",
        "deribit_price_index.btc_usd",
        "deribit_volatility_index.btc_usd",
        "platform_state",
        "anything",
    ]
)


@settings(deadline=None)
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_decoded_to_exactly_one_outcome(raw):
    assert decode(raw).outcome in set(Outcome)


@settings(max_examples=100, deadline=None)
@given(channel=CHANNELS, data=JSON)
def test_any_data_in_any_channel_is_decoded_to_exactly_one_outcome(channel, data):
    raw = json.dumps({"method": "subscription", "params": {"channel": channel, "data": data}})
    decoded = decode(raw.encode("utf-8", "surrogatepass"))
    assert (decoded.outcome is Outcome.DEAD) == bool(decoded.reason)


@settings(max_examples=100, deadline=None)
@given(
    field=st.sampled_from(sorted(option_ticker())),
    value=JSON,
    cut=st.integers(0, 60) | st.none(),
)
def test_a_ticker_with_one_odd_field_never_raises(field, value, cut):
    raw = json.dumps(
        {
            "method": "subscription",
            "params": {"channel": "ticker.a.raw", "data": option_ticker() | {field: value}},
        }
    ).encode("utf-8", "surrogatepass")
    decoded = decode(raw if cut is None else raw[: len(raw) - cut])
    assert decoded.outcome in (Outcome.DATA, Outcome.DEAD)
