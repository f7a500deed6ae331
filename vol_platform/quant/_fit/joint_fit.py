"""The cost of a chain of slices.

The unknowns of a slice are its five hyperbola numbers and its residual coefficients (see
`_slices`).  The cost is a sum of

* quotes: a small quadratic everywhere, and outside the bid-ask band (the dead zone) a Huber loss,
  both in units of the quote's half spread;
* a ridge towards a prior slice, and a roughness penalty on the residual;
* squared violations of ``g >= margin``, ``w_{i+1} - w_i >= margin`` and of the order of the wing
  slopes, each slice and pair with its own weight, escalated by the caller only where violated.

Only neighbouring slices meet in a term; `normal_equations` differentiates the cost, `levenberg`
takes the steps.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._fit.problem import GRID, Problem, Workspace
from vol_platform.quant._fit.tables import (
    BASIS_1,
    BASIS_2,
    COST,
    CROSSING_HERE,
    CROSSING_NEXT,
    CURVATURE,
    DENT,
    FREE_ABOVE,
    FREE_BELOW,
    INVERSE_UNIT,
    MID,
    POINT_K,
    POINT_ROOT,
    POINT_W,
    PULL,
    SIXTH,
    SLOPE,
    TERM,
    W1,
    W2,
    WEIGHT,
    add_splines,
    evaluate,
    prepare,
    total,
)
from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._slices import KNOTS

__all__ = ["MAXIMUM_SLOPE", "WING_MARGIN", "chain_cost", "prepare_range", "row_gradient"]

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
    inverse = 1.0 / root
    mean = 0.5 * (row[1] + row[2])
    tilt = 0.5 * (row[2] - row[1])
    ratio = x * inverse
    for j in range(5):
        index[j] = j
    out[0, 0] = 1.0
    out[0, 1] = 0.5 * (root - x)
    out[0, 2] = 0.5 * (root + x)
    out[0, 3] = -tilt - mean * ratio
    out[0, 4] = mean * s * inverse
    if order > 0:
        inverse_square = inverse * inverse
        inverse_cube = inverse_square * inverse
        bend = s * s * inverse_cube
        out[1, 0] = 0.0
        out[1, 1] = 0.5 * (ratio - 1.0)
        out[1, 2] = 0.5 * (ratio + 1.0)
        out[1, 3] = -mean * bend
        out[1, 4] = -mean * x * s * inverse_cube
        out[2, 0] = 0.0
        out[2, 1] = 0.5 * bend
        out[2, 2] = 0.5 * bend
        out[2, 3] = 3.0 * mean * bend * x * inverse_square
        out[2, 4] = mean * s * (2.0 * x * x - s * s) * inverse_cube * inverse_square
    count = 5
    if row[6] > 0.0:
        h = 1.0 / row[6]
        hh = h * h
        offset = (k - row[5]) * h
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
                    out[0, count] = u * u * u * SIXTH
                    out[1, count] = -0.5 * u * u * h
                    out[2, count] = u * hh
                elif piece == 1:
                    out[0, count] = (3.0 * t * t * t - 6.0 * t * t + 4.0) * SIXTH
                    out[1, count] = (1.5 * t * t - 2.0 * t) * h
                    out[2, count] = (3.0 * t - 2.0) * hh
                elif piece == 2:
                    out[0, count] = (3.0 * u * u * u - 6.0 * u * u + 4.0) * SIXTH
                    out[1, count] = (2.0 * u - 1.5 * u * u) * h
                    out[2, count] = (3.0 * u - 2.0) * hh
                else:
                    out[0, count] = t * t * t * SIXTH
                    out[1, count] = 0.5 * t * t * h
                    out[2, count] = t * hh
                count += 1
    return count


@kernel
def _quote_cost(w: FloatArray, quotes: FloatArray, count: int, years: float, huber: float) -> float:
    """Cost of the quotes of a slice, and into `quotes` its slope and curvature in each w.

    Not a number where the variance is negative.
    """
    mid = quotes[MID]
    above = quotes[FREE_ABOVE]
    below = quotes[FREE_BELOW]
    inverse_unit = quotes[INVERSE_UNIT]
    pull = quotes[PULL]
    weight = quotes[WEIGHT]
    cost = quotes[COST]
    slope = quotes[SLOPE]
    curvature = quotes[CURVATURE]
    inverse_years = 1.0 / years
    for q in range(count):
        vol = math.sqrt(w[q] * inverse_years)
        error = vol - mid[q]
        unit = inverse_unit[q]
        u = error * unit
        up = (error - above[q]) * unit
        down = (-error - below[q]) * unit
        excess = max(up, down, 0.0)
        linear = min(excess, huber)
        push = linear if up >= down else -linear
        bend = linear / max(excess, 1e-300)
        chain = 0.5 * unit * inverse_years / vol
        cost[q] = weight[q] * (0.5 * pull[q] * u * u + linear * (excess - 0.5 * linear))
        slope[q] = weight[q] * chain * (pull[q] * u + push)
        curvature[q] = weight[q] * chain * chain * (pull[q] + bend)
    return float(total(cost, count))


@kernel
def _prior_cost(
    row: FloatArray, prior: FloatArray, precision: FloatArray, roughness: float, dim: int
) -> float:
    """Cost of the ridge towards the prior slice and of the roughness of the residual."""
    cost = 0.0
    for j in range(5):
        delta = row[j] - prior[j]
        cost += precision[j] * delta * delta
    if dim > 5 and row[6] > 0.0:
        # Second differences of the coefficients, zero beyond both ends where the spline has ended.
        c = row[7:]
        bend = c[1] - 2.0 * c[0]
        rough = c[0] * c[0] + bend * bend
        for j in range(KNOTS - 2):
            bend = c[j] - 2.0 * c[j + 1] + c[j + 2]
            rough += bend * bend
        bend = c[KNOTS - 2] - 2.0 * c[KNOTS - 1]
        rough += bend * bend + c[KNOTS - 1] * c[KNOTS - 1]
        cost += roughness * rough
    return float(0.5 * cost)


@kernel
def _butterfly_cost(
    row: FloatArray, points: FloatArray, grid: FloatArray, begin: int, count: int
) -> float:
    """Half the sum of squares of what g misses its margin by at the constraint points of a slice.

    Fills w', w'' and the misses; infinite where the variance is not positive.
    """
    k = points[POINT_K, begin : begin + GRID]
    w = points[POINT_W, begin : begin + GRID]
    root = points[POINT_ROOT, begin : begin + GRID]
    w1 = grid[W1]
    w2 = grid[W2]
    dent = grid[DENT]
    term = grid[TERM]
    m = row[3]
    mean = 0.5 * (row[2] + row[1])
    tilt = 0.5 * (row[2] - row[1])
    top = mean * row[4] * row[4]
    for p in range(count):
        inverse = 1.0 / root[p]
        w1[p] = tilt + mean * (k[p] - m) * inverse
        w2[p] = top * inverse * inverse * inverse
    if row[6] > 0.0:
        add_splines(row, grid, BASIS_1, w1, count)
        add_splines(row, grid, BASIS_2, w2, count)
    for p in range(count):
        inverse = 1.0 / w[p]
        a = 1.0 - 0.5 * k[p] * w1[p] * inverse
        g = a * a - 0.25 * w1[p] * w1[p] * (inverse + 0.25) + 0.5 * w2[p]
        short = max(BUTTERFLY_MARGIN - g, 0.0)
        dent[p] = short
        term[p] = short * short if w[p] > 0.0 else np.inf
    return float(0.5 * total(term, count))


@kernel
def _crossing_cost(
    near: FloatArray, far: FloatArray, unit: float, short: FloatArray, term: FloatArray, count: int
) -> float:
    """Half the sum of squares of what ``far - near`` misses its margin by, in units of 1/unit."""
    for p in range(count):
        miss = max(CALENDAR_MARGIN - unit * (far[p] - near[p]), 0.0)
        short[p] = miss
        term[p] = miss * miss
    return float(0.5 * total(term, count))


@kernel
def _calendar_cost(
    near: FloatArray, far: FloatArray, near_points: FloatArray, far_points: FloatArray,
    grid: FloatArray, own: int, unit: float, near_count: int, far_count: int,
) -> float:  # fmt: skip
    """Cost of two slices too close to each other, and of wings in the wrong order; weight 1."""
    begin = own - GRID
    near_w = near_points[POINT_W]
    far_w = far_points[POINT_W]
    cost = _crossing_cost(
        near_w[begin:], far_w[own:], unit, grid[CROSSING_HERE], grid[TERM], near_count
    )
    cost += _crossing_cost(
        near_w[own + GRID :], far_w[begin:], unit, grid[CROSSING_NEXT], grid[TERM], far_count
    )
    reach = 0.5 * unit  # a slope error acts over about half a unit of log-moneyness
    for j in range(1, 3):
        short = max(reach * (near[j] - far[j] + WING_MARGIN), 0.0)
        cost += 0.5 * short * short
    return float(cost)


@kernel
def tied(i: int, weight: FloatArray) -> bool:
    """Whether a calendar term of positive weight ties slice i to a neighbour."""
    return bool((i > 0 and weight[i - 1] > 0.0) or (i + 1 < weight.size and weight[i] > 0.0))


@kernel
def prepare_range(
    rows: FloatArray, first: int, last: int, problem: Problem, work: Workspace
) -> None:
    """Bring the tables of slices first..last-1 up to date, and the fixed neighbours' values."""
    for i in range(first, last):
        wanted = 2 if tied(i, problem.calendar_weight) else 1
        if work.ready[i] < wanted:
            prepare(rows[i], i, problem, work, wanted)
    for side in range(2):
        i = first - 1 if side == 0 else last
        if 0 <= i < rows.shape[0] and problem.calendar_weight[first - 1 if side == 0 else last - 1]:
            if work.ready[i] < 2:
                prepare(rows[i], i, problem, work, 2)
            evaluate(rows[i], work.points[i], work.points.shape[2])


