"""The joint fit: Levenberg-Marquardt over a chain of slices with a block-tridiagonal Hessian.

The unknowns of a slice are its five hyperbola numbers and its residual coefficients (see
`_slices`).  The cost is a sum of

* quotes: a small quadratic everywhere, and outside the bid-ask band (the dead zone) a Huber loss,
  both in units of the quote's half spread;
* a ridge towards a prior slice, and a roughness penalty on the residual;
* squared violations of ``g >= margin``, ``w_{i+1} - w_i >= margin`` and of the order of the wing
  slopes, each slice and pair with its own weight, escalated by the caller only where violated.

Only neighbouring slices meet in a term, so a step is one block-tridiagonal Cholesky solve.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._compile import kernel
from vol_platform.quant._slices import KNOTS, butterfly_value, derivatives

__all__ = ["DIM", "chain_cost", "fit_range", "row_gradient"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DIM = 5 + KNOTS

INSIDE_WEIGHT = 0.03
BAND = 0.85
HUBER = 0.4
BUTTERFLY_MARGIN = 2e-3
CALENDAR_MARGIN = 0.02
WING_MARGIN = 1e-4
MAXIMUM_SLOPE = 1.9


@kernel
def row_gradient(row: FloatArray, k: float, order: int, index: IntArray, out: FloatArray) -> int:
    """Fill `out[3, :]` with the derivatives of (w, w', w'') by the unknowns `index`; count them."""
    x = k - row[3]
    s = row[4]
    square = x * x + s * s
    root = math.sqrt(square)
    mean = 0.5 * (row[1] + row[2])
    tilt = 0.5 * (row[2] - row[1])
    ratio = x / root
    for j in range(5):
        index[j] = j
    out[0, 0] = 1.0
    out[0, 1] = 0.5 * (root - x)
    out[0, 2] = 0.5 * (root + x)
    out[0, 3] = -tilt - mean * ratio
    out[0, 4] = mean * s / root
    if order > 0:
        cube = square * root
        bend = s * s / cube
        out[1, 0] = 0.0
        out[1, 1] = 0.5 * (ratio - 1.0)
        out[1, 2] = 0.5 * (ratio + 1.0)
        out[1, 3] = -mean * bend
        out[1, 4] = -mean * x * s / cube
        out[2, 0] = 0.0
        out[2, 1] = 0.5 * bend
        out[2, 2] = 0.5 * bend
        out[2, 3] = 3.0 * mean * bend * x / square
        out[2, 4] = mean * s * (2.0 * x * x - s * s) / (cube * square)
    count = 5
    h = row[6]
    if h > 0.0:
        offset = (k - row[5]) / h
        if 0.0 < offset < KNOTS + 3.0:
            cell = int(offset)
            t = offset - cell
            u = 1.0 - t
            for piece in range(4):
                j = cell - 3 + piece
                if j < 0 or j >= KNOTS:
                    continue
                index[count] = 5 + j
                if piece == 0:
                    out[0, count] = u * u * u / 6.0
                    out[1, count] = -0.5 * u * u / h
                    out[2, count] = u / (h * h)
                elif piece == 1:
                    out[0, count] = (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0
                    out[1, count] = (1.5 * t * t - 2.0 * t) / h
                    out[2, count] = (3.0 * t - 2.0) / (h * h)
                elif piece == 2:
                    out[0, count] = (3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0
                    out[1, count] = (2.0 * u - 1.5 * u * u) / h
                    out[2, count] = (3.0 * u - 2.0) / (h * h)
                else:
                    out[0, count] = t * t * t / 6.0
                    out[1, count] = 0.5 * t * t / h
                    out[2, count] = t / (h * h)
                count += 1
    return count


@kernel
def _quote_loss(error: float, half: float, unit: float, kind: int) -> tuple[float, float, float]:
    """Cost, slope and curvature in `error` (volatility) of one quote.

    `kind` 0 is two-sided, 1 an upper bound (ask only), 2 a lower bound (bid only).
    """
    cost = 0.0
    slope = 0.0
    curvature = 0.0
    sign = 1.0 if error >= 0.0 else -1.0
    excess = (abs(error) - BAND * half) / unit
    if kind == 0:
        u = error / unit
        cost = 0.5 * INSIDE_WEIGHT * u * u
        slope = INSIDE_WEIGHT * u
        curvature = INSIDE_WEIGHT
    elif kind == 1:
        excess = error / unit
        sign = 1.0
    else:
        excess = -error / unit
        sign = -1.0
    if excess > HUBER:
        cost += HUBER * (excess - 0.5 * HUBER)
        slope += sign * HUBER
        curvature += HUBER / excess
    elif excess > 0.0:
        cost += 0.5 * excess * excess
        slope += sign * excess
        curvature += 1.0
    return cost, slope / unit, curvature / (unit * unit)


@kernel
def _add(
    H: FloatArray, gradient: FloatArray, index: IntArray, jac: FloatArray, count: int,
    slope: float, curvature: float,
) -> None:  # fmt: skip
    for p in range(count):
        value = jac[p]
        i = index[p]
        gradient[i] += slope * value
        scaled = curvature * value
        for q in range(p + 1):
            H[i, index[q]] += scaled * jac[q]


@kernel
def chain_cost(
    rows, first, last, offsets, k, mid, half, unit, kind, weight, years, prior, precision,
    roughness, grid, grid_count, butterfly_weight, calendar_weight, scale, want_step,
    H, E, gradient,
):  # fmt: skip
    """Cost of slices first..last-1, and with `want_step` its gradient and Gauss-Newton Hessian.

    Pairs (i, i+1) count when their calendar weight is positive; a pair that reaches out of the
    range treats the slice outside as fixed.
    """
    total = 0.0
    index = np.empty(9, dtype=np.int64)
    other_index = np.empty(9, dtype=np.int64)
    jac = np.empty((3, 9))
    other = np.empty((3, 9))
    line = np.empty(9)
    far_line = np.empty(9)
    slices = rows.shape[0]
    if want_step:
        for i in range(first, last):
            H[i, :, :] = 0.0
            E[i, :, :] = 0.0
            gradient[i, :] = 0.0
    for i in range(first, last):
        row = rows[i]
        T = years[i]
        for q in range(offsets[i], offsets[i + 1]):
            w = derivatives(row, k[q])[0]
            if w <= 0.0:
                return np.inf
            vol = math.sqrt(w / T)
            cost, slope, curvature = _quote_loss(vol - mid[q], half[q], unit[q], kind[q])
            total += weight[q] * cost
            if want_step and (slope != 0.0 or curvature != 0.0):
                count = row_gradient(row, k[q], 0, index, jac)
                chain = 1.0 / (2.0 * vol * T)
                for p in range(count):
                    line[p] = jac[0, p] * chain
                _add(H[i], gradient[i], index, line, count, weight[q] * slope,
                     weight[q] * curvature)  # fmt: skip
        for j in range(5):
            delta = row[j] - prior[i, j]
            total += 0.5 * precision[i, j] * delta * delta
            if want_step:
                gradient[i, j] += precision[i, j] * delta
                H[i, j, j] += precision[i, j]
        if row[6] > 0.0:
            for j in range(KNOTS + 2):
                # Second differences, with zeros beyond both ends where the spline has ended.
                c0 = row[7 + j - 2] if j >= 2 else 0.0
                c1 = row[7 + j - 1] if 1 <= j <= KNOTS else 0.0
                c2 = row[7 + j] if j < KNOTS else 0.0
                bend = c2 - 2.0 * c1 + c0
                total += 0.5 * roughness[i] * bend * bend
                if want_step:
                    count = 0
                    if j >= 2:
                        index[count] = 5 + j - 2
                        line[count] = 1.0
                        count += 1
                    if 1 <= j <= KNOTS:
                        index[count] = 5 + j - 1
                        line[count] = -2.0
                        count += 1
                    if j < KNOTS:
                        index[count] = 5 + j
                        line[count] = 1.0
                        count += 1
                    _add(H[i], gradient[i], index, line, count, roughness[i] * bend, roughness[i])
        if row[0] + row[4] * math.sqrt(row[1] * row[2]) <= 0.0:
            return np.inf
        if butterfly_weight[i] > 0.0:
            for p in range(grid_count[i]):
                point = grid[i, p]
                w, w1, w2 = derivatives(row, point)
                if w <= 0.0:
                    return np.inf
                short = BUTTERFLY_MARGIN - butterfly_value(w, w1, w2, point)
                if short <= 0.0:
                    continue
                total += 0.5 * butterfly_weight[i] * short * short
                if want_step:
                    count = row_gradient(row, point, 2, index, jac)
                    a = 1.0 - 0.5 * point * w1 / w
                    by_w = a * point * w1 / (w * w) + 0.25 * w1 * w1 / (w * w)
                    by_w1 = -a * point / w - 0.5 * w1 * (1.0 / w + 0.25)
                    for q in range(count):
                        line[q] = by_w * jac[0, q] + by_w1 * jac[1, q] + 0.5 * jac[2, q]
                    _add(H[i], gradient[i], index, line, count, -butterfly_weight[i] * short,
                         butterfly_weight[i])  # fmt: skip
    for i in range(max(first - 1, 0), min(last, slices - 1)):
        if calendar_weight[i] <= 0.0:
            continue
        near = rows[i]
        far = rows[i + 1]
        near_free = i >= first
        far_free = i + 1 < last
        unit_w = scale[i]
        for side in range(2):
            owner = i + side
            for p in range(grid_count[owner]):
                point = grid[owner, p]
                short = CALENDAR_MARGIN + unit_w * (
                    derivatives(near, point)[0] - derivatives(far, point)[0]
                )
                if short <= 0.0:
                    continue
                total += 0.5 * calendar_weight[i] * short * short
                if want_step:
                    count = row_gradient(near, point, 0, index, jac)
                    far_count = row_gradient(far, point, 0, other_index, other)
                    for q in range(count):
                        line[q] = unit_w * jac[0, q]
                    for q in range(far_count):
                        far_line[q] = -unit_w * other[0, q]
                    push = calendar_weight[i] * short
                    if near_free:
                        _add(H[i], gradient[i], index, line, count, push, calendar_weight[i])
                    if far_free:
                        _add(H[i + 1], gradient[i + 1], other_index, far_line, far_count, push,
                             calendar_weight[i])  # fmt: skip
                    if near_free and far_free:
                        for q in range(far_count):
                            for r in range(count):
                                E[i, other_index[q], index[r]] += (
                                    calendar_weight[i] * far_line[q] * line[r]
                                )
        reach = unit_w * 0.5  # a slope error acts over about half a unit of log-moneyness
        for j in range(1, 3):
            short = reach * (near[j] - far[j] + WING_MARGIN)
            if short <= 0.0:
                continue
            total += 0.5 * calendar_weight[i] * short * short
            if want_step:
                push = calendar_weight[i] * short * reach
                curve = calendar_weight[i] * reach * reach
                if near_free:
                    gradient[i, j] += push
                    H[i, j, j] += curve
                if far_free:
                    gradient[i + 1, j] -= push
                    H[i + 1, j, j] += curve
                if near_free and far_free:
                    E[i, j, j] -= curve
    return total


@kernel
def _solve(H, E, gradient, first, last, damping, floor, step, L, M):
    """Step of (H + damping diag H) step = -gradient by block Cholesky; False if not definite."""
    for i in range(first, last):
        for r in range(DIM):
            for c in range(r + 1):
                L[i, r, c] = H[i, r, c]
            L[i, r, r] += damping * (H[i, r, r] + floor[i, r]) + 1e-9 * floor[i, r]
        if i > first:
            # M = E L_{i-1}^-T, and the Schur complement L_i L_i^T = D - M M^T.
            for r in range(DIM):
                for c in range(DIM):
                    total = E[i - 1, r, c]
                    for q in range(c):
                        total -= M[i, r, q] * L[i - 1, c, q]
                    M[i, r, c] = total / L[i - 1, c, c]
            for r in range(DIM):
                for c in range(r + 1):
                    total = 0.0
                    for q in range(DIM):
                        total += M[i, r, q] * M[i, c, q]
                    L[i, r, c] -= total
        for c in range(DIM):
            total = L[i, c, c]
            for q in range(c):
                total -= L[i, c, q] * L[i, c, q]
            if not total > 0.0:
                return False
            root = math.sqrt(total)
            L[i, c, c] = root
            for r in range(c + 1, DIM):
                total = L[i, r, c]
                for q in range(c):
                    total -= L[i, r, q] * L[i, c, q]
                L[i, r, c] = total / root
        for r in range(DIM):
            total = -gradient[i, r]
            if i > first:
                for q in range(DIM):
                    total -= M[i, r, q] * step[i - 1, q]
            for q in range(r):
                total -= L[i, r, q] * step[i, q]
            step[i, r] = total / L[i, r, r]
    for i in range(last - 1, first - 1, -1):
        for r in range(DIM - 1, -1, -1):
            total = step[i, r]
            if i + 1 < last:
                for q in range(DIM):
                    total -= M[i + 1, q, r] * step[i + 1, q]
            for q in range(r + 1, DIM):
                total -= L[i, q, r] * step[i, q]
            step[i, r] = total / L[i, r, r]
    return True


@kernel
def fit_range(
    rows, first, last, offsets, k, mid, half, unit, kind, weight, years, prior, precision,
    roughness, grid, grid_count, butterfly_weight, calendar_weight, scale, smallest_s, floor,
    use_residual, steps, tolerance, H, E, gradient, step, L, M,
):  # fmt: skip
    """Improve slices first..last-1 in place by at most `steps` accepted or refused LM steps.

    Returns the final cost and the number of steps tried.
    """
    damping = 1e-3
    cost = chain_cost(
        rows, first, last, offsets, k, mid, half, unit, kind, weight, years, prior, precision,
        roughness, grid, grid_count, butterfly_weight, calendar_weight, scale, True,
        H, E, gradient,
    )  # fmt: skip
    if not math.isfinite(cost):
        return cost, 0
    keep = rows[first:last].copy()
    tried = 0
    fresh = True
    while tried < steps:
        if not fresh:
            cost = chain_cost(
                rows, first, last, offsets, k, mid, half, unit, kind, weight, years, prior,
                precision, roughness, grid, grid_count, butterfly_weight, calendar_weight, scale,
                True, H, E, gradient,
            )  # fmt: skip
            fresh = True
        if not use_residual:
            for i in range(first, last):
                for j in range(5, DIM):
                    gradient[i, j] = 0.0
                    for c in range(DIM):
                        H[i, j, c] = 0.0
                    H[i, j, j] = 1.0
        tried += 1
        solved = _solve(H, E, gradient, first, last, damping, floor, step, L, M)
        better = False
        if solved:
            for i in range(first, last):
                for j in range(5):
                    rows[i, j] += step[i, j]
                rows[i, 1] = min(max(rows[i, 1], 1e-7), MAXIMUM_SLOPE)
                rows[i, 2] = min(max(rows[i, 2], 1e-7), MAXIMUM_SLOPE)
                rows[i, 4] = max(rows[i, 4], smallest_s[i])
                if use_residual:
                    for j in range(KNOTS):
                        rows[i, 7 + j] += step[i, 5 + j]
            new_cost = chain_cost(
                rows, first, last, offsets, k, mid, half, unit, kind, weight, years, prior,
                precision, roughness, grid, grid_count, butterfly_weight, calendar_weight, scale,
                False, H, E, gradient,
            )  # fmt: skip
            better = new_cost < cost
        if better:
            gain = cost - new_cost
            cost = new_cost
            keep[:, :] = rows[first:last]
            damping = max(damping * 0.2, 1e-9)
            fresh = False
            if gain <= tolerance * (cost + 1e-9):
                break
        else:
            rows[first:last] = keep
            damping *= 8.0
            if damping > 1e8:
                break
    return cost, tried
