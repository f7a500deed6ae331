"""Exact arbitrage checks of slice rows: proofs by branch and bound, not grids.

Between two knots of its residual a slice is one analytic function whose second and third derivative
have elementary bounds on any interval (the hyperbola's bend is unimodal, the spline's is linear).
So a check splits the line into intervals until each one is *proved*:

* butterfly: ``g >= g(centre) - radius sup |g'|``, the bound of g' by interval arithmetic;
* calendar: ``D >= D(centre) - |D'(centre)| radius + min(inf D'', 0) radius^2 / 2`` for
  ``D = w_far - w_near``.

Beyond the residual both wings are hyperbolas, ``w = c + slope k + mean (root - x)``, whose last
term decreases to zero; from some point on that proves the whole remaining half line.  Where two
hyperbolas meet is, besides, a quartic whose real roots can be listed.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._compile import kernel
from vol_platform.quant._slices import KNOTS, butterfly_value, derivatives

__all__ = ["butterfly_minimum", "calendar_minimum", "hyperbola_crossings"]

FloatArray = npt.NDArray[np.float64]

BUTTERFLY_PROOF = 1e-4
"""Intervals are split until g is proved to be above this; the fit keeps g above twice as much."""

CALENDAR_PROOF = 5e-8
"""The same for the calendar gap, relative to the near slice's variance at the money."""

_MAXIMUM_INTERVALS = 20_000
_STACK = 256


@kernel
def _bend_bounds(row: FloatArray, p: float, q: float) -> tuple[float, float]:
    """Bounds of w'' on an interval that holds no knot inside."""
    x0 = p - row[3]
    x1 = q - row[3]
    s = row[4]
    top = 0.5 * (row[1] + row[2]) * s * s
    far = max(abs(x0), abs(x1))
    near = 0.0 if x0 <= 0.0 <= x1 else min(abs(x0), abs(x1))
    near = near * near + s * s
    far = far * far + s * s
    low = top / (far * math.sqrt(far))
    high = top / (near * math.sqrt(near))
    left, right, _ = _spline_bend(row, p, q)
    return low + min(left, right), high + max(left, right)


@kernel
def _spline_bend(row: FloatArray, p: float, q: float) -> tuple[float, float, float]:
    """Second derivative of the residual at both ends, and its third, on a knot-free interval."""
    h = row[6]
    if h <= 0.0:
        return 0.0, 0.0, 0.0
    offset = (0.5 * (p + q) - row[5]) / h
    if offset <= 0.0 or offset >= KNOTS + 3.0:
        return 0.0, 0.0, 0.0
    cell = int(offset)
    c = np.zeros(4)
    for piece in range(4):
        j = cell - 3 + piece
        if 0 <= j < KNOTS:
            c[piece] = row[7 + j]
    # Second differences at both knots of the cell; linear between.
    at_left = (c[0] - 2.0 * c[1] + c[2]) / (h * h)
    at_right = (c[1] - 2.0 * c[2] + c[3]) / (h * h)
    slope = (at_right - at_left) / h
    begin = row[5] + cell * h
    return at_left + slope * (p - begin), at_left + slope * (q - begin), slope


@kernel
def _third_bounds(row: FloatArray, p: float, q: float) -> tuple[float, float]:
    """Bounds of w''' on a knot-free interval."""
    s = row[4]
    top = -3.0 * 0.5 * (row[1] + row[2]) * s * s
    x0 = p - row[3]
    x1 = q - row[3]
    square = x0 * x0 + s * s
    value = top * x0 / (square * square * math.sqrt(square))
    low = value
    high = value
    square = x1 * x1 + s * s
    value = top * x1 / (square * square * math.sqrt(square))
    low = min(low, value)
    high = max(high, value)
    turning = 0.5 * s  # x / root^5 is extreme at +-s/2
    square = turning * turning + s * s
    extreme = top * turning / (square * square * math.sqrt(square))
    if x0 < turning < x1:
        low = min(low, extreme)
    if x0 < -turning < x1:
        high = max(high, -extreme)
    _, _, slope = _spline_bend(row, p, q)
    return low + slope, high + slope


@kernel
def _times(a0: float, a1: float, b0: float, b1: float) -> tuple[float, float]:
    """Product of two intervals."""
    p = a0 * b0
    q = a0 * b1
    r = a1 * b0
    s = a1 * b1
    return min(p, q, r, s), max(p, q, r, s)


