"""Every recorded capture goes in, and every stored field equals the captured one exactly."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import crc32c
import msgspec
import pytest

from streamer.captures.capture import read_capture
from streamer.captures.ingest import ingest_messages
from streamer.clock import SYSTEM_CLOCK
from streamer.deribit.instruments import kind_of, market_of
from vol_platform.store.client import connect
from vol_platform_tests.streamer.support import streamer_settings

CAPTURES = (
    (
        "ws/cryptofeed_deribit_20210417.ws.txt",
        "ws/cryptofeed_deribit_20210722.ws.txt",
        "ws/tardis_node_test_messages.jsonl",
        "ws/misc_captured_frames.jsonl",
        "ws/nautilus",
    ),
    # The same frames as the second above, so in a database of its own.
    ("ws/cryptofeed_deribit_20210722.v3.jsonl.gz",),
)
DEAD_LETTERS = {
    "unsupported_instrument": 3,  # combos
    "unsupported_channel": 1,  # chart
    "missing_field": 1,  # a trimmed ticker without a timestamp
}
TICKER = {
    "state": "state",
    "bid_price": "best_bid_price",
    "bid_amount": "best_bid_amount",
    "ask_price": "best_ask_price",
    "ask_amount": "best_ask_amount",
    "mark_price": "mark_price",
    "index_price": "index_price",
    "open_interest": "open_interest",
    "volume": "stats.volume",
    "volume_usd": "stats.volume_usd",
    "volume_notional": "stats.volume_notional",
    "low_price": "stats.low",
    "high_price": "stats.high",
    "price_change": "stats.price_change",
    "last_price": "last_price",
    "settlement_price": "settlement_price",
    "delivery_price": "delivery_price",
    "estimated_delivery_price": "estimated_delivery_price",
    "min_price": "min_price",
    "max_price": "max_price",
}
OPTION = TICKER | {
    "bid_iv": "bid_iv",
    "ask_iv": "ask_iv",
    "mark_iv": "mark_iv",
    "underlying_index": "underlying_index",
    "underlying_price": "underlying_price",
    "interest_rate": "interest_rate",
    **{name: f"greeks.{name}" for name in ("delta", "gamma", "vega", "theta", "rho")},
}
FUTURE = TICKER | {name: name for name in ("funding_8h", "current_funding", "interest_value")}
TRADE = {
    name: name
    for name in (
        *("trade_id", "trade_seq", "price", "amount", "contracts", "direction", "tick_direction"),
        *("iv", "mark_price", "index_price", "liquidation", "block_trade_id", "combo_id"),
        *("combo_trade_id", "block_rfq_id", "block_trade_leg_count"),
    )
}
ABSENT_WHEN_ZERO = {"bid_price", "bid_amount", "ask_price", "ask_amount", "bid_iv", "ask_iv"}
EMPTY = {"liquidation": "", "block_trade_id": "", "combo_id": "", "combo_trade_id": ""}
EMPTY |= {"underlying_index": "", "state": "", "block_trade_leg_count": 0, "tick_direction": 0}


def at(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = None if document is None else document.get(name)
    return document


def expected_value(column: str, wire: Any) -> Any:
    if column in ABSENT_WHEN_ZERO and wire == 0:
        return None
    if column == "estimated_delivery_price" and wire == "expired":
        return None
    return EMPTY.get(column) if wire is None else wire


def expected_rows(payload: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Return what a captured message must become, read with another parser than ours."""
    message = json.loads(payload, parse_float=Decimal)
    if "method" not in message or message["method"] != "subscription":
        return []
    channel, data = message["params"]["channel"], message["params"]["data"]
    family = channel.split(".")[0]
    if family == "ticker":
        is_option = kind_of(data["instrument_name"]).value == "option"
        table, fields = ("options_quotes", OPTION) if is_option else ("futures_prices", FUTURE)
        row = {column: expected_value(column, at(data, path)) for column, path in fields.items()}
        row["is_expired"] = data.get("estimated_delivery_price") == "expired"
        if not is_option:
            row["contract_type"] = kind_of(data["instrument_name"]).value
        return [(table, identity(data) | row)]
    if family == "trades":
        trades = [*data, *(leg for trade in data for leg in trade.get("legs", []))]
        return [
            ("trades", identity(trade) | {c: expected_value(c, trade.get(c)) for c in TRADE})
            for trade in trades
        ]
    if family == "book":
        is_grouped = channel.count(".") == 4
        kind = data.get("type") or ("change" if data.get("prev_change_id") else "snapshot")
        row = {
            "kind": "grouped" if is_grouped else kind,
            "change_id": data["change_id"],
            "prev_change_id": data.get("prev_change_id"),
        }
        for side in ("bids", "asks"):
            row[side] = [tuple(["new", *level][-3:]) for level in data[side]]
        return [("order_books", identity(data) | row)]
    if family == "quote":
        row = {"kind": "quote", "change_id": 0, "prev_change_id": None}
        for side in ("bid", "ask"):
            row[f"{side}s"] = [("new", data[f"best_{side}_price"], data[f"best_{side}_amount"])]
        return [("order_books", identity(data) | row)]
    if family == "markprice":
        return [
            ("mark_prices", identity(it) | {"mark_price": it["mark_price"], "mark_vol": it["iv"]})
            for it in data
        ]
    if family == "deribit_volatility_index":
        row = {name: data[name] for name in ("index_name", "volatility")}
        return [("volatility_index", row | {"exchange_ts": data["timestamp"]})]
    raise AssertionError(f"the test does not know {channel}")