@kernel
def chain_cost(
    rows: FloatArray, first: int, last: int, problem: Problem, work: Workspace, dim: int
) -> float:
    """Cost of slices first..last-1, whose tables and neighbours `prepare_range` has prepared.

    Pairs (i, i+1) count when their calendar weight is positive; a pair that reaches out of the
    range treats the slice outside as fixed.  With `dim` 5 the residual stays as it is.  Leaves in
    `work` what the normal equations need.
    """
    cost = 0.0
    width = work.quotes.shape[2]
    own = width + GRID
    for i in range(first, last):
        row = rows[i]
        if row[0] + row[4] * math.sqrt(row[1] * row[2]) <= 0.0:
            return np.inf
        points = work.points[i]
        evaluate(row, points, points.shape[1] if tied(i, problem.calendar_weight) else own)
        cost += _quote_cost(
            points[POINT_W], work.quotes[i], problem.offsets[i + 1] - problem.offsets[i],
            problem.years[i], problem.loss.huber,
        )  # fmt: skip
        cost += _prior_cost(row, problem.prior[i], problem.precision[i], problem.roughness[i], dim)
        if problem.butterfly_weight[i] > 0.0:
            cost += problem.butterfly_weight[i] * _butterfly_cost(
                row, points, work.grid[i], width, problem.grid_count[i]
            )
        if not math.isfinite(cost):
            return np.inf
    for i in range(max(first - 1, 0), min(last, rows.shape[0] - 1)):
        if problem.calendar_weight[i] > 0.0:
            cost += problem.calendar_weight[i] * _calendar_cost(
                rows[i], rows[i + 1], work.points[i], work.points[i + 1], work.grid[i], own,
                problem.scale[i], problem.grid_count[i], problem.grid_count[i + 1],
            )  # fmt: skip
    return cost