@kernel
def _slope_bound(row: FloatArray, p: float, q: float, w: float, w1: float) -> float:
    """Bound of |g'| on a knot-free interval with centre values w, w1; infinite if w may vanish."""
    radius = 0.5 * (q - p)
    b0, b1 = _bend_bounds(row, p, q)
    t0, t1 = _third_bounds(row, p, q)
    change = radius * max(abs(b0), abs(b1))
    f0 = w1 - change
    f1 = w1 + change
    change = radius * max(abs(f0), abs(f1))
    if w - change <= 0.0:
        return np.inf
    i0 = 1.0 / (w + change)  # 1/w
    i1 = 1.0 / (w - change)
    z0, z1 = _times(f0, f1, i0, i1)  # w'/w
    y0, y1 = _times(p, q, z0, z1)  # k w'/w
    a0 = 1.0 - 0.5 * y1
    a1 = 1.0 - 0.5 * y0
    # g' = A (k w'/w - 1) w'/w + w' (w'/w)^2 / 4 - A k w''/w - w' w'' (1/w + 1/4)/2 + w'''/2
    u0, u1 = _times(y0 - 1.0, y1 - 1.0, z0, z1)
    v0, v1 = _times(p, q, i0, i1)
    v0, v1 = _times(v0, v1, b0, b1)
    u0, u1 = _times(a0, a1, u0 - v1, u1 - v0)
    z = max(abs(z0), abs(z1))
    g0 = u0 + 0.5 * t0
    g1 = u1 + 0.5 * t1
    square1 = 0.25 * z * z
    c0, c1 = _times(f0, f1, 0.0, square1)
    d0, d1 = _times(f0, f1, b0, b1)
    e0, e1 = _times(d0, d1, 0.5 * i0 + 0.125, 0.5 * i1 + 0.125)
    g0 += c0 - e1
    g1 += c1 - e0
    return float(max(abs(g0), abs(g1)))


@kernel
def _interval_minimum(
    row: FloatArray, far: FloatArray, use_pair: bool, p: float, q: float, proof: float,
    best_k: float, best: float, budget: int,
) -> tuple[float, float, int]:  # fmt: skip
    """Smallest value on a knot-free interval: (place, value, intervals left).

    The value is exact to the proof level: either every point is proved to be above `proof`, or the
    returned value is below it.
    """
    lefts = np.empty(_STACK)
    rights = np.empty(_STACK)
    lefts[0] = p
    rights[0] = q
    depth = 1
    while depth > 0:
        depth -= 1
        a = lefts[depth]
        b = rights[depth]
        centre = 0.5 * (a + b)
        budget -= 1
        w, w1, w2 = derivatives(row, centre)
        if use_pair:
            wf, wf1, _ = derivatives(far, centre)
            value = wf - w
            _, near_high = _bend_bounds(row, a, b)
            far_low, _ = _bend_bounds(far, a, b)
            radius = 0.5 * (b - a)
            sag = 0.5 * min(far_low - near_high, 0.0) * radius * radius
            bound = value - abs(wf1 - w1) * radius + sag
        elif w > 0.0:
            value = butterfly_value(w, w1, w2, centre)
            bound = value - 0.5 * (b - a) * _slope_bound(row, a, b, w, w1)
        else:
            value = -1.0 + w
            bound = -np.inf
        if value < best:
            best = value
            best_k = centre
        if bound >= proof or (best < proof and bound >= best - 0.1 * abs(best)):
            continue
        if budget <= 0 or b - a <= 1e-7 * (1.0 + abs(centre)) or depth + 2 > _STACK:
            if best >= proof:
                best = 0.5 * proof  # not proved within the budget: count as a failure
                best_k = centre
            continue
        lefts[depth] = a
        rights[depth] = centre
        lefts[depth + 1] = centre
        rights[depth + 1] = b
        depth += 2
    return best_k, best, budget


@kernel
def _breaks(row: FloatArray, far: FloatArray, use_pair: bool) -> FloatArray:
    """Sort the points that split the middle of the line into knot-free intervals."""
    points = np.empty(2 * (KNOTS + 4) + 6)
    count = 0
    for index in range(2 if use_pair else 1):
        one = row if index == 0 else far
        if one[6] > 0.0:
            for j in range(KNOTS + 4):
                points[count] = one[5] + j * one[6]
                count += 1
        for j in range(3):
            points[count] = one[3] + (j - 1) * one[4]
            count += 1
    for i in range(1, count):
        value = points[i]
        j = i - 1
        while j >= 0 and points[j] > value:
            points[j + 1] = points[j]
            j -= 1
        points[j + 1] = value
    return points[:count]


