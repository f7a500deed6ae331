"""Greeks and values of many positions together.

Quantities are in units of the underlying (one Deribit BTC option is one bitcoin), negative for
short. Sums by group serve expiries, strikes or books; weighting by open interest instead of a
position is the same sum.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vol_platform.quant._columns import float_array
from vol_platform.quant.black76 import price
from vol_platform.quant.errors import QuantError
from vol_platform.quant.greeks import CoinGreeks, Greeks

__all__ = ["Scenarios", "aggregate", "aggregate_by", "scenarios"]

Floats = NDArray[np.float64]
G = TypeVar("G", Greeks, CoinGreeks)


class Scenarios(NamedTuple):
    """Profit and loss of a book on a grid of moves, USD."""

    forward_moves: Floats
    """Relative, shape (m,)."""
    vol_moves: Floats
    """Absolute, decimal, shape (n,)."""
    value: float
    """Value before any move, USD."""
    profit: Floats
    """Shape (m, n)."""


def _weighted(values: G, quantity: ArrayLike) -> tuple[Floats, Floats]:
    weights = np.atleast_1d(float_array("quantity", quantity))
    table = np.stack([np.atleast_1d(column) for column in values])
    if table.ndim != 2 or weights.shape != table.shape[1:]:
        raise QuantError(
            f"quantity must have one number per option, was {weights.shape} for "
            f"{table.shape[1:]} options"
        )
    return table, weights


def aggregate(values: G, quantity: ArrayLike) -> G:
    """Sum greeks over positions.

    Parameters
    ----------
    values : Greeks or CoinGreeks
        One-dimensional, n options.
    quantity : array_like
        Position per option, shape (n,).

    Returns
    -------
    Greeks or CoinGreeks
        Scalars (0-d arrays).  A position in an option without greeks makes the sum NaN; options
        that are not held (quantity 0) do not count.

    Raises
    ------
    QuantError
        Shapes differ.

    Examples
    --------
    >>> from vol_platform.quant.greeks import greeks
    >>> straddle = aggregate(greeks(60_000, 60_000, 0.1, 0.5, [True, False]), [1.0, 1.0])
    >>> float(straddle.delta.round(4))
    0.063
    """
    table, weights = _weighted(values, quantity)
    held = weights != 0.0
    sums = table[:, held] @ weights[held]
    return type(values)(*(np.asarray(total) for total in sums))


def aggregate_by(values: G, quantity: ArrayLike, group: ArrayLike) -> tuple[NDArray[np.generic], G]:
    """Sum greeks by group, for instance by expiry.

    Parameters
    ----------
    values, quantity
        As in `aggregate`.
    group : array_like
        Label per option (numbers, texts or datetimes), shape (n,).

    Returns
    -------
    groups : ndarray
        The different labels, sorted, shape (g,).
    sums : Greeks or CoinGreeks
        Arrays of shape (g,).

    Raises
    ------
    QuantError
        Shapes differ.
    """
    table, weights = _weighted(values, quantity)
    labels = np.atleast_1d(np.asarray(group))
    if labels.shape != weights.shape:
        raise QuantError(
            f"group must have one label per option, was {labels.shape} for {weights.shape}"
        )
    groups, index = np.unique(labels, return_inverse=True)
    held = weights != 0.0
    sums = [
        np.asarray(
            np.bincount(index[held], column[held] * weights[held], minlength=groups.size),
            dtype=np.float64,
        )
        for column in table
    ]
    return groups, type(values)(*sums)


def scenarios(
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
    quantity: ArrayLike,
    forward_moves: ArrayLike = (-0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2),
    vol_moves: ArrayLike = (-0.1, 0.0, 0.1),
) -> Scenarios:
    """Profit of a book when forwards and volatilities jump, by full revaluation.

    Parameters
    ----------
    forward, strike, expiry_years, vol, is_call
        As `black76.price`, one-dimensional or scalar.
    quantity : array_like
        Position per option, shape (n,).
    forward_moves : array_like
        Relative moves of every forward, > -1.
    vol_moves : array_like
        Parallel moves of volatility, decimal; a volatility stays >= 0.

    Returns
    -------
    Scenarios

    Raises
    ------
    QuantError
        Shapes do not fit or a forward move is -100 % or worse.

    Examples
    --------
    >>> book = scenarios(60_000, [60_000], 0.1, 0.5, True, [1.0], [0.0, 0.1], [0.0])
    >>> book.profit.round(0)
    array([[   0.],
           [3887.]])
    """
    weights = np.atleast_1d(float_array("quantity", quantity))
    moves = np.atleast_1d(float_array("forward_moves", forward_moves))
    shifts = np.atleast_1d(float_array("vol_moves", vol_moves))
    if not np.all(moves > -1.0):
        raise QuantError(f"forward_moves must be > -1 (-100 %), was {float(np.min(moves)):g}")
    f, sigma = float_array("forward", forward), float_array("vol", vol)
    held = weights != 0.0

    def value(move: float, shift: float) -> float:
        moved_vol = np.maximum(sigma + shift, 0.0)
        moved = price(f * (1.0 + move), strike, expiry_years, moved_vol, is_call)
        if moved.shape not in ((), weights.shape):
            raise QuantError(
                f"quantity must have one number per option, was {weights.shape} for {moved.shape}"
            )
        return float(np.broadcast_to(moved, weights.shape)[held] @ weights[held])

    base = value(0.0, 0.0)
    profit = np.array([[value(move, shift) - base for shift in shifts] for move in moves])
    return Scenarios(moves, shifts, base, profit)
