"""Arbitrage by finite differences: knows a smile only as a function of log-moneyness."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["Smile", "checked_range", "has_butterfly", "has_calendar", "has_steep_wings"]

FloatArray = npt.NDArray[np.float64]
Smile = Callable[[FloatArray], FloatArray]
"""Total variance at an array of log-moneyness."""

_REACH = 1.6
_POINTS = 1201
_BUTTERFLY_NOISE = 1e-6
"""Rounding of a second difference; g below its negative is a violation."""
_LEE = 2.0


def checked_range(k: FloatArray, at_money_variance: float) -> tuple[float, float]:
    """Interval to check: 1.6 times the quotes, and a little beyond the money where none are."""
    deviation = float(np.sqrt(at_money_variance))
    low = min(float(k.min(initial=0.0)), -0.5 * deviation)
    high = max(float(k.max(initial=0.0)), 0.5 * deviation)
    return _REACH * low, _REACH * high


def has_butterfly(smile: Smile, low: float, high: float) -> bool:
    """Whether central differences find a negative density between two log-moneynesses."""
    k = np.linspace(low, high, _POINTS)
    step = 0.5 * (k[1] - k[0])  # neighbouring differences touch: no kink lies between them
    w = smile(k)
    if not (w > 0).all():
        return True
    up, down = smile(k + step), smile(k - step)
    slope = (up - down) / (2 * step)
    bend = (up - 2 * w + down) / step**2
    g = (1 - k * slope / (2 * w)) ** 2 - slope**2 / 4 * (1 / w + 0.25) + bend / 2
    return not bool((g >= -_BUTTERFLY_NOISE).all())


def has_calendar(near: Smile, far: Smile, low: float, high: float) -> bool:
    """Whether total variance falls somewhere from one expiry to the next."""
    k = np.linspace(low, high, _POINTS)
    return not bool((far(k) >= near(k)).all())


def has_steep_wings(smile: Smile, low: float, high: float) -> bool:
    """Whether total variance is steeper than Lee's bound at an end of the range."""
    step = 1e-3 * (high - low)
    w = smile(np.array([low, low + step, high - step, high]))
    return not bool(max(w[0] - w[1], w[3] - w[2]) <= _LEE * step)