@kernel
def _tail_is_proved(row: FloatArray, k: float, proof: float) -> bool:
    """Prove g >= proof on [k, inf) for a hyperbola whose right wing starts before k > 0."""
    slope = row[2]
    mean = 0.5 * (row[1] + row[2])
    w, w1, _ = derivatives(row, k)
    if w1 < 0.0 or w <= 0.0:
        return False
    # w = c + slope k + mean (root - x), the last term positive: k w'/w <= slope k/(c + slope k).
    c = row[0] - slope * row[3]
    share = 0.5
    if c < 0.0:
        if c + slope * k <= 0.0:
            return False
        share = 0.5 * slope * k / (c + slope * k)
    if mean <= 0.0 or share >= 1.0:
        return False
    a = 1.0 - share
    return bool(a * a - 0.25 * slope * slope * (1.0 / w + 0.25) >= proof)


@kernel
def _mirror(row: FloatArray) -> FloatArray:
    """Return the hyperbola of a row reflected at k = 0, without residual."""
    out = row.copy()
    out[1] = row[2]
    out[2] = row[1]
    out[3] = -row[3]
    out[6] = 0.0
    return out


@kernel
def butterfly_minimum(row: FloatArray) -> tuple[float, float]:
    """Where Durrleman's g is smallest on the whole line, and its value.

    A value of at least `BUTTERFLY_PROOF` is a proof; below it, g really is that small at that
    place (or the search ended without a proof, which also counts as a failure).
    """
    best = (4.0 - max(row[1], row[2]) ** 2) / 16.0
    best_k = np.inf if row[2] >= row[1] else -np.inf
    budget = _MAXIMUM_INTERVALS
    points = _breaks(row, row, False)
    for i in range(points.size - 1):
        if points[i + 1] > points[i]:
            best_k, best, budget = _interval_minimum(
                row, row, False, points[i], points[i + 1], BUTTERFLY_PROOF, best_k, best, budget
            )
    for side in range(2):
        one = row.copy() if side == 0 else _mirror(row)
        one[6] = 0.0
        sign = 1.0 if side == 0 else -1.0
        begin = points[points.size - 1] if side == 0 else -points[0]
        step = max(row[4], 1e-4)
        place = np.inf
        value = best
        for _ in range(80):
            if begin > 0.0 and _tail_is_proved(one, begin, BUTTERFLY_PROOF):
                break
            place, value, budget = _interval_minimum(
                one, one, False, begin, begin + step, BUTTERFLY_PROOF, place, value, budget
            )
            begin += step
            step *= 1.5
        else:
            value = min(value, 0.5 * BUTTERFLY_PROOF)
            place = begin
        if value < best:
            best = value
            best_k = sign * place
    return best_k, best


@kernel
def calendar_minimum(near: FloatArray, far: FloatArray) -> tuple[float, float]:
    """Where ``w_far - w_near`` is smallest on the whole line, and its value.

    Wings in the wrong order give minus infinity at the infinite end: they cross somewhere.  A value
    of at least ``CALENDAR_PROOF * w_near(0)`` is a proof.
    """
    if far[1] < near[1]:
        return -np.inf, -np.inf
    if far[2] < near[2]:
        return np.inf, -np.inf
    proof = CALENDAR_PROOF * abs(derivatives(near, 0.0)[0])
    points = _breaks(near, far, True)
    best = np.inf
    best_k = 0.0
    budget = _MAXIMUM_INTERVALS
    for i in range(points.size - 1):
        if points[i + 1] > points[i]:
            best_k, best, budget = _interval_minimum(
                near, far, True, points[i], points[i + 1], proof, best_k, best, budget
            )
    for side in range(2):
        one = near.copy() if side == 0 else _mirror(near)
        two = far.copy() if side == 0 else _mirror(far)
        one[6] = 0.0
        two[6] = 0.0
        sign = 1.0 if side == 0 else -1.0
        begin = points[points.size - 1] if side == 0 else -points[0]
        step = max(one[4], two[4])
        place = np.inf
        value = best
        for _ in range(80):
            # Beyond `begin`: gap >= straight line - mean_near (root - x), both monotone.
            x = begin - one[3]
            excess = 0.5 * (one[1] + one[2]) * (math.sqrt(x * x + one[4] * one[4]) - x)
            line = (two[0] - two[2] * two[3]) - (one[0] - one[2] * one[3])
            line += (two[2] - one[2]) * begin
            if line - excess >= proof:
                break
            place, value, budget = _interval_minimum(
                one, two, True, begin, begin + step, proof, place, value, budget
            )
            begin += step
            step *= 1.5
        else:
            value = min(value, 0.5 * proof)
            place = begin
        if value < best:
            best = value
            best_k = sign * place
    return best_k, best


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
