"""Frames to rows: every frame is data, control or a dead letter."""

from __future__ import annotations

import json

import crc32c
import pytest

from streamer.decoding.decode import FrameDecoder, Outcome
from vol_platform_tests.streamer.support import (
    PERPETUAL,
    RECEIVED_MS,
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


@pytest.mark.parametrize(
    ("raw", "tables"),
    [
        (ticker_frame(), ["options_quotes"]),
        (frame("ticker.BTC-PERPETUAL.100ms", option_ticker(PERPETUAL)), ["futures_prices"]),
        (frame("ticker.BTC-25DEC26.100ms", option_ticker("BTC-25DEC26")), ["futures_prices"]),
        (frame("deribit_price_index.btc_usd", index_data()), ["spot_prices"]),
        (
            frame(
                "deribit_volatility_index.btc_usd",
                {"index_name": "btc_usd", "timestamp": RECEIVED_MS, "volatility": 41.2},
            ),
            ["volatility_index"],
        ),
        (frame("book.BTC-PERPETUAL.100ms", book_data()), ["order_books"]),
        (frame("trades.option.ETH.100ms", [trade_data(), trade_data(trade_seq=8)]), ["trades"] * 2),
        (frame("trades.option.ETH.100ms", []), []),
    ],
)
def test_a_data_message_becomes_rows_of_its_table(raw, tables):
    decoded = decode(raw)
    assert decoded.outcome is Outcome.DATA
    assert [row.table for row in decoded.rows] == tables


def test_the_checksum_is_of_the_bytes_of_the_data_object():
    raw = b'{"params":{"data": {"index_name":"btc_usd","timestamp":1795000000000,"price":1.50} ,'
    raw += b'"channel":"deribit_price_index.btc_usd"},"method":"subscription","jsonrpc":"2.0"}'
    (row,) = decode(raw).rows
    data = b'{"index_name":"btc_usd","timestamp":1795000000000,"price":1.50}'
    assert row.checksum == crc32c.crc32c(data)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"jsonrpc":"2.0","id":1,"result":["a"],"usIn":1,"usOut":2,"usDiff":1,"testnet":false}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":10028,"message":"too_many_requests"}}',
        b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}',
        frame("platform_state", {"price_index": "btc_usd", "locked": True}),
        frame("instrument.state.any.BTC", {"instrument_name": "X", "state": "created"}),
    ],
)
def test_replies_heartbeats_and_lifecycle_events_are_control_messages(raw):
    assert decode(raw).outcome is Outcome.CONTROL


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "malformed"),
        (ticker_frame()[:-9], "malformed"),
        (b'{"method":"\xff"}', "malformed"),
        (b'{"a":' * 100_000, "malformed"),
        (ticker_frame().replace(b"0.0521", b"NaN"), "malformed"),
        (ticker_frame().replace(b"0.0521", b"1e400"), "wrong_type"),
        (b"[]", "wrong_type"),
        (b'{"jsonrpc":"2.0"}', "unknown_message"),
        (b'{"method":"subscription","params":{}}', "unknown_message"),
        (frame("ticker.X.raw", {"instrument_name": "BTC-25DEC26"}), "missing_field"),
        (ticker_frame(mark_price="much"), "wrong_type"),
        (ticker_frame(estimated_delivery_price="soon"), "wrong_type"),
        (ticker_frame(timestamp=1_000), "timestamp_out_of_range"),
        (ticker_frame(timestamp=RECEIVED_MS + 90_000_000), "timestamp_out_of_range"),
        (ticker_frame("BTC-CS-25DEC26-70000_75000"), "unsupported_instrument"),
        (ticker_frame("nonsense"), "unsupported_instrument"),
        (frame("chart.trades.BTC-PERPETUAL.1", {"tick": 1}), "unsupported_channel"),
        (frame("chart.trades.BTC-PERPETUAL.1", {}), "unsupported_channel"),
        (frame("new.channel", {}), "unknown_channel"),
        (frame("book.a.b.c.d.e", {}), "unknown_channel"),
        (frame("book.BTC-PERPETUAL.raw", book_data(type="other")), "wrong_type"),
        (
            frame("book.BTC-PERPETUAL.raw", book_data(bids=[["turn", 1.0, 1.0]])),
            "wrong_type",
        ),
        (frame("trades.x.raw", [trade_data(trade_seq=-1)]), "wrong_type"),
        (frame("trades.x.raw", {}), "wrong_type"),
    ],
)
def test_what_cannot_be_stored_is_a_dead_letter_with_a_reason(raw, reason):
    decoded = decode(raw)
    assert (decoded.outcome, decoded.reason) == (Outcome.DEAD, reason)
    assert decoded.rows == []


def test_the_text_expired_is_no_number_and_no_error():
    (row,) = decode(ticker_frame(estimated_delivery_price="expired")).rows
    assert row.message.estimated_delivery_price == "expired"


def test_numbers_written_as_text_are_read_and_counted():
    decoder = FrameDecoder()
    (row,) = decoder.decode(ticker_frame(best_bid_price="0.0521"), RECEIVED_NS).rows
    assert row.message.best_bid_price == 0.0521
    (row,) = decoder.decode(ticker_frame(estimated_delivery_price="91000.5"), RECEIVED_NS).rows
    assert row.message.estimated_delivery_price == 91000.5
    assert decoder.lenient_messages == 2


