"""Exact arbitrage checks of slice rows: where is g smallest, where do two slices come nearest.

Between two knots of its residual a slice is one analytic function, so a check walks through the
pieces: it samples each piece, brackets every local minimum and polishes it by golden section to
machine width.  Beyond the residual both wings are hyperbolas.  There `k = m + s sinh(u)` makes the
half line short, the limits are known in closed form (``g -> (4 - slope^2)/16``, difference of
slopes), and two hyperbolas meet where a quartic vanishes, whose real roots are all computed.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._compile import kernel
from vol_platform.quant._slices import KNOTS, butterfly_value, derivatives

__all__ = ["butterfly_minimum", "calendar_minimum", "hyperbola_crossings"]

FloatArray = npt.NDArray[np.float64]

_GOLDEN = 0.3819660112501051
_PIECE_SAMPLES = 6
_WING_SAMPLES = 40
_WING_REACH = 12.0


@kernel
def _objective(first: FloatArray, second: FloatArray, use_pair: bool, k: float) -> float:
    w, w1, w2 = derivatives(first, k)
    if use_pair:
        return float(derivatives(second, k)[0] - w)
    if w <= 0.0:
        return float(-1.0 + w)
    return float(butterfly_value(w, w1, w2, k))


@kernel
def _polish(
    first: FloatArray, second: FloatArray, use_pair: bool, left: float, mid: float, right: float
) -> tuple[float, float]:
    """Golden section inside a bracket left < mid < right; returns (k, value)."""
    best_k = mid
    best = _objective(first, second, use_pair, mid)
    for _ in range(40):
        if right - left <= 1e-9 * (1.0 + abs(best_k)):
            break
        if best_k - left > right - best_k:
            trial = best_k - _GOLDEN * (best_k - left)
        else:
            trial = best_k + _GOLDEN * (right - best_k)
        value = _objective(first, second, use_pair, trial)
        if value < best:
            if trial < best_k:
                right = best_k
            else:
                left = best_k
            best_k, best = trial, value
        elif trial < best_k:
            left = trial
        else:
            right = trial
    return best_k, best


@kernel
def sample_points(first: FloatArray, second: FloatArray, use_pair: bool) -> FloatArray:
    """Increasing points that resolve every piece of one or two rows, wings included."""
    low = first[3]
    high = first[3]
    step = first[4]
    rows = 2 if use_pair else 1
    for index in range(rows):
        row = first if index == 0 else second
        if row[6] > 0.0:
            low = min(low, row[5])
            high = max(high, row[5] + (KNOTS + 3) * row[6])
        low = min(low, row[3])
        high = max(high, row[3])
        step = max(step, row[4])
    count = 2 * _WING_SAMPLES * rows
    for index in range(rows):
        row = first if index == 0 else second
        if row[6] > 0.0:
            count += (KNOTS + 3) * _PIECE_SAMPLES + 1
    points = np.empty(count)
    at = 0
    for index in range(rows):
        row = first if index == 0 else second
        for i in range(2 * _WING_SAMPLES):
            # Wings in the hyperbola's own angle; half a step off the centre keeps points distinct.
            u = (i + 0.5 - _WING_SAMPLES) * _WING_REACH / _WING_SAMPLES
            points[at] = row[3] + row[4] * math.sinh(u)
            at += 1
        if row[6] > 0.0:
            for i in range((KNOTS + 3) * _PIECE_SAMPLES + 1):
                points[at] = row[5] + row[6] * i / _PIECE_SAMPLES
                at += 1
    points.sort()
    return points


@kernel
def _minimum(first: FloatArray, second: FloatArray, use_pair: bool) -> tuple[float, float]:
    points = sample_points(first, second, use_pair)
    n = points.size
    values = np.empty(n)
    for i in range(n):
        values[i] = _objective(first, second, use_pair, points[i])
    lowest = 0
    for i in range(n):
        if values[i] < values[lowest]:
            lowest = i
    best_k = points[lowest]
    best = values[lowest]
    for i in range(1, n - 1):
        if values[i] <= values[i - 1] and values[i] <= values[i + 1]:
            # A parabola through the bracket tells whether polishing can reach the best so far.
            drop = max(values[i - 1], values[i + 1]) - values[i]
            if values[i] - drop <= best or values[i] - drop <= 0.0:
                k, value = _polish(first, second, use_pair, points[i - 1], points[i], points[i + 1])
                if value < best:
                    best_k, best = k, value
    return best_k, best


@kernel
def butterfly_minimum(row: FloatArray) -> tuple[float, float]:
    """Where Durrleman's g is smallest on the whole line, and its value (limits included).

    A value that is not finite or negative means butterfly arbitrage.
    """
    k, value = _minimum(row, row, False)
    for slope in (row[1], row[2]):
        limit = (4.0 - slope * slope) / 16.0
        if limit < value:
            value = limit
            k = -np.inf if slope == row[1] else np.inf
    return k, value


@kernel
def calendar_minimum(near: FloatArray, far: FloatArray) -> tuple[float, float]:
    """Where ``w_far - w_near`` is smallest on the whole line, and its value.

    Wings in the wrong order give ``-inf`` at the infinite end: they cross somewhere.
    """
    if far[1] < near[1]:
        return -np.inf, -np.inf
    if far[2] < near[2]:
        return np.inf, -np.inf
    at, gap = _minimum(near, far, True)
    return at, gap


def hyperbola_crossings(near: FloatArray, far: FloatArray) -> FloatArray:
    """All k at which the hyperbolas of two rows have the same total variance, increasing.

    Squaring ``w_near = w_far`` twice gives a quartic in k (Gatheral and Jacquier 2014, section 3);
    its real roots are kept when they solve the unsquared equation.
    """
    tilt_n, mean_n = 0.5 * (near[2] - near[1]), 0.5 * (near[2] + near[1])
    tilt_f, mean_f = 0.5 * (far[2] - far[1]), 0.5 * (far[2] + far[1])
    # L(k) = mean_f sqrt(f) - mean_n sqrt(n), L linear, f and n quadratic.
    linear = np.array([tilt_n - tilt_f, near[0] - far[0] - tilt_n * near[3] + tilt_f * far[3]])
    square_n = mean_n**2 * np.array([1.0, -2.0 * near[3], near[3] ** 2 + near[4] ** 2])
    square_f = mean_f**2 * np.array([1.0, -2.0 * far[3], far[3] ** 2 + far[4] ** 2])
    # (L^2 - f - n)^2 = 4 f n
    inner = np.polysub(np.polymul(linear, linear), np.polyadd(square_f, square_n))
    quartic = np.polysub(np.polymul(inner, inner), 4.0 * np.polymul(square_f, square_n))
    scale = float(np.abs(quartic).max())
    if scale == 0.0:
        return np.empty(0)
    quartic = np.trim_zeros(np.where(np.abs(quartic) < 1e-15 * scale, 0.0, quartic), "f")
    roots = np.roots(quartic)
    real = np.sort(roots.real[np.abs(roots.imag) <= 1e-7 * (1.0 + np.abs(roots.real))])
    near_only, far_only = near.copy(), far.copy()
    near_only[6] = far_only[6] = 0.0
    gap = np.array([derivatives(far_only, k)[0] - derivatives(near_only, k)[0] for k in real])
    size = np.array([abs(derivatives(near_only, k)[0]) for k in real])
    return np.asarray(real[np.abs(gap) <= 1e-6 * (size + 1e-12)], dtype=np.float64)
