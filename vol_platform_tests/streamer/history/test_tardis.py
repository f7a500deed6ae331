"""Tardis files: every line is a quote, digit for digit, or a dead letter."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamer.clock import SYSTEM_CLOCK
from streamer.errors import HistoryError
from streamer.history.tardis import store_tardis_file
from streamer.history.tardis_rows import COLUMNS
from streamer.main import app
from vol_platform.simulator import Market
from vol_platform.simulator.market.board import board_at
from vol_platform.simulator.market.tickers import TickerSource
from vol_platform.store.client import connect
from vol_platform_tests.simulator.conftest import START_MS
from vol_platform_tests.streamer.support import streamer_settings

# The shape of the documented example: a synthetic underlying, prices in coin.
LINE = {
    "exchange": "deribit",
    "symbol": "BTC-9JUN20-9875-P",
    "timestamp": "1591574399413000",
    "local_timestamp": "1591574400196008",
    "type": "put",
    "strike_price": "9875",
    "expiration": "1591689600000000",
    "open_interest": "0.1",
    "last_price": "0.0295",
    "bid_price": "0.0205",
    "bid_amount": "15",
    "bid_iv": "55.91",
    "ask_price": "0.0235",
    "ask_amount": "15",
    "ask_iv": "68.94",
    "mark_price": "0.02210436",
    "mark_iv": "62.89",
    "underlying_index": "SYN.BTC-9JUN20",
    "underlying_price": "9756.3612345678901",
    "delta": "-0.61752",
    "gamma": "0.00103",
    "vega": "2.24964",
    "theta": "-53.05655",
    "rho": "-0.22796",
}


def write(path: Path, lines: list[dict[str, str]]) -> Path:
    text = "\n".join(",".join(line[name] for name in COLUMNS) for line in lines)
    content = f"{','.join(COLUMNS)}\n{text}\n".encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def board_lines() -> list[dict[str, str]]:
    """Return a whole simulated board as a file of Tardis says it."""
    market = Market(7)
    board = board_at(market, START_MS)
    source = TickerSource(market, board)
    lines = []
    moment = START_MS + 1_234
    rows = board.expiry_row * 0 + range(len(board.names))
    for row, ticker in enumerate(source.options(rows, rows * 0 + moment)):
        values: dict[str, Any] = {
            "exchange": "deribit",
            "symbol": ticker.instrument_name,
            "timestamp": moment * 1000,
            "local_timestamp": moment * 1000 + 7_777,
            "type": "call" if board.is_call[row] else "put",
            "strike_price": board.strike[row],
            "expiration": int(board.expiry_ms[board.expiry_row[row]]) * 1000,
            "bid_price": ticker.best_bid_price or "",
            "bid_amount": ticker.best_bid_amount or "",
            "ask_price": ticker.best_ask_price or "",
            "ask_amount": ticker.best_ask_amount or "",
            "bid_iv": ticker.bid_iv or "",
            "ask_iv": ticker.ask_iv or "",
            "last_price": "" if ticker.last_price is None else ticker.last_price,
        }
        for name in ("delta", "gamma", "vega", "theta", "rho"):
            values[name] = getattr(ticker.greeks, name)
        for name in (
            *("open_interest", "mark_price", "mark_iv", "underlying_index", "underlying_price"),
        ):
            values[name] = getattr(ticker, name)
        lines.append({name: str(values[name]) for name in COLUMNS})
    return lines


@pytest.fixture
def store(database, tmp_path):
    settings = streamer_settings(database, tmp_path / "spool")

    def run(path: Path, **options: Any):
        return store_tardis_file(path, settings, SYSTEM_CLOCK, **options)

    return run


def rows_of(database, query: str) -> list[Any]:
    with connect(database) as client:
        return list(client.query(query).result_rows)


def test_a_board_is_stored_digit_for_digit_and_only_once(store, database, tmp_path):
    lines = board_lines()
    path = write(tmp_path / "chain.csv.gz", lines)
    account = store(path)
    assert account.lines == account.quotes == account.instruments == len(lines)
    assert (account.dead_letters, account.hours_closed) == (0, 1)
    names = (
        *("bid_price", "bid_amount", "bid_iv", "ask_price", "ask_amount", "ask_iv", "mark_price"),
        *("mark_iv", "last_price", "open_interest", "delta", "gamma", "vega", "theta", "rho"),
    )
    found = rows_of(
        database,
        "SELECT instrument_name, underlying_price, toUnixTimestamp64Milli(exchange_ts), source, "  # noqa: S608 - our names
        f"rounded_fields, {', '.join(names)} FROM options_quotes ORDER BY instrument_name",
    )
    for row, line in zip(found, sorted(lines, key=lambda each: each["symbol"]), strict=True):
        assert row[0] == line["symbol"]
        assert row[1] == float(line["underlying_price"])
        assert row[2:5] == (START_MS + 1_234, "tardis", "")
        for name, value in zip(names, row[5:], strict=True):
            expected = Decimal(line[name]) if line[name] else None
            if name.endswith(("_iv", "_amount")) and name != "mark_iv" and expected == 0:
                expected = None
            assert value == expected, (line["symbol"], name)
    assert store(path).quotes == len(lines)
    for table, count in (("options_quotes", len(lines)), ("ingest_hours", 1)):
        assert rows_of(database, f"SELECT count() FROM {table}") == [(count,)]  # noqa: S608 - our names


def test_the_instruments_are_those_that_the_exchange_lists(store, database, tmp_path):
    store(write(tmp_path / "chain.csv", board_lines()))
    options = rows_of(
        database,
        "SELECT instrument_name, strike, option_type, toUnixTimestamp64Milli(expiry_ts), "
        "tick_size, price_index, instrument_type FROM options_metadata ORDER BY instrument_name",
    )
    board = board_at(Market(7), START_MS)
    expected = [
        (
            name,
            Decimal(str(board.strike[row])),
            "call" if board.is_call[row] else "put",
            int(board.expiry_ms[board.expiry_row[row]]),
            Decimal("0.0001"),
            "btc_usd",
            "reversed",
        )
        for name, row in board.row_of.items()
    ]
    assert options == sorted(expected)


def test_digits_beyond_the_column_are_named_and_others_are_exact(store, database, tmp_path):
    line = LINE | {"mark_price": "0.022104361", "open_interest": "1234567890.12345678"}
    store(write(tmp_path / "chain.csv", [line]))
    ((mark, interest, underlying, rounded),) = rows_of(
        database,
        "SELECT mark_price, open_interest, underlying_price, rounded_fields FROM options_quotes",
    )
    assert mark == Decimal("0.02210436")
    assert interest == Decimal("1234567890.12345678")
    assert underlying == float(LINE["underlying_price"])
    assert rounded == "mark_price"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"bid_price": "cheap"}, "bid_price must be a number, was 'cheap'"),
        ({"timestamp": "1591574399413.5"}, "timestamp must be whole microseconds"),
        ({"symbol": ""}, "symbol is missing"),
        ({"type": "straddle"}, "type must be call or put"),
        ({"mark_price": "1e30"}, "mark_price cannot hold"),
        ({"ask_iv": "inf"}, "ask_iv cannot hold"),
    ],
)
def test_a_line_that_cannot_be_stored_is_a_dead_letter(store, database, tmp_path, changes, detail):
    good = LINE | {"symbol": "BTC-9JUN20-9750-P", "strike_price": "9750"}
    account = store(write(tmp_path / "chain.csv", [LINE | changes, good]))
    assert (account.lines, account.quotes, account.dead_letters) == (2, 1, 1)
    ((found, raw),) = rows_of(database, "SELECT detail, raw FROM dead_letters")
    assert detail in found
    assert raw == ",".join((LINE | changes)[name] for name in COLUMNS)


def test_receive_times_are_kept_on_request(store, database, tmp_path):
    received_us = SYSTEM_CLOCK.wall_ns() // 1000 - 5_000_000  # older ones may vanish at once
    line = LINE | {"local_timestamp": str(received_us)}
    store(write(tmp_path / "chain.csv", [line]), keep_receive_times=True)
    found = rows_of(database, "SELECT toUnixTimestamp64Micro(received_ts) FROM options_quotes")
    assert found == [(received_us,)]


def test_a_file_that_ends_in_the_middle_says_so(store, tmp_path):
    path = write(tmp_path / "chain.csv.gz", board_lines())
    path.write_bytes(path.read_bytes()[:-2_000])
    with pytest.raises(HistoryError, match=r"cannot be read: .*; what stands before that is"):
        store(path)


def test_a_long_file_is_stored_in_pieces(store, tmp_path):
    pieces: list[int] = []
    lines = board_lines()
    many = [
        line | {"timestamp": str(int(line["timestamp"]) + n)} for n in range(30) for line in lines
    ]
    store(write(tmp_path / "long.csv", many), show=lambda account: pieces.append(account.lines))
    assert len(pieces) > 1
    assert pieces[-1] == len(many)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a,b\n1,2\n", "is no options_chain file of Tardis: it has no column exchange"),
        (None, "does not exist; check the path"),
        ("okex", "must be of exchange deribit, was okex-options"),
    ],
)
def test_a_wrong_file_is_one_line(database, monkeypatch, tmp_path, content, text):
    where = database.clickhouse
    for name, value in (("PORT", where.port), ("DATABASE", where.database)):
        monkeypatch.setenv(f"VOL_STREAMER_CLICKHOUSE__{name}", str(value))
    path = tmp_path / "file.csv"
    if content == "okex":
        write(path, [LINE | {"exchange": "okex-options"}])
    elif content is not None:
        path.write_text(content)
    result = CliRunner().invoke(app, ["history", "tardis", str(path)])
    assert result.exit_code == 1
    assert text in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
