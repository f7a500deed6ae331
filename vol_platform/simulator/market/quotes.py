"""What market makers show around the true surface: both sides, sizes, absent quotes.

Widths follow measured boards (median bid–ask width in vol points by tenor and |delta|, in a calm
and in a crashing market).  Like the market itself every quote is a pure function of instrument
and time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vol_platform.simulator.market import noise
from vol_platform.simulator.market.board import Board
from vol_platform.simulator.market.expiries import DAY_MS, YEAR_MS
from vol_platform.simulator.market.ladder import COIN_LADDER
from vol_platform.simulator.market.market import Market
from vol_platform.simulator.market.pricing import Greeks, coin_price, greeks, implied_volatility
from vol_platform.simulator.market.surface import SurfaceParameters

__all__ = [
    "SETTLEMENT_WINDOW_MS",
    "OptionQuotes",
    "forwards",
    "option_quotes",
]

_Array = NDArray[np.float64]

SETTLEMENT_WINDOW_MS = 1_800_000
_FINE_TICK = COIN_LADDER.fine

_TENOR_DAYS = np.array([1.0, 4.5, 12.5, 45.5, 120.5])
_ABSOLUTE_DELTAS = np.array([0.05, 0.16, 0.5, 0.82, 0.94])
_CALM_WIDTH = np.array(
    [
        [5.3, 2.2, 7.6, 25.0, 81.0],
        [2.4, 1.8, 2.9, 11.0, 37.0],
        [1.5, 1.1, 1.8, 6.0, 17.0],
        [1.3, 0.9, 1.0, 4.0, 13.0],
        [0.8, 0.5, 0.6, 2.0, 11.0],
        [0.9, 0.6, 0.6, 2.5, 7.0],
    ]
)
_CRASH_WIDTH = np.array(
    [
        [11.8, 10.3, 12.8, 135.0, 1844.0],
        [3.7, 3.5, 4.3, 463.0, 992.0],
        [1.8, 2.3, 2.1, 205.0, 68.0],
        [1.5, 1.1, 1.4, 17.0, 45.0],
        [1.3, 0.9, 0.8, 19.0, 77.0],
        [2.2, 1.1, 1.5, 74.0, 279.0],
    ]
)
_CALM_WING_TWO_SIDED = np.array([0.21, 0.67, 1.0, 0.85, 0.8, 1.0])
_CRASH_WING_TWO_SIDED = np.array([0.02, 0.5, 0.94, 0.93, 0.72, 1.0])
"""Share of options below 2 % delta with both sides, by tenor."""
_WING_DELTA = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class OptionQuotes:
    """Quotes of chosen options, each at its own moment; every array has shape (n,).

    Prices are in the premium currency (coin, or USDC of linear options), volatilities decimals (0
    for absent), absent prices and sizes 0.
    """

    rows: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    forward: _Array
    index_price: _Array
    in_settlement: NDArray[np.bool_]
    has_future: NDArray[np.bool_]
    volatility: _Array
    mark_price: _Array
    greeks: Greeks
    bid_price: _Array
    ask_price: _Array
    bid_amount: _Array
    ask_amount: _Array
    bid_volatility: _Array
    ask_volatility: _Array


def forwards(
    market: Market, board: Board, time_ms: NDArray[np.int64]
) -> tuple[_Array, _Array, NDArray[np.bool_]]:
    """Return (forward, index price, own future open) per moment and expiry.

    Shapes (m, e), (m,), (m, e).  A listed future's mark carries the basis and is rounded to cents;
    the others are linear in calendar time between neighbouring marks with the index as the node
    at zero; an expiry in its last half hour is the running average of the index.
    """
    index = market.index_price(time_ms)
    years = np.maximum(board.expiry_ms[None, :] - time_ms[:, None], 0) / YEAR_MS
    marks = np.round(index[:, None] * np.exp(market.basis_rate(time_ms)[:, None] * years), 2)
    opens = np.full(board.expiry_ms.size, np.iinfo(np.int64).max)
    creation = {future.expiry_ms: future.creation_ms for future in board.futures}
    for column in np.flatnonzero(board.has_future):
        opens[column] = creation[int(board.expiry_ms[column])]
    is_open = opens[None, :] <= time_ms[:, None]
    forward = marks.copy()
    for row in range(time_ms.size):
        own = is_open[row]
        if not own.all():
            nodes = np.concatenate(([0.0], years[row, own]))
            values = np.concatenate(([index[row]], marks[row, own]))
            missing = years[row, ~own]
            forward[row, ~own] = np.interp(missing, nodes, values)
        remaining = int(board.expiry_ms[0]) - int(time_ms[row])
        if remaining <= SETTLEMENT_WINDOW_MS:
            forward[row, 0] = market.settlement_average(int(board.expiry_ms[0]), int(time_ms[row]))
    return forward, index, is_open


def _half_width(
    tenor: NDArray[np.int64],
    absolute_delta: _Array,
    out_of_the_money: NDArray[np.bool_],
    stress: _Array,
) -> _Array:
    """Return half the median width in vol points, interpolated in log width over |delta|."""
    blend = stress[:, None]
    table = np.log(_CALM_WIDTH[tenor]) * (1 - blend) + np.log(_CRASH_WIDTH[tenor]) * blend
    position = np.interp(absolute_delta, _ABSOLUTE_DELTAS, np.arange(_ABSOLUTE_DELTAS.size))
    position = np.where(out_of_the_money, np.minimum(position, 2.4), position)
    left = np.minimum(position.astype(np.int64), _ABSOLUTE_DELTAS.size - 2)
    weight = position - left
    at = np.arange(tenor.size)
    return np.asarray(0.5 * np.exp(table[at, left] * (1 - weight) + table[at, left + 1] * weight))


def _absent_share(market: Market, board: Board, moments: NDArray[np.int64]) -> _Array:
    """Return the share of options that show no quote at all at each moment.

    Fast markets lose up to 30 % of the board, and the first minutes after 08:00 about 20 %.
    """
    now = market.index_price(moments)
    before = market.index_price(moments - 600_000)
    move = np.abs(np.log(now / before))
    fast = np.clip((move - 0.006) / 0.02, 0.0, 1.0) * 0.3
    since_roll = (moments - board.start_ms) / 60_000
    after_roll = np.interp(since_roll, [0.0, 5.0, 17.0], [0.22, 0.2, 0.0])
    return np.asarray(np.maximum(fast, after_roll))


def option_quotes(
    market: Market, board: Board, rows: NDArray[np.int64], time_ms: NDArray[np.int64]
) -> OptionQuotes:
    """Return the quotes of options `rows` of a board at moments `time_ms`, both shape (n,)."""
    moments, at = np.unique(time_ms, return_inverse=True)
    forward_table, index_table, open_table = forwards(market, board, moments)
    expiry = board.expiry_row[rows]
    forward = forward_table[at, expiry]
    years = np.maximum(board.expiry_ms[expiry] - time_ms, 0) / YEAR_MS
    strike = board.strike[rows]
    is_call = board.is_call[rows]
    surface: SurfaceParameters = market.surface(moments).take(at)
    stress = market.stress(moments)[at]
    settlement = board.expiry_ms[expiry] - time_ms <= SETTLEMENT_WINDOW_MS
    safe_years = np.maximum(years, 1e-9)
    volatility = surface.volatility(np.log(strike / forward), safe_years)
    mark = coin_price(forward, strike, np.where(settlement, 0.0, safe_years), volatility, is_call)
    printed = greeks(forward, strike, safe_years, volatility, is_call)
    printed = Greeks(*(np.where(settlement, 0.0, each) for each in printed))
    bid, ask = _two_sides(market, board, rows, time_ms, stress, safe_years, forward, mark, printed)
    absent = _absent_share(market, board, moments)[at]
    streams = board.stream[rows]
    gone = noise.step_uniform(market.seed, streams + 1, time_ms, 40_000) < absent
    age_minutes = (time_ms - board.creation_ms[rows]) / 60_000
    listed_share = np.interp(age_minutes, [5.0, 7.0, 11.0, 17.0], [0.0, 0.02, 0.5, 1.0])
    fixed = noise.uniform(market.seed, streams + 2, board.start_ms)
    gone |= fixed >= listed_share
    bid = np.where(gone, 0.0, bid)
    ask = np.where(gone, 0.0, ask)
    unit = np.ones_like(forward)
    if market.is_linear:
        unit = forward
        ladder = market.specification.ladder
        bid = ladder.round(bid * unit, -1)
        ask = np.where(ask > 0.0, np.maximum(ladder.round(ask * unit, 1), bid + ladder.fine), 0.0)
        mark = mark * unit
    return OptionQuotes(
        rows=rows,
        time_ms=time_ms,
        forward=forward,
        index_price=index_table[at],
        in_settlement=settlement,
        has_future=open_table[at, expiry],
        volatility=volatility,
        mark_price=mark,
        greeks=printed,
        bid_price=bid,
        ask_price=ask,
        bid_amount=_amounts(market, streams + 3, time_ms, bid),
        ask_amount=_amounts(market, streams + 4, time_ms, ask),
        bid_volatility=_quote_volatility(
            bid / unit, forward, strike, safe_years, is_call, volatility
        ),
        ask_volatility=_quote_volatility(
            ask / unit, forward, strike, safe_years, is_call, volatility
        ),
    )


def _two_sides(
    market: Market,
    board: Board,
    rows: NDArray[np.int64],
    time_ms: NDArray[np.int64],
    stress: _Array,
    years: _Array,
    forward: _Array,
    mark: _Array,
    printed: Greeks,
) -> tuple[_Array, _Array]:
    streams = board.stream[rows]
    out_of_the_money = board.is_call[rows] == (board.strike[rows] >= forward)
    absolute_delta = np.abs(printed.delta)
    tenor = np.searchsorted(_TENOR_DAYS, years * YEAR_MS / DAY_MS)
    vega = printed.vega / forward
    # Beyond 90 % delta vega vanishes but the makers' price width does not.
    floor = np.where(absolute_delta > 0.9, 0.103 * np.sqrt(years) / 100.0, 0.0)
    half = _half_width(tenor, absolute_delta, out_of_the_money, stress) * np.maximum(vega, floor)
    half = half * np.exp(0.3 * noise.step_normal(market.seed, streams + 5, time_ms, 90_000))
    half = np.maximum(np.minimum(half, 0.45 * mark + 0.02), 0.00005)
    lean = 0.15 * noise.step_normal(market.seed, streams + 6, time_ms, 15_000)
    centre = mark + half * np.clip(lean, -0.9, 0.9)
    bid = np.maximum(COIN_LADDER.round(np.maximum(centre - half, 0.0)), 0.0)
    ask = np.maximum(COIN_LADDER.round(centre + half), _FINE_TICK)
    ask = np.where(
        ask <= bid,
        COIN_LADDER.round(bid + COIN_LADDER.step(bid)),
        ask,
    )
    share = _CALM_WING_TWO_SIDED[tenor] * (1 - stress) + _CRASH_WING_TWO_SIDED[tenor] * stress
    shown = noise.step_uniform(market.seed, streams + 7, time_ms, 600_000) < share
    wing = out_of_the_money & (absolute_delta < _WING_DELTA)
    # Nobody bids a tick for what is worth less than one.
    shown &= mark >= _FINE_TICK
    lifted = np.maximum(bid, _FINE_TICK)
    ask = np.where(wing & shown & (ask <= lifted), lifted + _FINE_TICK, ask)
    bid = np.where(wing, np.where(shown, lifted, 0.0), bid)
    return bid, np.asarray(np.round(ask, 4))


def _amounts(
    market: Market, streams: NDArray[np.int64], time_ms: NDArray[np.int64], price: _Array
) -> _Array:
    size = np.exp(1.6 + 1.1 * noise.step_normal(market.seed, streams, time_ms, 8_000))
    lots = np.maximum(np.round(10.0 * size), 1.0)
    amount = np.round(lots * market.specification.minimum_amount, 1)
    return np.asarray(np.where(price > 0.0, amount, 0.0))


def _quote_volatility(
    price: _Array,
    forward: _Array,
    strike: _Array,
    years: _Array,
    is_call: NDArray[np.bool_],
    first: _Array,
) -> _Array:
    volatility = implied_volatility(price, forward, strike, years, is_call, first)
    return np.asarray(np.where(price > 0.0, volatility, 0.0))
