"""Points of a smile by delta."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

__all__ = ["delta_log_moneyness"]

FloatArray = npt.NDArray[np.float64]

_SCAN = 81
_STEPS = 60
_TOLERANCE = 1e-11


def _delta(
    k: FloatArray, w: FloatArray, is_call: npt.NDArray[np.bool_], premium_adjusted: bool
) -> FloatArray:
    deviation = np.sqrt(w)
    d1 = -k / deviation + 0.5 * deviation
    sign = np.where(is_call, 1.0, -1.0)
    if premium_adjusted:
        return np.asarray(sign * np.exp(k) * ndtr(sign * (d1 - deviation)))
    return np.asarray(sign * ndtr(sign * d1))


def delta_log_moneyness(
    total_variance: Callable[[FloatArray], FloatArray],
    delta: FloatArray,
    premium_adjusted: bool,
) -> FloatArray:
    """Log-moneyness at which an option has the given delta; NaN where none has.

    The largest root is taken: forward deltas fall with the strike on an arbitrage-free smile, the
    premium-adjusted call delta only beyond its maximum.
    """
    shape = delta.shape
    wanted = np.atleast_1d(delta).ravel()
    w0 = total_variance(np.zeros(1))[0]
    if not np.isfinite(w0) or w0 <= 0:
        return np.full(shape, np.nan)
    # Scan in standard deviations, wide enough for deltas of 1e-6 on steep wings.
    scan = np.sqrt(w0) * np.sinh(np.linspace(-4.0, 4.0, _SCAN))
    w = total_variance(scan)
    left = np.zeros(wanted.shape, dtype=np.intp)
    found = np.zeros(wanted.shape, dtype=np.bool_)
    of_call, of_put = (
        _delta(scan, w, np.full(_SCAN, is_call), premium_adjusted) for is_call in (True, False)
    )
    for at, value in enumerate(wanted):
        if not np.isfinite(value) or value == 0.0 or abs(value) >= 1.0:
            continue
        gap = (of_call if value > 0 else of_put) - value
        crossings = np.flatnonzero((gap[:-1] >= 0) & (gap[1:] < 0))
        if crossings.size:
            left[at], found[at] = crossings[-1], True
    solved = np.full(wanted.shape, np.nan)
    if found.any():
        target = wanted[found]
        is_call = target > 0

        def gap_at(k: FloatArray) -> FloatArray:
            return _delta(k, total_variance(k), is_call, premium_adjusted) - target

        values = np.where(is_call, of_call[left[found]], of_put[left[found]]) - target
        after = np.where(is_call, of_call[left[found] + 1], of_put[left[found] + 1]) - target
        solved[found] = _root(gap_at, scan[left[found]], scan[left[found] + 1], values, after)
    return solved.reshape(shape)


def _root(
    gap_at: Callable[[FloatArray], FloatArray],
    lo: FloatArray,
    hi: FloatArray,
    gap_lo: FloatArray,
    gap_hi: FloatArray,
) -> FloatArray:
    """Roots of a function that is >= 0 at `lo` and < 0 at `hi`, all brackets at once.

    False position in the Illinois variant: an end that stays twice counts half.
    """
    side = np.zeros(lo.shape)
    middle = lo
    for _ in range(_STEPS):
        before = middle
        middle = hi - gap_hi * (hi - lo) / (gap_hi - gap_lo)
        if np.abs(middle - before).max() <= _TOLERANCE:
            break
        gap = gap_at(middle)
        above = gap >= 0
        gap_hi = np.where(above, np.where(side > 0, 0.5 * gap_hi, gap_hi), gap)
        gap_lo = np.where(above, gap, np.where(side < 0, 0.5 * gap_lo, gap_lo))
        lo, hi = np.where(above, middle, lo), np.where(above, hi, middle)
        side = np.where(above, 1.0, -1.0)
    return middle
