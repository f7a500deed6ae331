"""Boards list what the exchange lists, under its names and with its fields."""

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from vol_platform.simulator import Market
from vol_platform.simulator.exchange.capture import read_capture
from vol_platform.simulator.market.board import PERPETUAL_EXPIRY_MS, board_at, instrument_rows
from vol_platform.simulator.market.expiries import day_start_ms, listing_day
from vol_platform_tests.simulator.conftest import START_MS


def test_a_board_has_nine_hundred_options_or_more_around_the_year(market: Market) -> None:
    counts = []
    for week in range(0, 52, 3):
        board = board_at(market, day_start_ms(date(2026, 1, 1) + timedelta(weeks=week)))
        counts.append(len(board.names))
        per_expiry = np.bincount(board.expiry_row) // 2
        assert per_expiry.min() >= 20
        assert per_expiry.max() <= 110
        assert len(board.names) == len(set(board.names))
    assert min(counts) >= 900
    assert max(counts) <= 1400


def test_names_are_spelled_as_the_exchange_spells_them(market: Market) -> None:
    board = board_at(market, START_MS)
    assert board.names[0].startswith("BTC-4JUN26-")
    row = board.row_of[board.names[10]]
    assert board.names[row] == board.names[10]
    for name, strike, is_call in zip(board.names, board.strike, board.is_call, strict=True):
        assert name.endswith(f"-{strike:.0f}-{'C' if is_call else 'P'}")


def test_strikes_surround_the_index_and_are_never_delisted_before_expiry(market: Market) -> None:
    today = board_at(market, START_MS)
    tomorrow = board_at(market, today.end_ms)
    gone = set(today.names) - set(tomorrow.names)
    assert gone
    assert all(name.startswith("BTC-4JUN26-") for name in gone)
    spot = float(market.index_price(START_MS)[0])
    for row in range(len(today.expiries)):
        strikes = today.strike[today.expiry_row == row]
        assert strikes.min() < 0.95 * spot
        assert strikes.max() > 1.05 * spot
    same = min(set(today.names) & set(tomorrow.names))
    assert today.stream[today.row_of[same]] == tomorrow.stream[tomorrow.row_of[same]]


def test_a_new_daily_gets_its_future_four_hours_after_listing(market: Market) -> None:
    board = board_at(market, START_MS)
    newest = next(e for e in board.expiries if listing_day(e) == board.day)
    opens = next(f for f in board.futures if f.expiry_ms == day_start_ms(newest))
    assert opens.creation_ms == board.start_ms + 4 * 3_600_000
    assert opens not in board.open_futures(board.start_ms + 3_600_000)
    assert opens in board.open_futures(board.start_ms + 5 * 3_600_000)
    assert board.futures[0].expiry_ms == PERPETUAL_EXPIRY_MS
    assert not board.has_future.all()


def test_instrument_rows_have_the_fields_of_the_exchange(market: Market) -> None:
    rows = instrument_rows(market, board_at(market, START_MS), START_MS)
    option = next(row for row in rows if row["kind"] == "option")
    expected = {
        *("price_index", "kind", "instrument_name", "instrument_id", "option_type", "strike"),
        *("settlement_period", "settlement_currency", "base_currency", "quote_currency"),
        *("counter_currency", "instrument_type", "tick_size", "tick_size_steps", "contract_size"),
        *("min_trade_amount", "maker_commission", "taker_commission", "block_trade_commission"),
        *("block_trade_min_trade_amount", "block_trade_tick_size", "creation_timestamp"),
        *("expiration_timestamp", "is_active", "state", "rfq"),
    }
    assert set(option) == expected
    assert option["tick_size_steps"] == [{"above_price": 0.005, "tick_size": 0.0005}]
    assert option["quote_currency"] == "BTC"
    future = next(row for row in rows if row["kind"] == "future")
    only_futures = {
        *("future_type", "max_leverage", "max_non_default_leverage", "max_liquidation_commission"),
    }
    assert set(future) == expected - {"option_type", "strike"} | only_futures


def test_recorded_instruments_have_no_field_that_ours_lack(market: Market, real_data: Path) -> None:
    rows = instrument_rows(market, board_at(market, START_MS), START_MS)
    ours = {
        kind: set().union(*(r for r in rows if r["kind"] == kind)) for kind in ("option", "future")
    }
    recorded = list(
        read_capture(
            real_data / "rest" / "cryptofeed_get_instruments_20210722_plus_20220529.txt.gz"
        ).instrument_rows
    )
    fixture = real_data / "rest" / "nautilus" / "http_get_instruments.json"
    recorded += json.loads(fixture.read_text())["result"]
    retired = {"max_leverage", "max_liquidation_commission", "leverage"}
    compared = 0
    for row in recorded:
        if row["kind"] in ours:
            compared += 1
            assert set(row) - ours[row["kind"]] <= retired, row["instrument_name"]
    assert compared > 900


@pytest.mark.parametrize("currency", ["BTC", "ETH"])
def test_the_same_seed_lists_the_same_board(currency: str) -> None:
    first, second = (board_at(Market(3, currency), START_MS) for _ in range(2))
    assert first.names == second.names
    assert first.names != board_at(Market(4, currency), START_MS).names