def identity(data: dict[str, Any]) -> dict[str, Any]:
    name = data["instrument_name"]
    return {
        "instrument_name": name,
        "currency": market_of(name),
        "exchange_ts": data["timestamp"],
    }


def normalised(row: dict[str, Any]) -> str:
    """Return a row as text in which equal numbers look equal, whatever their type."""
    return json.dumps({name: plain(row[name]) for name in sorted(row)})


def plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple | dict):
        parts = value.values() if isinstance(value, dict) else value
        return [plain(each) for each in parts]
    if hasattr(value, "timestamp"):
        return str(round(value.timestamp() * 1000))
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return format(number.normalize() + 0, "f")


def files_of(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else [path]


@pytest.mark.parametrize("captures", CAPTURES, ids=["captures", "captures_as_objects"])
def test_every_message_is_accounted_for_and_every_field_is_stored_exactly(
    captures, real_data, database, tmp_path
):
    settings = streamer_settings(database, tmp_path)
    files = [file for capture in captures for file in files_of(real_data / capture)]
    messages = [message for file in files for message in read_capture(file)]
    accounting = ingest_messages(messages, settings, SYSTEM_CLOCK)
    assert accounting.is_balanced
    assert accounting.messages == len(messages)
    assert accounting.accounts.frames == len(messages)

    with connect(database) as client:
        reasons = dict(
            client.query("SELECT reason, count() FROM dead_letters GROUP BY reason").result_rows
        )
        assert reasons == (DEAD_LETTERS if len(captures) > 1 else {})
        buried = {
            bytes(raw) if isinstance(raw, bytes) else raw.encode()
            for (raw,) in client.query("SELECT raw FROM dead_letters").result_rows
        }
        expected: defaultdict[str, Counter[str]] = defaultdict(Counter)
        columns: dict[str, list[str]] = {}
        for message in messages:
            if message.payload in buried or message.is_instruments:
                continue
            for table, row in expected_rows(message.payload):
                expected[table][normalised(row)] += 1
                columns[table] = sorted(row)
        assert columns
        for table, names in columns.items():
            stored = client.query(
                f"SELECT {', '.join(names)}, rounded_fields FROM {table}"  # noqa: S608 - our names
            ).result_rows
            assert {rounded for *_, rounded in stored} == {""}
            rows = Counter(normalised(dict(zip(names, values, strict=False))) for values in stored)
            assert rows == expected[table]
        segments = client.query(
            "SELECT sum(frames), sum(data_messages), sum(dead_letters), sum(control_messages) "
            "FROM ingest_segments FINAL"
        ).first_row
        assert segments[0] == len(messages) == sum(segments[1:])
        unbalanced = client.query(
            "SELECT count() FROM ingest_segments "
            "WHERE frames != data_messages + dead_letters + control_messages"
        ).first_row[0]
        assert unbalanced == 0


def test_receive_times_and_checksums_are_those_of_the_capture(real_data, database, tmp_path):
    capture = real_data / "ws/cryptofeed_deribit_20210722.ws.txt"
    settings = streamer_settings(database, tmp_path)
    hours_ago = SYSTEM_CLOCK.wall_ns() - 3_600 * 10**9
    captured = list(read_capture(capture))
    first_ns = captured[0].received_ns
    messages = [  # as captured, but lately: what is older than the retention is not kept
        msgspec.structs.replace(message, received_ns=hours_ago + message.received_ns - first_ns)
        for message in captured
    ]
    ingest_messages(messages, settings, SYSTEM_CLOCK, keep_receive_times=True)
    with connect(database) as client:
        stored = client.query(
            "SELECT toUnixTimestamp64Micro(received_ts), content_checksum, source, collector "
            "FROM options_quotes"
        ).result_rows
        closed = client.query(
            "SELECT toString(hour_ts), reason, rows FROM ingest_hours"
        ).result_rows
    expected = Counter()
    for message in messages:
        if b'"ticker.' in message.payload and b'"data":' in message.payload:
            data = message.payload[message.payload.index(b'"data":') + 7 : -2]
            assert message.received_ns is not None
            checksum = crc32c.crc32c(data)
            expected[message.received_ns // 1000, checksum, "replay", "tested"] += 1
    assert Counter(map(tuple, stored)) == expected
    assert [tuple(row) for row in closed] == [("2021-07-22 22:00:00", "replay", 89)]


def test_a_replay_of_the_same_capture_adds_no_update_twice(real_data, database, tmp_path):
    capture = real_data / "ws/cryptofeed_deribit_20210417.ws.txt"
    settings = streamer_settings(database, tmp_path)
    for _ in range(2):
        assert ingest_messages(read_capture(capture), settings, SYSTEM_CLOCK).is_balanced
    with connect(database) as client:
        once = client.query("SELECT count() FROM options_quotes FINAL").first_row[0]
    assert once == 92


def test_instruments_of_a_capture_become_metadata(real_data, database, tmp_path):
    folder = real_data / "rest"
    (capture,) = folder.glob("cryptofeed_get_instruments*")
    accounting = ingest_messages(
        read_capture(capture), streamer_settings(database, tmp_path), SYSTEM_CLOCK
    )
    assert accounting.is_balanced
    listed = {}
    for message in read_capture(capture):
        if message.is_instruments:
            for each in json.loads(message.payload, parse_float=Decimal)["result"]:
                listed[each["instrument_name"]] = each
    with connect(database) as client:
        stored = client.query(
            "SELECT instrument_name, strike, tick_size, contract_size, option_type, "
            "toUnixTimestamp64Milli(expiry_ts) FROM instruments"
        ).result_rows
    assert {row[0] for row in stored} == set(listed)
    for name, strike, tick_size, contract_size, option_type, expiry in stored:
        wire = listed[name]
        assert (strike, tick_size, contract_size) == (
            wire.get("strike"),
            wire["tick_size"],
            wire["contract_size"],
        )
        assert option_type == wire.get("option_type", "")
        is_perpetual = wire["settlement_period"] == "perpetual"
        assert expiry == (None if is_perpetual else wire["expiration_timestamp"])
