"""Arbitrage in the quotes themselves, before any model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, hstack, identity, vstack

from vol_platform.quant.forwards import parity_intervals

if TYPE_CHECKING:
    from vol_platform.quant._board import Board

__all__ = ["ParityBreach", "QuoteRepair", "parity_breaches", "quote_repairs"]

FloatArray = npt.NDArray[np.float64]


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


def parity_breaches(board: Board) -> tuple[ParityBreach, ...]:
    """Call-put pairs of a board whose parity interval excludes the forward."""
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
    as possible outside the quoted bid and ask.  Calendar spreads are not part of it.

    Notes
    -----
    After S. Cohen, C. Reisinger and S. Wang (2020), restricted to one expiry.
    """
    quotes = board.fit_quotes
    repairs = []
    for i, expiry in enumerate(board.expiry_ts):
        rows = quotes.row[quotes.two_sided(i)]
        if rows.size == 0:
            continue
        forward = float(board.forward[i])
        x = board.strike[rows] / forward
        unit = 1.0 if board.is_inverse else forward
        # Puts become calls by parity, everything in units of the forward.
        shift = np.where(board.is_call[rows], 0.0, 1.0 - x)
        bid, ask = board.bid_price[rows] / unit + shift, board.ask_price[rows] / unit + shift
        slack = _repair(x, bid, ask)
        repairs.append(
            QuoteRepair(expiry, int(rows.size), int((slack > 1e-9).sum()), float(slack.sum()))
        )
    return tuple(repairs)


def _repair(x: FloatArray, bid: FloatArray, ask: FloatArray) -> FloatArray:
    """Smallest total distance outside [bid, ask] of a free call curve; strikes increasing."""
    n = x.size
    # The curve starts at (0, 1), where a call is the forward itself.
    gap = np.diff(np.concatenate([[0.0], x]))
    slope = np.zeros((n, n))  # slope j = (c_j - c_{j-1}) / gap_j, without the constant of c_{-1}
    slope[np.arange(n), np.arange(n)] = 1.0 / gap
    slope[np.arange(1, n), np.arange(n - 1)] = -1.0 / gap[1:]
    constant = np.zeros(n)
    constant[0] = -1.0 / gap[0]
    convex, convex_bound = slope[:-1] - slope[1:], constant[1:] - constant[:-1]
    left = csr_matrix(np.vstack([convex, slope[-1:], -slope[:1]]))
    bound = np.concatenate([convex_bound, [-constant[-1]], [1.0 + constant[0]]])
    eye = identity(n, format="csr")
    matrix = vstack(
        [
            hstack([left, csr_matrix((left.shape[0], n))]),
            hstack([eye, -eye]),
            hstack([-eye, -eye]),
        ]
    )
    solution = linprog(
        np.concatenate([np.zeros(n), np.ones(n)]),
        A_ub=matrix,
        b_ub=np.concatenate([bound, ask, -bid]),
        bounds=(0, None),
        method="highs",
    )
    return np.asarray(solution.x[n:], dtype=np.float64)
