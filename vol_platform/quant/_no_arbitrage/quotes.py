"""Arbitrage in the quotes themselves, before any model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog
from scipy.sparse import block_diag, csr_matrix, diags, eye, hstack, vstack

from vol_platform.quant.errors import QuantError
from vol_platform.quant.forwards import parity_intervals

if TYPE_CHECKING:
    from vol_platform.quant._board import Board

__all__ = [
    "BoardRepair",
    "ParityBreach",
    "QuoteRepair",
    "board_repair",
    "parity_breaches",
    "quote_repairs",
]

FloatArray = npt.NDArray[np.float64]

_OUTSIDE = 1e-9
"""Distances below this, in units of the forward, are rounding of the programme."""


@dataclass(frozen=True, slots=True)
class ParityBreach:
    """A strike whose call and put, at quoted prices, contradict the expiry's forward.

    Attributes
    ----------
    expiry_ts, strike
        Which pair; strike in USD.
    lower, upper
        Interval of the forward that the pair allows, USD.
    distance_basis_points
        How far the forward lies outside.
    """

    expiry_ts: datetime
    strike: float
    lower: float
    upper: float
    distance_basis_points: float


@dataclass(frozen=True, slots=True)
class QuoteRepair:
    """The least that the quotes of one expiry must give for any model to fit them.

    Attributes
    ----------
    expiry_ts
        Which expiry.
    quotes
        Two-sided out-of-the-money quotes examined.
    must_leave
        How many of them lie outside their spread in the cheapest repair.
    cost
        Sum of those distances, in units of the forward.
    """

    expiry_ts: datetime
    quotes: int
    must_leave: int
    cost: float


@dataclass(frozen=True, slots=True)
class BoardRepair:
    """The least that all quotes of a board together must give, calendar spreads included.

    Attributes
    ----------
    expiries
        One entry per expiry with two-sided quotes, of this one joint repair.
    quotes, must_leave
        Two-sided out-of-the-money quotes of the board, and those outside their spread in it.
    cost
        Sum of those distances, in units of the forwards.
    """

    expiries: tuple[QuoteRepair, ...]
    quotes: int
    must_leave: int
    cost: float

    @property
    def met_share(self) -> float:
        """Share of the quotes that this repair leaves inside their spread; NaN without quotes."""
        return 1.0 - self.must_leave / self.quotes if self.quotes else float("nan")


def parity_breaches(board: Board) -> tuple[ParityBreach, ...]:
    """Call-put pairs of a board whose parity interval excludes the forward.

    Parameters
    ----------
    board
        The quotes; expiries without a forward are left out.

    Returns
    -------
    tuple of ParityBreach
        By expiry and strike; empty when calls, puts and forwards agree.
    """
    breaches = []
    for i, expiry in enumerate(board.expiry_ts):
        part = slice(int(board.offsets[i]), int(board.offsets[i + 1]))
        forward = float(board.forward[i])
        if not forward > 0:
            continue
        strike, call = board.strike[part], board.is_call[part]
        bid, ask = board.bid_price[part], board.ask_price[part]
        calls, puts = np.flatnonzero(call), np.flatnonzero(~call)
        common, c, p = np.intersect1d(strike[calls], strike[puts], return_indices=True)
        c, p = calls[c], puts[p]
        lower, upper = parity_intervals(
            common, bid[c], ask[c], bid[p], ask[p], is_inverse=board.is_inverse
        )
        outside = np.fmax(lower - forward, forward - upper)
        breaches += [
            ParityBreach(
                expiry, float(common[at]), float(lower[at]), float(upper[at]),
                1e4 * float(outside[at]) / forward,
            )
            for at in np.flatnonzero(outside > 0)
        ]  # fmt: skip
    return tuple(breaches)


def quote_repairs(board: Board) -> tuple[QuoteRepair, ...]:
    """Cheapest repair of each expiry's quotes by a linear programme, without any model.

    Call prices must fall with the strike, no faster than one for one, and be convex (no vertical
    spread or butterfly has a negative price).  The programme moves as few forwards' worth of price
    as possible outside the quoted bid and ask.  Calendar spreads are the business of
    `board_repair`.

    Parameters
    ----------
    board
        The quotes; expiries without two-sided ones are left out.

    Returns
    -------
    tuple of QuoteRepair
        One per expiry.

    Notes
    -----
    After S. Cohen, C. Reisinger and S. Wang (2020), restricted to one expiry.
    """
    return tuple(
        _report([expiry], _repair([quotes])).expiries[0] for expiry, quotes in _normalised(board)
    )


def board_repair(board: Board) -> BoardRepair:
    """Cheapest repair of all the quotes of a board together, without any model.

    As `quote_repairs`, and no call may be worth more than a later one at the same ratio of strike
    to forward (no calendar spread has a negative price).  The price curves are piecewise linear on
    the union of all those ratios, which loses nothing: an arbitrage-free surface stays one when it
    is drawn straight between them.

    Parameters
    ----------
    board
        The quotes; expiries without two-sided ones are left out.

    Returns
    -------
    BoardRepair
        Cost 0 proves that an arbitrage-free surface within all bids and asks exists, and a larger
        cost that none does.

    Raises
    ------
    QuantError
        The solver gave up, which no board has yet made it do.

    Notes
    -----
    After S. Cohen, C. Reisinger and S. Wang, Detecting and repairing arbitrage in traded option
    prices (2020).
    """
    found = _normalised(board)
    return _report([expiry for expiry, _ in found], _repair([part for _, part in found]))


class _Quotes(NamedTuple):
    """Quotes of one expiry as calls in units of the forward; `x` is strike over forward."""

    x: FloatArray
    bid: FloatArray
    ask: FloatArray


def _normalised(board: Board) -> list[tuple[datetime, _Quotes]]:
    """Two-sided quotes of each expiry that has some, by strike."""
    quotes = board.fit_quotes
    found = []
    for i, expiry in enumerate(board.expiry_ts):
        rows = quotes.row[quotes.two_sided(i)]
        if rows.size == 0:
            continue
        forward = float(board.forward[i])
        x = board.strike[rows] / forward
        unit = 1.0 if board.is_inverse else forward
        shift = np.where(board.is_call[rows], 0.0, 1.0 - x)  # puts become calls by parity
        bid, ask = board.bid_price[rows] / unit + shift, board.ask_price[rows] / unit + shift
        found.append((expiry, _Quotes(x, bid, ask)))
    return found


def _report(expiries: list[datetime], slack: list[FloatArray]) -> BoardRepair:
    parts = tuple(
        QuoteRepair(expiry, int(out.size), int((out > _OUTSIDE).sum()), float(out.sum()))
        for expiry, out in zip(expiries, slack, strict=True)
    )
    return BoardRepair(
        parts,
        sum(item.quotes for item in parts),
        sum(item.must_leave for item in parts),
        sum(item.cost for item in parts),
    )


def _repair(quotes: list[_Quotes]) -> list[FloatArray]:
    """Distance of each quote from its spread in the cheapest free set of call curves.

    Unknowns are the curves of all expiries on one grid, and the distances of the quotes.
    """
    if not quotes:
        return []
    grid = np.unique(np.concatenate([part.x for part in quotes]))
    n, size = len(quotes), grid.size
    curve, curve_bound = _convex(grid)
    blocks = [block_diag([curve] * n)]
    bounds = [np.tile(curve_bound, n)]
    if n > 1:  # near - far <= 0 at every node
        blocks.append(eye(n * size).tocsr()[:-size] - eye(n * size).tocsr()[size:])
        bounds.append(np.zeros((n - 1) * size))
    place = np.concatenate(
        [i * size + np.searchsorted(grid, part.x) for i, part in enumerate(quotes)]
    )
    count = place.size
    pick = csr_matrix((np.ones(count), (np.arange(count), place)), shape=(count, n * size))
    free = vstack(blocks)
    matrix = vstack(
        [
            hstack([free, csr_matrix((free.shape[0], count))]),
            hstack([pick, -eye(count)]),
            hstack([-pick, -eye(count)]),
        ]
    )
    ask = np.concatenate([part.ask for part in quotes])
    bid = np.concatenate([part.bid for part in quotes])
    solution = linprog(
        np.concatenate([np.zeros(n * size), np.ones(count)]),
        A_ub=matrix,
        b_ub=np.concatenate([*bounds, ask, -bid]),
        bounds=(0, None),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if solution.x is None:
        raise QuantError(f"the solver gave up on the repair of {count} quotes: {solution.message}")
    slack = np.asarray(solution.x[n * size :], dtype=np.float64)
    return np.split(slack, np.cumsum([part.x.size for part in quotes])[:-1])


def _convex(grid: FloatArray) -> tuple[csr_matrix, FloatArray]:
    """Rows of ``matrix c <= bound``: c is convex on the grid, its slopes between -1 and 0.

    Written as prices against the average of their neighbours, not as slopes: strikes of two
    expiries can be as close as one likes, and quotients of such gaps are no numbers for a solver.
    """
    size = grid.size
    if size == 1:
        return csr_matrix([[1.0], [-1.0]]), np.array([1.0, grid[0] - 1.0])
    # The curve starts at (0, 1), where a call is the forward itself.
    gap = np.diff(np.concatenate([[0.0], grid]))
    before, after = gap[:-1] / (gap[:-1] + gap[1:]), gap[1:] / (gap[:-1] + gap[1:])
    convex = diags([np.ones(size - 1), -before, -after[1:]], [0, 1, -1], shape=(size - 1, size))
    convex_bound = np.zeros(size - 1)
    convex_bound[0] = after[0]  # the neighbour on the left of the first node is 1
    falls = csr_matrix(([-1.0, 1.0], ([0, 0], [size - 2, size - 1])), shape=(1, size))
    least = csr_matrix(([-1.0], ([0], [0])), shape=(1, size))
    matrix = vstack([convex, falls, least], format="csr")
    return matrix, np.concatenate([convex_bound, [0.0, grid[0] - 1.0]])
