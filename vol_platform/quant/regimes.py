"""Volatility regimes: where today's volatility stands in its own history.

A level is ranked inside a trailing window of time (90 and 365 days are customary on hourly samples;
ties count half).  The rank becomes low, normal or high with hysteresis and confirmation, so that a
value trembling on a border does not flip the label.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vol_platform.quant._columns import float_array
from vol_platform.quant.errors import QuantError

__all__ = ["Regime", "RegimeRules", "classify", "iv_rank", "percentile_rank", "rolling_rank"]

Floats = NDArray[np.float64]


class Regime(enum.IntEnum):
    """Label of a sample; UNKNOWN until there is enough history."""

    UNKNOWN = 0
    LOW = 1
    NORMAL = 2
    HIGH = 3


class RegimeRules(NamedTuple):
    """Borders in percentile points, and what it takes to change the label."""

    low: float = 20.0
    high: float = 80.0
    hysteresis: float = 5.0
    """A label is left only when the rank is this far on the other side of the border."""
    confirmation: int = 2
    """Consecutive samples that must agree before the label changes."""


def percentile_rank(history: ArrayLike, value: float) -> float:
    """Percentile (0 to 100) of `value` in `history`, ties counted half; NaN values are ignored.

    Parameters
    ----------
    history : array_like
        Any shape.
    value : float

    Returns
    -------
    float
        NaN when the history is empty or the value is NaN.

    Examples
    --------
    >>> percentile_rank([0.3, 0.4, 0.5, 0.6], 0.5)
    62.5
    """
    known = float_array("history", history).ravel()
    known = known[np.isfinite(known)]
    if known.size == 0 or not np.isfinite(value):
        return float("nan")
    below = np.count_nonzero(known < value)
    ties = np.count_nonzero(known == value)
    return float(100.0 * (below + 0.5 * ties) / known.size)


def iv_rank(history: ArrayLike, value: float) -> float:
    """Position of `value` between the lowest and highest of `history`, 0 to 100, clipped.

    Parameters
    ----------
    history : array_like
        Any shape; NaN values are ignored.
    value : float

    Returns
    -------
    float
        NaN when the history is empty or flat, or the value is NaN.

    Examples
    --------
    >>> iv_rank([0.3, 0.5, 0.7], 0.4)
    25.0
    """
    known = float_array("history", history).ravel()
    known = known[np.isfinite(known)]
    if known.size == 0 or not np.isfinite(value):
        return float("nan")
    low, high = float(known.min()), float(known.max())
    if high <= low:
        return float("nan")
    return float(np.clip(round(100.0 * (value - low) / (high - low), 10), 0.0, 100.0))


def _series(time_days: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
    days = np.atleast_1d(float_array("time_days", time_days))
    level = np.atleast_1d(float_array("values", values))
    if days.ndim != 1 or days.shape != level.shape:
        raise QuantError(
            f"time_days and values must be equally long lists, were {days.shape} and {level.shape}"
        )
    if days.size and not np.all(np.diff(days) > 0.0):
        raise QuantError("time_days must increase; sort and remove repeated times")
    return days, level


def rolling_rank(
    time_days: ArrayLike,
    values: ArrayLike,
    window_days: float = 90.0,
    minimum_days: float = 30.0,
) -> Floats:
    """Percentile rank of each value inside the window that ends with it.

    Parameters
    ----------
    time_days : array_like
        Times in days, increasing, shape (n,); spacing may be irregular.
    values : array_like
        For instance 30-day at-the-money volatility, shape (n,).
    window_days : float
        Length of the window, > 0.
    minimum_days : float
        History needed before a rank is given.

    Returns
    -------
    ndarray
        Percentiles 0 to 100, NaN where the value is NaN or history is short.

    Raises
    ------
    QuantError
        Lengths differ, times do not increase, or the window is not positive.
    """
    days, level = _series(time_days, values)
    if not window_days > 0.0:
        raise QuantError(f"window_days must be > 0, was {window_days:g}")
    ranks = np.full(days.shape, np.nan)
    known = np.flatnonzero(np.isfinite(level))
    if known.size == 0:
        return ranks
    first = days[known[0]]
    starts = np.searchsorted(days, days - window_days, side="left")
    for at in known:
        if days[at] - first >= minimum_days:
            ranks[at] = percentile_rank(level[starts[at] : at + 1], float(level[at]))
    return ranks


def classify(ranks: ArrayLike, rules: RegimeRules | None = None) -> NDArray[np.int8]:
    """Label a series of percentile ranks as low, normal or high.

    Parameters
    ----------
    ranks : array_like
        Percentiles in time order, shape (n,); NaN keeps the label.
    rules : RegimeRules, optional

    Returns
    -------
    ndarray of int8
        `Regime` values.

    Raises
    ------
    QuantError
        Borders do not lie in order inside 0 to 100, or confirmation is below 1.

    Examples
    --------
    >>> [Regime(code).name for code in classify([50, 82, 86, 88, 78, 70, 70])]
    ['NORMAL', 'NORMAL', 'NORMAL', 'HIGH', 'HIGH', 'HIGH', 'NORMAL']
    """
    rules = rules or RegimeRules()
    margin = rules.hysteresis
    if not (0.0 < rules.low < rules.high < 100.0 and margin >= 0.0 and rules.confirmation >= 1):
        raise QuantError(f"borders must be 0 < low < high < 100 and confirmation >= 1, was {rules}")
    series = np.atleast_1d(float_array("ranks", ranks))
    labels = np.zeros(series.shape, dtype=np.int8)
    current = Regime.UNKNOWN
    candidate, count = Regime.UNKNOWN, 0
    for at, rank in enumerate(series):
        if np.isfinite(rank):
            wanted = _wanted(float(rank), current, rules)
            if current is Regime.UNKNOWN:
                current = wanted
            elif wanted is current:
                candidate, count = current, 0
            else:
                count = count + 1 if wanted is candidate else 1
                candidate = wanted
                if count >= rules.confirmation:
                    current, count = wanted, 0
        labels[at] = current
    return labels


def _wanted(rank: float, current: Regime, rules: RegimeRules) -> Regime:
    """Label of one rank, seen from the current label: borders move away by the hysteresis."""
    margin = 0.0 if current is Regime.UNKNOWN else rules.hysteresis
    low = rules.low + (margin if current is Regime.LOW else -margin)
    high = rules.high + (-margin if current is Regime.HIGH else margin)
    if rank < low:
        return Regime.LOW
    if rank > high:
        return Regime.HIGH
    return Regime.NORMAL
