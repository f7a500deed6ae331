"""Realised volatility from prices: close to close on any spacing, and from bars.

Annualised with 365 days, since crypto trades every day. The mean return is taken as zero: over days
and weeks it is not measurable and estimating it adds noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vol_platform.quant._columns import float_array
from vol_platform.quant.errors import QuantError

__all__ = [
    "garman_klass",
    "parkinson",
    "realised_vol",
    "resample",
    "rogers_satchell",
    "rolling_vol",
    "yang_zhang",
]

SECONDS_PER_YEAR = 365.0 * 86_400.0
Floats = NDArray[np.float64]


def _prices(time_seconds: ArrayLike, price: ArrayLike) -> tuple[Floats, Floats]:
    times = np.atleast_1d(float_array("time_seconds", time_seconds))
    prices = np.atleast_1d(float_array("price", price))
    if times.ndim != 1 or times.shape != prices.shape:
        raise QuantError(
            f"time_seconds and price must be equally long lists, were {times.shape} and "
            f"{prices.shape}"
        )
    if times.size and not np.all(np.diff(times) > 0.0):
        raise QuantError("time_seconds must increase; sort and remove repeated times")
    usable = np.isfinite(prices) & (prices > 0.0)
    return times[usable], prices[usable]


def resample(
    time_seconds: ArrayLike, price: ArrayLike, step_seconds: float
) -> tuple[Floats, Floats]:
    """Previous price on a regular grid of whole multiples of `step_seconds`.

    Sampling every few minutes keeps bid-ask bounce and index rounding out of the estimate.

    Parameters
    ----------
    time_seconds, price : array_like
        Increasing times in seconds (any epoch) and prices > 0, shape (n,); bad prices are left out.
    step_seconds : float
        > 0.

    Returns
    -------
    times, prices : ndarray
        Grid times at or after the first price, and the newest price at or before each.

    Raises
    ------
    QuantError
        Lengths differ, times do not increase, or the step is not positive.
    """
    if not step_seconds > 0.0:
        raise QuantError(f"step_seconds must be > 0, was {step_seconds:g}")
    times, prices = _prices(time_seconds, price)
    if times.size == 0:
        return times, prices
    first = np.ceil(times[0] / step_seconds)
    last = np.floor(times[-1] / step_seconds)
    grid = np.arange(first, last + 1.0) * step_seconds
    return grid, prices[np.searchsorted(times, grid, side="right") - 1]


def realised_vol(
    time_seconds: ArrayLike, price: ArrayLike, step_seconds: float | None = None
) -> float:
    """Annualised close-to-close volatility, ``sqrt(sum of squared log returns / years)``.

    Parameters
    ----------
    time_seconds, price : array_like
        As in `resample`.
    step_seconds : float, optional
        Resample to this grid first; every price is used if left out.

    Returns
    -------
    float
        Decimal; NaN with fewer than two prices.

    Raises
    ------
    QuantError
        As `resample`.

    Examples
    --------
    >>> days = np.arange(5) * 86_400.0
    >>> round(realised_vol(days, [100.0, 102.0, 100.0, 102.0, 100.0]), 6)
    0.378329
    """
    if step_seconds is None:
        times, prices = _prices(time_seconds, price)
    else:
        times, prices = resample(time_seconds, price, step_seconds)
    if times.size < 2:
        return float("nan")
    returns = np.diff(np.log(prices))
    return float(np.sqrt(np.sum(returns**2) * SECONDS_PER_YEAR / (times[-1] - times[0])))


def rolling_vol(
    time_seconds: ArrayLike,
    price: ArrayLike,
    window_seconds: float,
    step_seconds: float,
    minimum_share: float = 0.8,
) -> tuple[Floats, Floats]:
    """Realised volatility over a trailing window, at every point of a regular grid.

    Parameters
    ----------
    time_seconds, price : array_like
        As in `resample`.
    window_seconds, step_seconds : float
        Window and grid step, > 0, window at least one step.
    minimum_share : float
        Share of the window that must be covered by data.

    Returns
    -------
    times, vols : ndarray
        NaN until the window is filled enough.

    Raises
    ------
    QuantError
        As `resample`, or the window is shorter than the step.
    """
    times, prices = resample(time_seconds, price, step_seconds)
    length = round(window_seconds / step_seconds)
    if length < 1:
        raise QuantError(
            f"window_seconds must be at least step_seconds, was {window_seconds:g} against "
            f"{step_seconds:g}"
        )
    if times.size == 0:
        return times, np.empty(0)
    squares = np.concatenate(([0.0], np.cumsum(np.diff(np.log(prices)) ** 2)))
    at = np.arange(times.size)
    start = np.maximum(at - length, 0)
    covered = at - start
    enough = covered >= max(1, int(np.ceil(minimum_share * length)))
    variance = (squares[at] - squares[start]) / np.where(covered > 0, covered, 1)
    vols = np.sqrt(np.maximum(variance, 0.0) * SECONDS_PER_YEAR / step_seconds)
    return times, np.where(enough, vols, np.nan)


def _bars(**columns: ArrayLike) -> list[Floats]:
    arrays = [np.atleast_1d(float_array(name, value)) for name, value in columns.items()]
    if any(array.ndim != 1 or array.shape != arrays[0].shape for array in arrays):
        shapes = ", ".join(f"{name} {a.shape}" for name, a in zip(columns, arrays, strict=True))
        raise QuantError(f"bar columns must be equally long lists, were {shapes}")
    good = np.all([np.isfinite(array) & (array > 0.0) for array in arrays], axis=0)
    return [np.log(array[good]) for array in arrays]


def _annualise(variance_per_bar: float, bar_seconds: float) -> float:
    if not bar_seconds > 0.0:
        raise QuantError(f"bar_seconds must be > 0, was {bar_seconds:g}")
    return float(np.sqrt(max(variance_per_bar, 0.0) * SECONDS_PER_YEAR / bar_seconds))


def parkinson(high: ArrayLike, low: ArrayLike, bar_seconds: float) -> float:
    """Volatility from ranges (Parkinson 1980): about 5 times as efficient as close to close.

    Parameters
    ----------
    high, low : array_like
        Of consecutive bars, shape (n,); bars with a bad value are left out.
    bar_seconds : float
        Length of a bar.

    Returns
    -------
    float
        Decimal, annualised; NaN without bars.

    Raises
    ------
    QuantError
        Lengths differ or `bar_seconds` is not positive.
    """
    h, low_log = _bars(high=high, low=low)
    if h.size == 0:
        return float("nan")
    return _annualise(float(np.mean((h - low_log) ** 2)) / (4.0 * np.log(2.0)), bar_seconds)


def garman_klass(
    open_: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike, bar_seconds: float
) -> float:
    """Volatility from bars without drift (Garman and Klass 1980); otherwise as `parkinson`."""
    o, h, low_log, c = _bars(open_=open_, high=high, low=low, close=close)
    if o.size == 0:
        return float("nan")
    per_bar = 0.5 * (h - low_log) ** 2 - (2.0 * np.log(2.0) - 1.0) * (c - o) ** 2
    return _annualise(float(np.mean(per_bar)), bar_seconds)


def rogers_satchell(
    open_: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike, bar_seconds: float
) -> float:
    """Volatility from bars with any drift (Rogers and Satchell 1991); else as `parkinson`."""
    o, h, low_log, c = _bars(open_=open_, high=high, low=low, close=close)
    if o.size == 0:
        return float("nan")
    per_bar = (h - c) * (h - o) + (low_log - c) * (low_log - o)
    return _annualise(float(np.mean(per_bar)), bar_seconds)


def yang_zhang(
    open_: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike, bar_seconds: float
) -> float:
    """Volatility from bars with drift and gaps between them (Yang and Zhang 2000).

    Parameters, returns and errors as in `parkinson`; needs three bars or more.
    """
    o, h, low_log, c = _bars(open_=open_, high=high, low=low, close=close)
    count = o.size - 1
    if count < 2:
        return float("nan")
    gap = o[1:] - c[:-1]
    body = c[1:] - o[1:]
    inside = (h - c) * (h - o) + (low_log - c) * (low_log - o)
    weight = 0.34 / (1.34 + (count + 1) / (count - 1))
    per_bar = (
        np.var(gap, ddof=1) + weight * np.var(body, ddof=1) + (1.0 - weight) * np.mean(inside[1:])
    )
    return _annualise(float(per_bar), bar_seconds)
