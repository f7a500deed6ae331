"""Ticker messages: field sets of recorded frames, Deribit's formulas, the oddities."""

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vol_platform.quant import black76
from vol_platform.simulator import Market
from vol_platform.simulator.exchange.capture import read_capture
from vol_platform.simulator.market.board import board_at
from vol_platform.simulator.market.expiries import DAY_MS, day_start_ms
from vol_platform.simulator.market.tickers import TickerSource
from vol_platform.simulator.market.wire import encode
from vol_platform_tests.simulator.conftest import START_MS

OPTION_FIELDS = {
    *("underlying_price", "underlying_index", "timestamp", "stats", "state", "settlement_price"),
    *("open_interest", "min_price", "max_price", "mark_price", "mark_iv", "last_price"),
    *("interest_rate", "instrument_name", "index_price", "greeks", "estimated_delivery_price"),
    *("bid_iv", "best_bid_price", "best_bid_amount", "best_ask_price", "best_ask_amount", "ask_iv"),
}
PERPETUAL_FIELDS = {
    *("timestamp", "state", "stats", "index_price", "instrument_name", "last_price"),
    *("settlement_price", "min_price", "max_price", "open_interest", "mark_price"),
    *("interest_value", "best_ask_price", "best_bid_price", "estimated_delivery_price"),
    *("best_ask_amount", "best_bid_amount", "current_funding", "funding_8h"),
}
ROLL_MS = day_start_ms(date(2026, 6, 4))


def _options(market: Market, time_ms: int) -> list[dict[str, Any]]:
    source = TickerSource(market, board_at(market, time_ms))
    rows = np.arange(len(source.board.names))
    tickers = source.options(rows, np.full(rows.size, time_ms))
    return [json.loads(encode(ticker)) for ticker in tickers]


@pytest.fixture(scope="module")
def board(market: Market) -> list[dict[str, Any]]:
    return _options(market, START_MS)


def test_an_option_ticker_has_exactly_the_fields_of_the_exchange(
    board: list[dict[str, Any]],
) -> None:
    sets = {frozenset(ticker) for ticker in board}
    assert sets == {frozenset(OPTION_FIELDS), frozenset(OPTION_FIELDS - {"settlement_price"})}
    for ticker in board:
        assert set(ticker["greeks"]) == {"delta", "gamma", "vega", "theta", "rho"}
        assert {"volume", "price_change", "low", "high"} <= set(ticker["stats"])


def test_recorded_option_tickers_have_the_same_fields_and_key_order(
    board: list[dict[str, Any]], real_data: Path
) -> None:
    capture = read_capture(real_data / "ws" / "cryptofeed_deribit_20210722.ws.txt")
    full = next(list(ticker) for ticker in board if "settlement_price" in ticker)
    compared = 0
    for frame in capture.frames:
        if frame.channel.startswith("ticker."):
            recorded = json.loads(frame.payload)["params"]["data"]
            assert list(recorded) == full
            assert list(recorded["greeks"]) == list(board[0]["greeks"])
            compared += 1
    assert compared == 89


def test_the_perpetual_and_a_future_have_the_fields_of_a_recorded_frame(
    market: Market, real_data: Path
) -> None:
    source = TickerSource(market, board_at(market, START_MS))
    perpetual, future = (
        json.loads(encode(source.futures([name], START_MS)[0]))
        for name in ("BTC-PERPETUAL", "BTC-26JUN26")
    )
    recorded = json.loads((real_data / "ws" / "nautilus" / "ws_ticker.json").read_text())
    recorded_data = recorded["params"]["data"]
    assert set(perpetual) == set(recorded_data) == PERPETUAL_FIELDS
    assert set(perpetual["stats"]) == set(recorded_data["stats"])
    assert set(future) == PERPETUAL_FIELDS - {"funding_8h", "current_funding", "interest_value"}
    assert future["best_bid_price"] < future["best_ask_price"]
    assert (future["best_bid_price"] * 2).is_integer()


def test_marks_are_black_76_on_the_underlying_price_and_the_printed_volatility(
    board: list[dict[str, Any]],
) -> None:
    for ticker in board:
        expiry_ms = _expiry_ms(ticker)
        years = (expiry_ms - START_MS) / (365 * DAY_MS)
        strike = float(ticker["instrument_name"].split("-")[2])
        price = black76.price_coin(
            ticker["underlying_price"],
            strike,
            years,
            ticker["mark_iv"] / 100,
            ticker["instrument_name"].endswith("C"),
        )
        assert float(price) == pytest.approx(ticker["mark_price"], abs=2.5e-5)


