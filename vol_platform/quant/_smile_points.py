"""Points of smiles by delta."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["delta_log_moneyness"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_SCAN = np.sinh(np.linspace(-4.0, 4.0, 81))
"""In standard deviations, wide enough for deltas of 1e-6 on steep wings."""
_STEPS = 60
_TOLERANCE = 1e-11


def _delta(
    k: FloatArray, w: FloatArray, is_call: bool | BoolArray, premium_adjusted: bool
) -> FloatArray:
    from scipy.special import ndtr

    deviation = np.sqrt(w)
    d1 = -k / deviation + 0.5 * deviation
    sign = np.where(is_call, 1.0, -1.0)
    if premium_adjusted:
        return np.asarray(sign * np.exp(k) * ndtr(sign * (d1 - deviation)))
    return np.asarray(sign * ndtr(sign * d1))


def delta_log_moneyness(
    total_variance: Callable[[FloatArray], FloatArray],
    smiles: int,
    delta: FloatArray,
    premium_adjusted: bool,
) -> FloatArray:
    """Log-moneyness at which options have the given deltas; NaN where none has.

    The largest root is taken: forward deltas fall with the strike on an arbitrage-free smile, the
    premium-adjusted call delta only beyond its maximum.  A root does not depend on the smiles and
    deltas beside it.

    Parameters
    ----------
    total_variance
        From log-moneyness of shape (smiles, points), a row per smile, to variance of that shape.
    smiles
        How many there are.
    delta
        Wanted on every smile; calls in (0, 1), puts in (-1, 0); shape (deltas,).
    premium_adjusted
        Use delta less the premium in units of the forward.

    Returns
    -------
    ndarray
        Shape (smiles, deltas).
    """
    at_money = total_variance(np.zeros((smiles, 1)))
    scan = np.sqrt(np.where(at_money > 0, at_money, np.nan)) * _SCAN
    w = total_variance(scan)
    curves = {
        is_call: _delta(scan, w, is_call, premium_adjusted)
        for is_call in {bool(value > 0) for value in delta}
    }
    shape = (smiles, delta.size)
    lo, hi, gap_lo, gap_hi = (np.full(shape, np.nan) for _ in range(4))
    rows = np.arange(smiles)
    for column, value in enumerate(delta):
        if not 0.0 < abs(value) < 1.0:
            continue
        gap = curves[bool(value > 0)] - value
        crossing = (gap[:, :-1] >= 0) & (gap[:, 1:] < 0)
        left = crossing.shape[1] - 1 - np.argmax(crossing[:, ::-1], axis=1)
        found = crossing[rows, left]
        at, left = rows[found], left[found]
        lo[at, column], hi[at, column] = scan[at, left], scan[at, left + 1]
        gap_lo[at, column], gap_hi[at, column] = gap[at, left], gap[at, left + 1]
    is_call = np.broadcast_to(delta > 0, shape)

    def gap_at(k: FloatArray) -> FloatArray:
        return _delta(k, total_variance(k), is_call, premium_adjusted) - delta

    return _root(gap_at, lo, hi, gap_lo, gap_hi)


def _root(
    gap_at: Callable[[FloatArray], FloatArray],
    lo: FloatArray,
    hi: FloatArray,
    gap_lo: FloatArray,
    gap_hi: FloatArray,
) -> FloatArray:
    """Roots of a function that is >= 0 at `lo` and < 0 at `hi`, all brackets at once.

    False position in the Illinois variant: an end that stays twice counts half.  A root that has
    settled stays where it is while others are still moving.
    """
    side = np.zeros(lo.shape)
    middle = lo
    moving = np.isfinite(lo)
    for _ in range(_STEPS):
        step = np.where(moving, hi - gap_hi * (hi - lo) / (gap_hi - gap_lo), middle)
        moving &= np.abs(step - middle) > _TOLERANCE
        middle = step
        if not moving.any():
            break
        gap = gap_at(middle)
        above = gap >= 0
        gap_hi = np.where(above, np.where(side > 0, 0.5 * gap_hi, gap_hi), gap)
        gap_lo = np.where(above, gap, np.where(side < 0, 0.5 * gap_lo, gap_lo))
        lo, hi = np.where(above, middle, lo), np.where(above, hi, middle)
        side = np.where(above, 1.0, -1.0)
    return middle
