"""Usual tickers are read in one pass, and are what the long way makes of them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.decoding.decode import Decoded, FrameDecoder, Outcome
from streamer.decoding.rows import FUTURE_TOLERANCE_MS, Row
from streamer.decoding.usual_tickers import UsualTickers
from streamer.deribit.messages import Greeks, Stats, Ticker
from vol_platform_tests.streamer.support import RECEIVED_MS, RECEIVED_NS, frame, ticker_frame

CHANNEL = "ticker.BTC-25DEC26-100000-C.100ms"
INSTRUMENT = "BTC-25DEC26-100000-C"


def _other(raw: bytes, received_ns: int) -> tuple[bytes, int]:
    return raw, received_ns


@pytest.fixture
def usual() -> UsualTickers:
    made = UsualTickers()
    made.remember(CHANNEL, INSTRUMENT, "options_quotes")
    return made


def _is_usual(usual: UsualTickers, raw: bytes, received_ns: int = RECEIVED_NS) -> bool:
    (made,) = usual.decode_all([raw], [received_ns], _other)
    if not isinstance(made, Row):
        assert made == (raw, received_ns)
    return isinstance(made, Row)


def _reported(decoder: FrameDecoder, made: Row | Decoded) -> tuple[object, ...]:
    """Return everything that a frame became."""
    found = Decoded(Outcome.DATA, "", [made]) if isinstance(made, Row) else made
    rows = [
        (row.table, msgspec.to_builtins(row.message), row.checksum, bytes(row.raw))
        for row in found.rows
    ]
    counted = dict(decoder.unknown_fields), decoder.lenient_messages
    return found.outcome, found.reason, found.detail, rows, counted


def test_a_ticker_of_a_channel_that_was_seen_before_is_usual(usual):
    assert _is_usual(usual, ticker_frame())
    assert _is_usual(usual, ticker_frame(estimated_delivery_price="expired"))
    (row,) = usual.decode_all([ticker_frame(stats=None, greeks=None)], [RECEIVED_NS], _other)
    assert (row.message.stats, row.message.greeks) == (Stats(), Greeks())


@pytest.mark.parametrize(
    "raw",
    [
        frame("ticker.BTC-25DEC26-100000-P.100ms", {}),
        ticker_frame() + b" ",
        ticker_frame()[:-1],
        ticker_frame("BTC-25DEC26-100000-P"),
        ticker_frame(mark_price="much"),
        ticker_frame(estimated_delivery_price="soon"),
        ticker_frame(unheard_of=1),
        ticker_frame().replace(b'"open"', b'"\xff"'),
        ticker_frame().replace(b'"method"', b' "method"'),
        ticker_frame(timestamp=1_000),
        ticker_frame(timestamp=RECEIVED_MS + FUTURE_TOLERANCE_MS + 1),
        b"",
    ],
)
def test_a_frame_that_differs_in_anything_goes_the_other_way(usual, raw):
    assert not _is_usual(usual, raw)


def test_a_channel_that_json_would_write_with_an_escape_is_never_usual():
    usual = UsualTickers()
    for channel in ('ticker."', "ticker.\\", "ticker.\u00e9", "ticker.\n"):
        usual.remember(channel, INSTRUMENT, "options_quotes")
        raw = ticker_frame().replace(CHANNEL.encode(), channel.encode())
        assert not _is_usual(usual, raw)


def test_no_more_channels_are_known_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr("streamer.decoding.usual_tickers._MOST_CHANNELS", 1)
    usual = UsualTickers()
    usual.remember("ticker.other.100ms", "other", "options_quotes")
    usual.remember(CHANNEL, INSTRUMENT, "options_quotes")
    assert not _is_usual(usual, ticker_frame())


def test_frames_keep_their_order_and_a_batch_of_none_is_none(usual):
    frames = [b"{}", ticker_frame(), b"[]", ticker_frame()]
    made = list(usual.decode_all(frames, [RECEIVED_NS] * 4, _other))
    assert [isinstance(it, Row) for it in made] == [False, True, False, True]
    assert not list(usual.decode_all([], [], _other))


def test_the_fields_of_a_ticker_stand_in_the_order_of_the_wire():
    for structure in (Ticker, Stats, Greeks):
        names = [field.name for field in msgspec.structs.fields(structure)]
        places = {name: place for place, name in enumerate(names)}
        wire = msgspec.json.decode(WIRE_ORDER[structure], type=list[str])
        assert [places[name] for name in wire] == sorted(places[name] for name in wire)


WIRE_ORDER = {  # as the exchange wrote an option's ticker in 2021 and writes it still
    Ticker: """["underlying_price", "underlying_index", "timestamp", "stats", "state",
        "settlement_price", "open_interest", "min_price", "max_price", "mark_price", "mark_iv",
        "last_price", "interest_rate", "instrument_name", "index_price", "greeks",
        "estimated_delivery_price", "bid_iv", "best_bid_price", "best_bid_amount",
        "best_ask_price", "best_ask_amount", "ask_iv"]""",
    Stats: """["volume_usd", "volume", "price_change", "low", "high"]""",
    Greeks: """["vega", "theta", "rho", "gamma", "delta"]""",
}


@settings(deadline=None, max_examples=400)
@given(changes=st.data())
def test_a_ticker_read_in_one_pass_is_the_ticker_read_the_long_way(changes):
    raw = ticker_frame()
    place = changes.draw(st.integers(0, len(raw) - 1))
    length = changes.draw(st.integers(0, 12))
    texts = (b"", b" ", b"\\", b'"', b"}", b",", b"{", b"null", b"1e-301", b"\xff", b'"x":1,')
    put = changes.draw(st.sampled_from(texts))
    damaged = raw[:place] + put + raw[place + length :]
    practised, fresh = FrameDecoder(), FrameDecoder()
    assert practised.decode(raw, RECEIVED_NS).outcome is Outcome.DATA  # knows the channel now
    (made,) = practised.decode_all([damaged], [RECEIVED_NS])
    assert _reported(practised, made) == _reported(fresh, fresh.decode(damaged, RECEIVED_NS))