def _expiry_ms(ticker: dict[str, Any]) -> int:
    from datetime import datetime

    label = ticker["instrument_name"].split("-")[1]
    return day_start_ms(datetime.strptime(f"{label} +0000", "%d%b%y %z").date())


def test_the_oracle_knows_every_printed_volatility(
    market: Market, board: list[dict[str, Any]]
) -> None:
    for ticker in board[::7]:
        strike = float(ticker["instrument_name"].split("-")[2])
        truth = market.true_volatility(
            START_MS, ticker["underlying_price"], strike, _expiry_ms(ticker)
        )
        assert float(truth[0]) * 100 == pytest.approx(ticker["mark_iv"], abs=0.00501)


def test_call_and_put_of_a_strike_share_the_volatility(board: list[dict[str, Any]]) -> None:
    by_name = {ticker["instrument_name"]: ticker for ticker in board}
    for name, ticker in by_name.items():
        if name.endswith("-C"):
            assert ticker["mark_iv"] == by_name[name[:-1] + "P"]["mark_iv"]


def test_absent_quotes_are_zero_and_untraded_statistics_are_null(
    board: list[dict[str, Any]],
) -> None:
    absent = [ticker for ticker in board if ticker["best_bid_price"] == 0.0]
    assert absent
    assert all(t["best_bid_amount"] == 0.0 and t["bid_iv"] == 0.0 for t in absent)
    untraded = [t for t in board if t["last_price"] is None]
    assert untraded
    assert all(t["stats"]["low"] is None and t["stats"]["volume"] == 0.0 for t in untraded)
    traded = [t for t in board if t["stats"]["low"] is not None]
    assert all(t["stats"]["low"] <= t["last_price"] <= t["stats"]["high"] for t in traded)


def test_whole_floats_keep_their_point_and_prices_are_bare_numbers(market: Market) -> None:
    source = TickerSource(market, board_at(market, START_MS))
    text = encode(source.options(np.array([0]), np.array([START_MS]))[0]).decode()
    assert '"interest_rate":0.0' in text
    assert f'"timestamp":{START_MS},' in text


def test_underlying_names_have_the_listed_and_the_synthetic_form(
    board: list[dict[str, Any]],
) -> None:
    names = {ticker["underlying_index"] for ticker in board}
    assert any(name.startswith("SYN.BTC-") for name in names)
    assert "BTC-26JUN26" in names


def test_the_last_half_hour_marks_at_intrinsic_on_the_running_average(market: Market) -> None:
    time_ms = ROLL_MS - 240_000
    settling = [t for t in _options(market, time_ms) if "-4JUN26-" in t["instrument_name"]]
    assert settling
    for ticker in settling:
        strike = float(ticker["instrument_name"].split("-")[2])
        forward = ticker["underlying_price"]
        sign = 1 if ticker["instrument_name"].endswith("C") else -1
        assert ticker["underlying_index"] == "SYN.EXPIRY"
        assert ticker["estimated_delivery_price"] == forward
        intrinsic = max(sign * (forward - strike) / forward, 0.0)
        assert ticker["mark_price"] == pytest.approx(intrinsic, abs=1e-8)
        assert set(ticker["greeks"].values()) == {0.0}
        assert ticker["mark_iv"] > 0


def test_an_expired_options_last_ticker_says_so(market: Market) -> None:
    source = TickerSource(market, board_at(market, ROLL_MS - 1))
    last = [json.loads(encode(ticker)) for ticker in source.expired_options(ROLL_MS + 100)]
    assert {t["instrument_name"].split("-")[1] for t in last} == {"4JUN26"}
    delivery = market.settlement_average(ROLL_MS, ROLL_MS)
    for ticker in last:
        assert ticker["estimated_delivery_price"] == "expired"
        assert ticker["state"] == "closed"
        assert ticker["delivery_price"] == delivery
        assert (ticker["mark_iv"], ticker["bid_iv"], ticker["ask_iv"]) == (250.0, 0.0, 500.0)


def test_every_number_is_finite(board: list[dict[str, Any]]) -> None:
    for ticker in board:
        for value in (*ticker.values(), *ticker["greeks"].values()):
            assert not isinstance(value, float) or math.isfinite(value)
