"""Exact arbitrage checks of slice rows: proofs by branch and bound, not grids.

Between two knots of its residual a slice is one analytic function whose second and third derivative
have elementary bounds on any interval (the hyperbola's bend is unimodal, the spline's is linear).
So a check splits the line into intervals until each one is *proved*:

* butterfly: ``g >= g(centre) - radius sup |g'|``, the bound of g' by interval arithmetic;
* calendar: ``D >= D(centre) - |D'(centre)| radius + min(inf D'', 0) radius^2 / 2`` for
  ``D = w_far - w_near``, where the chord less ``sup D'' width^2 / 8`` does not already prove it.

Beyond the residual both wings are hyperbolas, ``w = c + slope k + mean (root - x)``, whose last
term decreases to zero; from some point on that proves the whole remaining half line.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._slices import KNOTS, butterfly_value, derivatives

__all__ = ["butterfly_minimum", "calendar_minimum"]

FloatArray = npt.NDArray[np.float64]

BUTTERFLY_PROOF = 1e-4
"""Intervals are split until g is proved to be above this; the fit keeps g above twice as much."""

CALENDAR_PROOF = 5e-8
"""The same for the calendar gap, relative to the near slice's variance at the money."""

_MAXIMUM_INTERVALS = 20_000
_STACK = 256
_TAIL = 80


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
    c0 = row[4 + cell] if cell >= 3 else 0.0
    c1 = row[5 + cell] if 2 <= cell < KNOTS + 2 else 0.0
    c2 = row[6 + cell] if 1 <= cell < KNOTS + 1 else 0.0
    c3 = row[7 + cell] if cell < KNOTS else 0.0
    # Second differences at both knots of the cell; linear between.
    inverse = 1.0 / h
    at_left = (c0 - 2.0 * c1 + c2) * inverse * inverse
    at_right = (c1 - 2.0 * c2 + c3) * inverse * inverse
    slope = (at_right - at_left) * inverse
    begin = row[5] + cell * h
    return at_left + slope * (p - begin), at_left + slope * (q - begin), slope


@kernel
def _curvature_bounds(row: FloatArray, p: float, q: float) -> tuple[float, float, float, float]:
    """Bounds of w'' and of w''' on a knot-free interval."""
    x0 = p - row[3]
    x1 = q - row[3]
    s = row[4]
    square = s * s
    top = 0.5 * (row[1] + row[2]) * square
    inverse0 = 1.0 / (x0 * x0 + square)
    inverse1 = 1.0 / (x1 * x1 + square)
    bend0 = top * inverse0 * math.sqrt(inverse0)
    bend1 = top * inverse1 * math.sqrt(inverse1)
    low = min(bend0, bend1)
    high = max(bend0, bend1)
    third0 = -3.0 * x0 * inverse0 * bend0
    third1 = -3.0 * x1 * inverse1 * bend1
    third_low = min(third0, third1)
    third_high = max(third0, third1)
    if x0 < 0.0 < x1:
        high = top / (square * s)
    turning = 0.5 * s  # x / root^5 is extreme at +-s/2
    if x0 < turning < x1 or x0 < -turning < x1:
        inverse = 0.8 / square
        extreme = 3.0 * turning * inverse * top * inverse * math.sqrt(inverse)
        if x0 < turning < x1:
            third_low = min(third_low, -extreme)
        if x0 < -turning < x1:
            third_high = max(third_high, extreme)
    left, right, slope = _spline_bend(row, p, q)
    return low + min(left, right), high + max(left, right), third_low + slope, third_high + slope


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
    b0, b1, t0, t1 = _curvature_bounds(row, p, q)
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
    best_k: float, best: float, budget: int, stack: FloatArray,
) -> tuple[float, float, int]:  # fmt: skip
    """Smallest value on a knot-free interval: (place, value, intervals left).

    The value is exact to the proof level: either every point is proved to be above `proof`, or the
    returned value is below it.
    """
    lefts = stack[0]
    rights = stack[1]
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
            near_high = _curvature_bounds(row, a, b)[1]
            far_low = _curvature_bounds(far, a, b)[0]
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
    stack = np.empty((2, _STACK))
    points = _breaks(row, row, False)
    for i in range(points.size - 1):
        if points[i + 1] > points[i]:
            best_k, best, budget = _interval_minimum(
                row, row, False, points[i], points[i + 1], BUTTERFLY_PROOF, best_k, best, budget,
                stack,
            )  # fmt: skip
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
                one, one, False, begin, begin + step, BUTTERFLY_PROOF, place, value, budget,
                stack,
            )  # fmt: skip
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
def _tail(
    near: FloatArray, far: FloatArray, proof: float, middle: FloatArray, sign: int,
    points: FloatArray,
) -> tuple[int, bool]:  # fmt: skip
    """Continue the break points on one side until all beyond is proved.

    Fills that part of `points`, the middle included; returns where it ends (begins, on the left)
    and whether the proof was found.
    """
    wing = 2 if sign > 0 else 1
    at = _TAIL if sign < 0 else _TAIL + middle.size - 1
    points[_TAIL : _TAIL + middle.size] = middle
    slope_near, slope_far = near[wing], far[wing]
    mean = 0.5 * (near[1] + near[2])
    square = near[4] * near[4]
    offset = (far[0] - slope_far * sign * far[3]) - (near[0] - slope_near * sign * near[3])
    step = max(near[4], far[4])
    proved = False
    for turn in range(_TAIL + 1):
        # From here on: gap >= straight line - mean_near (root - x), both monotone.
        begin = sign * points[at]
        x = begin - sign * near[3]
        excess = mean * (math.sqrt(x * x + square) - x)
        if offset + (slope_far - slope_near) * begin - excess >= proof:
            proved = True
            break
        if turn < _TAIL:
            at += sign
            points[at] = sign * (begin + step)
            step *= 1.5
    return (at if sign < 0 else at + 1), proved


