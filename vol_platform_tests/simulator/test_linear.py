"""Linear markets: premiums in USDC, strikes with decimals, the coin's own index and surface."""

from __future__ import annotations

import numpy as np
import pytest

from vol_platform.simulator import Exchange, Market
from vol_platform.simulator.exchange.options import make_options
from vol_platform.simulator.exchange.rpc import answer
from vol_platform.simulator.market.board import board_at, instrument_rows
from vol_platform.simulator.market.names import row_from_name
from vol_platform.simulator.market.quotes import option_quotes
from vol_platform_tests.simulator.conftest import START, START_MS


@pytest.fixture(scope="module")
def exchange() -> Exchange:
    """Return an exchange that was not started: its calls need no socket."""
    return Exchange(make_options(start=START, seed=7, currencies=("BTC", "BTC_USDC", "SOL_USDC")))


def _quotes(name: str):
    market = Market(7, name)
    board = board_at(market, START_MS)
    rows = np.arange(len(board.names))
    return market, option_quotes(market, board, rows, np.full(rows.size, START_MS))


def test_a_strike_with_decimals_has_a_d_for_the_point() -> None:
    board = board_at(Market(7, "SOL_USDC"), START_MS)
    with_decimals = [name for name in board.names if "d5-" in name]
    assert with_decimals
    for name in (*with_decimals[:3], board.names[0]):
        row = row_from_name(name)
        assert row is not None
        assert row["strike"] == board.strike[board.row_of[name]]


def test_premiums_are_those_of_the_coin_times_the_forward() -> None:
    _, coin = _quotes("BTC")
    market, linear = _quotes("BTC_USDC")
    assert market.settlement == "USDC"
    np.testing.assert_allclose(linear.forward, coin.forward)
    np.testing.assert_allclose(linear.mark_price, coin.mark_price * coin.forward, rtol=1e-9)
    np.testing.assert_allclose(linear.volatility, coin.volatility)


@pytest.mark.parametrize("name", ["BTC_USDC", "SOL_USDC"])
def test_quotes_stand_on_the_ladder_and_never_cross(name) -> None:
    market, quotes = _quotes(name)
    step = market.specification.ladder.fine
    for side in (quotes.bid_price, quotes.ask_price):
        steps = side / step
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
    both = (quotes.bid_price > 0) & (quotes.ask_price > 0)
    assert both.mean() > 0.4
    assert np.all(quotes.ask_price[both] > quotes.bid_price[both])
    usual = both & (np.abs(quotes.greeks.delta) > 0.2) & (np.abs(quotes.greeks.delta) < 0.8)
    inside = (quotes.bid_volatility <= quotes.volatility) & (
        quotes.volatility <= quotes.ask_volatility
    )
    assert inside[usual].mean() > 0.9


def test_usdc_lists_every_linear_market_and_no_other(exchange) -> None:
    listed = answer(exchange, None, "public/get_instruments", {"currency": "USDC"})
    assert {row["instrument_name"].split("-")[0] for row in listed} == {"BTC_USDC", "SOL_USDC"}
    for row in listed:
        assert row["instrument_type"] == "linear"
        assert row["settlement_currency"] == row["quote_currency"] == "USDC"
    inverse = answer(exchange, None, "public/get_instruments", {"currency": "BTC"})
    assert {row["settlement_currency"] for row in inverse} == {"BTC"}
    one = instrument_rows(
        Market(7, "SOL_USDC"), board_at(Market(7, "SOL_USDC"), START_MS), START_MS
    )
    assert one[0]["price_index"] == "sol_usdc"
    assert one[0]["tick_size_steps"] == []


def test_there_is_no_volatility_index_of_a_linear_market(exchange) -> None:
    from vol_platform.simulator.exchange.channels import parse_channel

    for name, exists in (("btc_usd", True), ("btc_usdc", False)):
        channel = parse_channel(f"deribit_volatility_index.{name}")
        assert channel is not None
        assert exchange.venue.exists(channel, START_MS) is exists