def test_an_unknown_field_is_counted_and_the_message_is_kept():
    decoder = FrameDecoder()
    decoded = decoder.decode(ticker_frame(new_field={"deep": [1]}), RECEIVED_NS)
    assert decoded.outcome is Outcome.DATA
    stats = {"volume": 1.0, "volume_of_dreams": 2}
    assert decoder.decode(ticker_frame(stats=stats), RECEIVED_NS).outcome is Outcome.DATA
    assert dict(decoder.unknown_fields) == {
        "ticker.new_field": 1,
        "ticker.stats.volume_of_dreams": 1,
    }


def test_missing_and_null_parts_of_a_ticker_are_absent():
    raw = ticker_frame(stats=None, greeks=None, last_price=None)
    (row,) = decode(raw).rows
    assert row.message.stats.volume is None
    assert row.message.greeks.delta is None
    assert row.message.last_price is None


def test_a_book_without_type_is_a_snapshot_or_a_change_by_its_previous_id():
    first = book_data(type=None, prev_change_id=None)
    assert decode(frame("book.x.raw", first)).rows[0].message.kind == "snapshot"
    second = book_data(type=None)
    assert decode(frame("book.x.raw", second)).rows[0].message.kind == "change"


def test_a_grouped_book_and_a_quote_are_rows_of_order_books():
    grouped = book_data(bids=[[1.5, 2.0]], asks=[])
    del grouped["type"], grouped["prev_change_id"]
    (row,) = decode(frame("book.BTC-PERPETUAL.none.10.100ms", grouped)).rows
    assert (row.table, row.message.kind) == ("order_books", "grouped")
    assert row.message.bids == [("new", 1.5, 2.0)]
    quote = {
        "instrument_name": PERPETUAL,
        "timestamp": RECEIVED_MS,
        "best_bid_price": 5.0,
        "best_bid_amount": 1.0,
        "best_ask_price": 0.0,
        "best_ask_amount": 0.0,
    }
    (row,) = decode(frame("quote.BTC-PERPETUAL", quote)).rows
    assert (row.message.kind, row.message.bids, row.message.asks) == (
        "quote",
        [("new", 5.0, 1.0)],
        [],
    )


def test_the_legs_of_a_combo_trade_are_trades_of_their_own():
    leg = trade_data(combo_id="ETH-CS-25DEC26-1_2", combo_trade_id=43)
    parent = trade_data(instrument_name="ETH-CS-25DEC26-1_2", legs=[leg, leg | {"trade_seq": 9}])
    rows = decode(frame("trades.ETH-CS-25DEC26-1_2.raw", [parent])).rows
    assert [row.message.trade_seq for row in rows] == [7, 7, 9]


def test_instruments_become_metadata_and_a_perpetual_has_no_expiry():
    option = {
        "instrument_name": "BTC-25DEC26-100000-C",
        "kind": "option",
        "base_currency": "BTC",
        "quote_currency": "BTC",
        "contract_size": 1,
        "min_trade_amount": 0.1,
        "tick_size": 0.0001,
        "tick_size_steps": [{"above_price": 0.005, "tick_size": 0.0005}],
        "strike": 100000.0,
        "expiration_timestamp": 1798185600000,
        "a_new_key": [],
    }
    perpetual = option | {
        "instrument_name": PERPETUAL,
        "kind": "future",
        "settlement_period": "perpetual",
        "expiration_timestamp": 32503708800000,
    }
    body = json.dumps({"jsonrpc": "2.0", "result": [option, perpetual]}).encode()
    rows = FrameDecoder().decode_instruments(body).rows
    assert [row.message.kind for row in rows] == ["option", "perpetual"]
    assert rows[1].message.expiration_timestamp is None
    closed = json.dumps({"result": [option | {"is_active": False, "state": "closed"}]}).encode()
    (again,) = FrameDecoder().decode_instruments(closed).rows
    assert again.checksum == rows[0].checksum  # the same specification, whatever its state


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "malformed"),
        (b'{"error":{"code":10028,"message":"too_many_requests"}}', "error_answer"),
        (b'{"result":[{"kind":"option"}]}', "missing_field"),
        (b'{"result":{}}', "wrong_type"),
    ],
)
def test_an_unreadable_list_of_instruments_is_a_dead_letter(body, reason):
    decoded = FrameDecoder().decode_instruments(body)
    assert (decoded.outcome, decoded.reason) == (Outcome.DEAD, reason)


def test_marks_of_a_market_and_the_interest_of_a_perpetual_are_rows():
    marks = [
        {"timestamp": RECEIVED_MS, "iv": 0.3706, "instrument_name": name, "mark_price": 0.005}
        for name in ("BTC-31JUL26-67000-C", "BTC-31JUL26-67000-P")
    ]
    decoded = FrameDecoder().decode(frame("markprice.options.btc_usd", marks), RECEIVED_NS)
    assert [(row.table, row.message.iv) for row in decoded.rows] == [("mark_prices", 0.3706)] * 2
    interest = {"timestamp": RECEIVED_MS, "interest": 2.2e-05, "index_price": 7872.88}
    decoded = FrameDecoder().decode(frame("perpetual.BTC-PERPETUAL.100ms", interest), RECEIVED_NS)
    (row,) = decoded.rows
    assert (row.table, row.message.instrument_name) == ("perpetual_interest", "BTC-PERPETUAL")
    assert (row.message.interest, row.message.index_price) == (2.2e-05, 7872.88)
    late = [marks[0] | {"timestamp": RECEIVED_MS + 2 * 86_400_000}]
    decoded = FrameDecoder().decode(frame("markprice.options.btc_usd", late), RECEIVED_NS)
    assert decoded.reason == "timestamp_out_of_range"
