"""The cost of a chain of slices, its gradient and its Gauss-Newton Hessian.

The unknowns of a slice are its five hyperbola numbers and its residual coefficients (see
`_slices`).  The cost is a sum of

* quotes: a small quadratic everywhere, and outside the bid-ask band (the dead zone) a Huber loss,
  both in units of the quote's half spread;
* a ridge towards a prior slice, and a roughness penalty on the residual;
* squared violations of ``g >= margin``, ``w_{i+1} - w_i >= margin`` and of the order of the wing
  slopes, each slice and pair with its own weight, escalated by the caller only where violated.

Only neighbouring slices meet in a term; `_levenberg` takes the steps.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._compile import kernel
from vol_platform.quant._problem import DIM, Loss, Problem, Workspace
from vol_platform.quant._slices import KNOTS, butterfly_value, derivatives

__all__ = ["MAXIMUM_SLOPE", "chain_cost", "row_gradient"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


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
def _quote_loss(
    error: float, half: float, unit: float, kind: int, loss: Loss
) -> tuple[float, float, float]:
    """Cost, slope and curvature in `error` (volatility) of one quote.

    `kind` 0 is two-sided, 1 an upper bound (ask only), 2 a lower bound (bid only).
    """
    cost = 0.0
    slope = 0.0
    curvature = 0.0
    sign = 1.0 if error >= 0.0 else -1.0
    excess = (abs(error) - loss.band * half) / unit
    if kind == 0:
        u = error / unit
        cost = 0.5 * loss.inside_weight * u * u
        slope = loss.inside_weight * u
        curvature = loss.inside_weight
    elif kind == 1:
        excess = error / unit
        sign = 1.0
    else:
        excess = -error / unit
        sign = -1.0
    if excess > loss.huber:
        cost += loss.huber * (excess - 0.5 * loss.huber)
        slope += sign * loss.huber
        curvature += loss.huber / excess
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
def _quote_terms(
    rows: FloatArray, i: int, problem: Problem, work: Workspace, want_step: bool
) -> float:
    """Cost of the quotes of slice i; infinite where its variance is not positive."""
    index = np.empty(9, dtype=np.int64)
    jac = np.empty((3, 9))
    line = np.empty(9)
    row = rows[i]
    T = problem.years[i]
    total = 0.0
    for q in range(problem.offsets[i], problem.offsets[i + 1]):
        w = derivatives(row, problem.k[q])[0]
        if not w > 0.0:
            return np.inf
        vol = math.sqrt(w / T)
        cost, slope, curvature = _quote_loss(
            vol - problem.mid[q], problem.half[q], problem.unit[q], problem.kind[q], problem.loss
        )
        total += problem.weight[q] * cost
        if want_step and curvature != 0.0:
            count = row_gradient(row, problem.k[q], 0, index, jac)
            chain = 1.0 / (2.0 * vol * T)
            for p in range(count):
                line[p] = jac[0, p] * chain
            weight = problem.weight[q]
            _add(work.hessian[i], work.gradient[i], index, line, count, weight * slope,
                 weight * curvature)  # fmt: skip
    return total


@kernel
def _prior_terms(
    rows: FloatArray, i: int, problem: Problem, work: Workspace, want_step: bool, dim: int
) -> float:
    """Cost of the ridge towards the prior slice and of the roughness of the residual."""
    index = np.empty(9, dtype=np.int64)
    line = np.empty(9)
    row = rows[i]
    total = 0.0
    for j in range(5):
        delta = row[j] - problem.prior[i, j]
        total += 0.5 * problem.precision[i, j] * delta * delta
        if want_step:
            work.gradient[i, j] += problem.precision[i, j] * delta
            work.hessian[i, j, j] += problem.precision[i, j]
    if dim == 5 or row[6] <= 0.0:
        return total
    roughness = problem.roughness[i]
    for j in range(KNOTS + 2):
        # Second differences of the coefficients, zero beyond both ends where the spline has ended.
        bend = 0.0
        count = 0
        for offset in range(2, -1, -1):
            at = j - offset
            if 0 <= at < KNOTS:
                index[count] = 5 + at
                line[count] = -2.0 if offset == 1 else 1.0
                bend += line[count] * row[7 + at]
                count += 1
        total += 0.5 * roughness * bend * bend
        if want_step:
            _add(work.hessian[i], work.gradient[i], index, line, count, roughness * bend,
                     roughness)  # fmt: skip
    return total


@kernel
def _butterfly_terms(
    rows: FloatArray, i: int, problem: Problem, work: Workspace, want_step: bool
) -> float:
    """Cost of g below its margin at the constraint points of slice i."""
    index = np.empty(9, dtype=np.int64)
    jac = np.empty((3, 9))
    line = np.empty(9)
    row = rows[i]
    weight = problem.butterfly_weight[i]
    total = 0.0
    for p in range(problem.grid_count[i]):
        point = problem.grid[i, p]
        w, w1, w2 = derivatives(row, point)
        if not w > 0.0:
            return np.inf
        short = BUTTERFLY_MARGIN - butterfly_value(w, w1, w2, point)
        if short <= 0.0:
            continue
        total += 0.5 * weight * short * short
        if want_step:
            count = row_gradient(row, point, 2, index, jac)
            a = 1.0 - 0.5 * point * w1 / w
            by_w = a * point * w1 / (w * w) + 0.25 * w1 * w1 / (w * w)
            by_w1 = -a * point / w - 0.5 * w1 * (1.0 / w + 0.25)
            for q in range(count):
                line[q] = by_w * jac[0, q] + by_w1 * jac[1, q] + 0.5 * jac[2, q]
            _add(work.hessian[i], work.gradient[i], index, line, count, -weight * short, weight)
    return total


@kernel
def _calendar_terms(
    rows: FloatArray, i: int, problem: Problem, work: Workspace, want_step: bool,
    near_free: bool, far_free: bool,
) -> float:  # fmt: skip
    """Cost of ``w_{i+1} - w_i`` below its margin, and of wing slopes in the wrong order."""
    index = np.empty(9, dtype=np.int64)
    far_index = np.empty(9, dtype=np.int64)
    jac = np.empty((3, 9))
    far_jac = np.empty((3, 9))
    line = np.empty(9)
    far_line = np.empty(9)
    near = rows[i]
    far = rows[i + 1]
    weight = problem.calendar_weight[i]
    unit = problem.scale[i]
    total = 0.0
    for owner in range(i, i + 2):
        for p in range(problem.grid_count[owner]):
            point = problem.grid[owner, p]
            gap = derivatives(far, point)[0] - derivatives(near, point)[0]
            short = CALENDAR_MARGIN - unit * gap
            if short <= 0.0:
                continue
            total += 0.5 * weight * short * short
            if not want_step:
                continue
            count = row_gradient(near, point, 0, index, jac)
            far_count = row_gradient(far, point, 0, far_index, far_jac)
            for q in range(count):
                line[q] = unit * jac[0, q]
            for q in range(far_count):
                far_line[q] = -unit * far_jac[0, q]
            if near_free:
                _add(work.hessian[i], work.gradient[i], index, line, count, weight * short, weight)
            if far_free:
                _add(work.hessian[i + 1], work.gradient[i + 1], far_index, far_line, far_count,
                     weight * short, weight)  # fmt: skip
            if near_free and far_free:
                for q in range(far_count):
                    scaled = weight * far_line[q]
                    for r in range(count):
                        work.coupling[i, far_index[q], index[r]] += scaled * line[r]
    reach = 0.5 * unit  # a slope error acts over about half a unit of log-moneyness
    for j in range(1, 3):
        short = reach * (near[j] - far[j] + WING_MARGIN)
        if short <= 0.0:
            continue
        total += 0.5 * weight * short * short
        if want_step:
            push = weight * short * reach
            curve = weight * reach * reach
            if near_free:
                work.gradient[i, j] += push
                work.hessian[i, j, j] += curve
            if far_free:
                work.gradient[i + 1, j] -= push
                work.hessian[i + 1, j, j] += curve
            if near_free and far_free:
                work.coupling[i, j, j] -= curve
    return total


@kernel
def chain_cost(
    rows: FloatArray, first: int, last: int, problem: Problem, work: Workspace, want_step: bool,
    dim: int,
) -> float:  # fmt: skip
    """Cost of slices first..last-1, and with `want_step` its gradient and Gauss-Newton Hessian.

    Pairs (i, i+1) count when their calendar weight is positive; a pair that reaches out of the
    range treats the slice outside as fixed.  With `dim` 5 the residual stays as it is.
    """
    total = 0.0
    if want_step:
        for i in range(first, last):
            for r in range(DIM):
                work.gradient[i, r] = 0.0
                for c in range(DIM):
                    work.hessian[i, r, c] = 0.0
                    work.coupling[i, r, c] = 0.0
    for i in range(first, last):
        row = rows[i]
        if row[0] + row[4] * math.sqrt(row[1] * row[2]) <= 0.0:
            return np.inf
        total += _quote_terms(rows, i, problem, work, want_step)
        total += _prior_terms(rows, i, problem, work, want_step, dim)
        if problem.butterfly_weight[i] > 0.0:
            total += _butterfly_terms(rows, i, problem, work, want_step)
        if not math.isfinite(total):
            return np.inf
    for i in range(max(first - 1, 0), min(last, rows.shape[0] - 1)):
        if problem.calendar_weight[i] > 0.0:
            total += _calendar_terms(
                rows, i, problem, work, want_step, i >= first, i + 1 < last
            )  # fmt: skip
    return total
