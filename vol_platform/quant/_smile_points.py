"""Points of a smile by delta."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

__all__ = ["delta_log_moneyness"]

FloatArray = npt.NDArray[np.float64]

_SCAN = 81
_BISECTIONS = 55


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
    left = np.full(wanted.shape, np.nan)
    right = np.full(wanted.shape, np.nan)
    for at, value in enumerate(wanted):
        if not np.isfinite(value) or value == 0.0 or abs(value) >= 1.0:
            continue
        gap = _delta(scan, w, np.full(_SCAN, value > 0), premium_adjusted) - value
        crossings = np.flatnonzero((gap[:-1] >= 0) & (gap[1:] < 0))
        if crossings.size:
            left[at], right[at] = scan[crossings[-1]], scan[crossings[-1] + 1]
    found = np.isfinite(left)
    if found.any():
        lo, hi, target = left[found], right[found], wanted[found]
        for _ in range(_BISECTIONS):
            middle = 0.5 * (lo + hi)
            above = _delta(middle, total_variance(middle), target > 0, premium_adjusted) >= target
            lo = np.where(above, middle, lo)
            hi = np.where(above, hi, middle)
        left[found] = 0.5 * (lo + hi)
    return left.reshape(shape)
