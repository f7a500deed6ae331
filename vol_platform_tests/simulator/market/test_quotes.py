"""Quotes look like recorded boards: ladder, widths by tenor and delta, absent sides."""

from datetime import date

import numpy as np
import pytest

from vol_platform.simulator import Market
from vol_platform.simulator.market.board import Board, board_at
from vol_platform.simulator.market.expiries import DAY_MS, day_start_ms
from vol_platform.simulator.market.ladder import COIN_LADDER
from vol_platform.simulator.market.quotes import (
    OptionQuotes,
    forwards,
    option_quotes,
)
from vol_platform_tests.simulator.conftest import START_MS

_HOUR_MS = 3_600_000


def _whole_board(market: Market, time_ms: int) -> tuple[Board, OptionQuotes]:
    board = board_at(market, time_ms)
    rows = np.arange(len(board.names))
    return board, option_quotes(market, board, rows, np.full(rows.size, time_ms))


def test_the_ladder_is_fine_below_half_a_hundredth_and_coarse_above() -> None:
    assert COIN_LADDER.round([0.00314, 0.0049, 0.00512, 0.00538, 0.1]).tolist() == [
        *(0.0031, 0.0049, 0.005, 0.0055, 0.1)
    ]
    assert COIN_LADDER.round([0.00314, 0.0051], -1).tolist() == [0.0031, 0.005]
    assert COIN_LADDER.round([0.00314, 0.0051], 1).tolist() == [0.0032, 0.0055]


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_every_quote_is_on_the_ladder_and_none_is_crossed(seed: int) -> None:
    market = Market(seed)
    for hour in (0, 5, 11, 100):
        _, quotes = _whole_board(market, START_MS + hour * _HOUR_MS)
        for price in (quotes.bid_price, quotes.ask_price):
            shown = price[price > 0]
            tick = np.where(shown < 0.005, 0.0001, 0.0005)
            np.testing.assert_allclose(shown / tick, np.round(shown / tick), atol=1e-6)
        two = (quotes.bid_price > 0) & (quotes.ask_price > 0)
        assert (quotes.bid_price < quotes.ask_price)[two].all()
        for price, amount in (
            (quotes.bid_price, quotes.bid_amount),
            (quotes.ask_price, quotes.ask_amount),
        ):
            assert ((amount > 0) == (price > 0)).all()
            assert amount[amount > 0].min() >= 0.1


def test_widths_follow_the_recorded_medians_of_a_calm_board() -> None:
    """Medians of a recorded calm board, in vol points, within a factor of 1.7."""
    market = Market(7)
    recorded = {
        (0, 1): (5.3, 2.2, 7.6),
        (1, 4.5): (2.4, 1.8, 2.9),
        (4.5, 12.5): (1.5, 1.1, 1.8),
        (12.5, 45.5): (1.3, 0.9, 1.0),
        (45.5, 120.5): (0.8, 0.5, 0.6),
        (120.5, 400): (0.9, 0.6, 0.6),
    }
    calm = [
        moment
        for moment in START_MS + np.arange(400) * DAY_MS // 2
        if market.stress(int(moment))[0] == 0
    ][:6]
    widths: list[tuple[np.ndarray, ...]] = []
    for moment in calm:
        board, quotes = _whole_board(market, int(moment))
        days = (board.expiry_ms[board.expiry_row] - moment) / DAY_MS
        delta = np.abs(quotes.greeks.delta)
        two = (quotes.bid_price > 0) & (quotes.ask_price > 0)
        width = 100 * (quotes.ask_volatility - quotes.bid_volatility)
        widths.append((days[two], delta[two], width[two]))
    days, delta, width = (np.concatenate(parts) for parts in zip(*widths, strict=True))
    for (low, high), medians in recorded.items():
        for (least, most), expected in zip(
            ((0.02, 0.1), (0.1, 0.25), (0.25, 0.75)), medians, strict=True
        ):
            chosen = (days > low) & (days <= high) & (delta > least) & (delta <= most)
            measured = float(np.median(width[chosen]))
            assert expected / 1.7 < measured < expected * 1.7, (low, high, least, most)