@kernel
def _profile(row: FloatArray, points: FloatArray, out: FloatArray) -> None:
    """Total variance, and the second derivatives of hyperbola and residual, at break points."""
    w, hyperbola, residual = out[0], out[1], out[2]
    m = row[3]
    square = row[4] * row[4]
    mean = 0.5 * (row[2] + row[1])
    tilt = 0.5 * (row[2] - row[1])
    for p in range(points.size):
        x = points[p] - m
        inverse = 1.0 / (x * x + square)
        bend = math.sqrt(inverse)
        w[p] = row[0] + tilt * x + mean * (x * x + square) * bend
        hyperbola[p] = mean * square * inverse * bend
        residual[p] = 0.0
    if row[6] > 0.0:
        h = 1.0 / row[6]
        for j in range(KNOTS):
            c = row[7 + j]
            peak = row[5] + (j + 2) * row[6]
            for p in range(points.size):
                distance = abs(points[p] - peak) * h
                outer = max(2.0 - distance, 0.0)
                inner = max(1.0 - distance, 0.0)
                w[p] += c * (outer * outer * outer - 4.0 * inner * inner * inner) / 6.0
                residual[p] += c * (outer - 4.0 * inner) * h * h


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
    middle = _breaks(near, far, True)
    points = np.empty(middle.size + 2 * _TAIL)
    left, left_proved = _tail(near, far, proof, middle, -1, points)
    right, right_proved = _tail(near, far, proof, middle, 1, points)
    points = points[left:right]
    profile = np.empty((6, points.size))
    _profile(near, points, profile[:3])
    _profile(far, points, profile[3:])
    gaps = profile[3] - profile[0]
    lowest = 0  # by a loop: loading a kernel that calls `np.argmin` imports scipy.linalg
    for p in range(1, gaps.size):
        if gaps[p] < gaps[lowest] or math.isnan(gaps[p]):
            lowest = p
    best_k, best = points[lowest], gaps[lowest]
    budget = _MAXIMUM_INTERVALS
    stack = np.empty((2, _STACK))
    for p in range(points.size - 1):
        width = points[p + 1] - points[p]
        if not width > 0.0:
            continue
        # Between two break points every part of w'' is monotone: the gap falls below its chord by
        # at most the largest second derivative times width^2 / 8.
        bend = max(profile[4, p], profile[4, p + 1]) + max(profile[5, p], profile[5, p + 1])
        bend -= min(profile[1, p], profile[1, p + 1]) + min(profile[2, p], profile[2, p + 1])
        bound = min(gaps[p], gaps[p + 1]) - 0.125 * max(bend, 0.0) * width * width
        if bound >= proof or (best < proof and bound >= best - 0.1 * abs(best)):
            continue
        best_k, best, budget = _interval_minimum(
            near, far, True, points[p], points[p + 1], proof, best_k, best, budget, stack
        )
    if not (left_proved and right_proved) and best >= proof:
        best = 0.5 * proof
        best_k = points[0] if right_proved else points[points.size - 1]
    return best_k, best