def test_deep_in_the_money_quotes_are_much_wider_than_out_of_the_money() -> None:
    _, quotes = _whole_board(Market(7), START_MS)
    delta = np.abs(quotes.greeks.delta)
    two = (quotes.bid_price > 0) & (quotes.ask_price > 0)
    width = quotes.ask_volatility - quotes.bid_volatility
    deep = np.median(width[two & (delta > 0.9) & (delta < 0.98)])
    near = np.median(width[two & (delta > 0.02) & (delta < 0.25)])
    assert deep > 4 * near


def test_most_of_the_board_is_two_sided_with_the_mark_inside() -> None:
    inside, shown = [], []
    for hour in range(0, 40, 8):
        _, quotes = _whole_board(Market(7), START_MS + hour * _HOUR_MS)
        two = (quotes.bid_price > 0) & (quotes.ask_price > 0)
        delta = np.abs(quotes.greeks.delta)
        shown.append(two[(delta > 0.02) & (delta < 0.98)].mean())
        marks = (quotes.bid_price <= quotes.mark_price) & (quotes.mark_price <= quotes.ask_price)
        inside.append(marks[two].mean())
    assert np.mean(inside) > 0.9
    assert np.mean(inside) < 1.0
    assert np.mean(shown) > 0.93


def test_wings_of_the_shortest_expiry_are_often_ask_only() -> None:
    board, quotes = _whole_board(Market(7), START_MS)
    first = board.expiry_row == 0
    wing = first & (np.abs(quotes.greeks.delta) < 0.02)
    ask_only = (quotes.bid_price == 0) & (quotes.ask_price > 0)
    assert 0.4 < ask_only[wing].mean() < 0.98


def test_absent_quotes_have_no_volatility_and_asks_are_capped() -> None:
    _, quotes = _whole_board(Market(7), START_MS)
    assert (quotes.bid_volatility[quotes.bid_price == 0] == 0).all()
    assert quotes.ask_volatility.max() <= 5.0
    below = (quotes.bid_price > 0) & (quotes.bid_volatility == 0)
    assert below.any(), "some in-the-money bids are below intrinsic value"


def test_the_newest_daily_has_no_quotes_for_five_minutes_and_all_after_twenty() -> None:
    market = Market(7)
    roll = day_start_ms(date(2026, 6, 3))
    shares = []
    for minutes in (3, 11, 25):
        board, quotes = _whole_board(market, roll + minutes * 60_000)
        newest = int(np.flatnonzero(board.expiry_ms == roll + 4 * DAY_MS)[0])
        near = (board.expiry_row == newest) & (np.abs(quotes.greeks.delta - 0.5) < 0.4)
        new = near & (board.creation_ms == roll)
        shares.append((quotes.ask_price > 0)[new].mean())
    assert shares[0] == 0
    assert 0.2 < shares[1] < 0.8
    assert shares[2] > 0.95


def test_forwards_without_a_future_lie_on_the_line_between_their_neighbours() -> None:
    market = Market(7)
    board = board_at(market, START_MS)
    forward, index, is_open = forwards(market, board, np.array([START_MS]))
    years = (board.expiry_ms - START_MS) / (365 * DAY_MS)
    nodes = np.concatenate(([0.0], years[is_open[0]]))
    values = np.concatenate((index, forward[0][is_open[0]]))
    assert (~is_open[0]).any()
    expected = np.interp(years[~is_open[0]], nodes, values)
    np.testing.assert_allclose(forward[0][~is_open[0]], expected, rtol=1e-14)
    np.testing.assert_allclose(forward[0][is_open[0]], np.round(forward[0][is_open[0]], 2))
