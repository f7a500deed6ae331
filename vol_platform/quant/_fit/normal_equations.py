"""Gradient and Gauss-Newton Hessian of the cost of a chain, from what `chain_cost` left behind."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vol_platform.quant._fit.joint_fit import WING_MARGIN, row_gradient
from vol_platform.quant._fit.problem import GRID, WIDE, Problem, Workspace
from vol_platform.quant._fit.tables import (
    CROSSING_HERE,
    CURVATURE,
    DENT,
    FIRST_KNOT,
    POINT_K,
    POINT_ROOT,
    POINT_W,
    QUOTE_BASIS,
    SLOPE,
    W1,
)
from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._slices import KNOTS

__all__ = ["assemble"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@kernel
def _add(
    H: FloatArray, gradient: FloatArray, index: IntArray, jac: FloatArray, count: int,
    slope: float, curvature: float,
) -> None:  # fmt: skip
    """Add one term with sparse derivatives `jac` to the lower triangle."""
    for p in range(count):
        value = jac[p]
        i = index[p]
        gradient[i] += slope * value
        scaled = curvature * value
        for q in range(p + 1):
            H[i, index[q]] += scaled * jac[q]


@kernel
def _quote_terms(
    row: FloatArray, points: FloatArray, quotes: FloatArray, count: int, H: FloatArray,
    gradient: FloatArray,
) -> None:  # fmt: skip
    """Add the quotes of a slice; the hyperbola's block is summed in registers."""
    m = row[3]
    s = row[4]
    mean = 0.5 * (row[1] + row[2])
    tilt = 0.5 * (row[2] - row[1])
    residual = row[6] > 0.0
    g0 = g1 = g2 = g3 = g4 = 0.0
    h00 = h10 = h11 = h20 = h21 = h22 = h30 = h31 = h32 = h33 = 0.0
    h40 = h41 = h42 = h43 = h44 = 0.0
    for q in range(count):
        curve = quotes[CURVATURE, q]
        if curve == 0.0:
            continue
        slope = quotes[SLOPE, q]
        root = points[POINT_ROOT, q]
        x = points[POINT_K, q] - m
        inverse = 1.0 / root
        j1 = 0.5 * (root - x)
        j2 = 0.5 * (root + x)
        j3 = -tilt - mean * x * inverse
        j4 = mean * s * inverse
        c1 = curve * j1
        c2 = curve * j2
        c3 = curve * j3
        c4 = curve * j4
        g0 += slope
        g1 += slope * j1
        g2 += slope * j2
        g3 += slope * j3
        g4 += slope * j4
        h00 += curve
        h10 += c1
        h11 += c1 * j1
        h20 += c2
        h21 += c2 * j1
        h22 += c2 * j2
        h30 += c3
        h31 += c3 * j1
        h32 += c3 * j2
        h33 += c3 * j3
        h40 += c4
        h41 += c4 * j1
        h42 += c4 * j2
        h43 += c4 * j3
        h44 += c4 * j4
        if residual:
            first = 5 + int(quotes[FIRST_KNOT, q])
            for piece in range(4):
                b = quotes[QUOTE_BASIS + piece, q]
                r = first + piece
                gradient[r] += slope * b
                cb = curve * b
                line = H[r]
                line[0] += cb
                line[1] += cb * j1
                line[2] += cb * j2
                line[3] += cb * j3
                line[4] += cb * j4
                for other in range(piece + 1):
                    line[first + other] += cb * quotes[QUOTE_BASIS + other, q]
    gradient[0] += g0
    gradient[1] += g1
    gradient[2] += g2
    gradient[3] += g3
    gradient[4] += g4
    H[0, 0] += h00
    H[1, 0] += h10
    H[1, 1] += h11
    H[2, 0] += h20
    H[2, 1] += h21
    H[2, 2] += h22
    H[3, 0] += h30
    H[3, 1] += h31
    H[3, 2] += h32
    H[3, 3] += h33
    H[4, 0] += h40
    H[4, 1] += h41
    H[4, 2] += h42
    H[4, 3] += h43
    H[4, 4] += h44


@kernel
def _prior_terms(
    row: FloatArray, prior: FloatArray, precision: FloatArray, r: float, H: FloatArray,
    gradient: FloatArray, dim: int,
) -> None:  # fmt: skip
    """Add the ridge, and the roughness of the residual at price `r`."""
    for j in range(5):
        gradient[j] += precision[j] * (row[j] - prior[j])
        H[j, j] += precision[j]
    if dim == 5 or row[6] <= 0.0:
        return
    # The square of second differences with zeros beyond both ends: 1 -4 6 -4 1.
    for j in range(KNOTS):
        pull = 6.0 * row[7 + j]
        H[5 + j, 5 + j] += 6.0 * r
        if j >= 1:
            pull -= 4.0 * row[6 + j]
            H[5 + j, 4 + j] -= 4.0 * r
        if j >= 2:
            pull += row[5 + j]
            H[5 + j, 3 + j] += r
        if j + 1 < KNOTS:
            pull -= 4.0 * row[8 + j]
        if j + 2 < KNOTS:
            pull += row[9 + j]
        gradient[5 + j] += r * pull


@kernel
def _butterfly_terms(
    row: FloatArray, points: FloatArray, grid: FloatArray, begin: int, count: int, weight: float,
    H: FloatArray, gradient: FloatArray, index: IntArray, jac: FloatArray,
) -> None:  # fmt: skip
    """Add the constraint points at which g misses its margin."""
    line = jac[6]
    for p in range(count):
        short = grid[DENT, p]
        if short <= 0.0:
            continue
        point = points[POINT_K, begin + p]
        inverse = 1.0 / points[POINT_W, begin + p]
        w1 = grid[W1, p]
        size = row_gradient(row, point, 2, index, jac)
        a = 1.0 - 0.5 * point * w1 * inverse
        by_w = (a * point * w1 + 0.25 * w1 * w1) * inverse * inverse
        by_w1 = -a * point * inverse - 0.5 * w1 * (inverse + 0.25)
        for q in range(size):
            line[q] = by_w * jac[0, q] + by_w1 * jac[1, q] + 0.5 * jac[2, q]
        _add(H, gradient, index, line, size, -weight * short, weight)


@kernel
def _calendar_terms(
    rows: FloatArray, i: int, points: FloatArray, shorts: FloatArray, begin: int, count: int,
    weight: float, unit: float, near_free: bool, far_free: bool, hessian: FloatArray,
    gradient: FloatArray, coupling: FloatArray, index: IntArray, jac: FloatArray,
) -> None:  # fmt: skip
    """Add the constraint points at which slices i and i + 1 are too close."""
    near_index = index[0]
    far_index = index[1]
    near_jac = jac[:3]
    far_jac = jac[3:6]
    curve = weight * unit * unit
    for p in range(count):
        if shorts[p] <= 0.0:
            continue
        point = points[POINT_K, begin + p]
        push = weight * unit * shorts[p]
        if near_free:
            near_size = row_gradient(rows[i], point, 0, near_index, near_jac)
            _add(hessian[i], gradient[i], near_index, near_jac[0], near_size, push, curve)
        if far_free:
            far_size = row_gradient(rows[i + 1], point, 0, far_index, far_jac)
            _add(hessian[i + 1], gradient[i + 1], far_index, far_jac[0], far_size, -push, curve)
        if near_free and far_free:
            # Rows are the near slice's unknowns, columns the far one's.
            for r in range(near_size):
                scaled = curve * near_jac[0, r]
                for q in range(far_size):
                    coupling[i, near_index[r], far_index[q]] -= scaled * far_jac[0, q]


@kernel
def _wing_terms(
    rows: FloatArray, i: int, weight: float, unit: float, near_free: bool, far_free: bool,
    hessian: FloatArray, gradient: FloatArray, coupling: FloatArray,
) -> None:  # fmt: skip
    """Add the wings of slices i and i + 1 that are in the wrong order."""
    reach = 0.5 * unit
    curve = weight * reach * reach
    for j in range(1, 3):
        short = reach * (rows[i, j] - rows[i + 1, j] + WING_MARGIN)
        if short <= 0.0:
            continue
        push = weight * short * reach
        if near_free:
            gradient[i, j] += push
            hessian[i, j, j] += curve
        if far_free:
            gradient[i + 1, j] -= push
            hessian[i + 1, j, j] += curve
        if near_free and far_free:
            coupling[i, j, j] -= curve


@kernel
def assemble(
    rows: FloatArray, first: int, last: int, problem: Problem, work: Workspace, dim: int
) -> None:
    """Fill gradient, Hessian (lower triangles) and couplings of slices first..last-1.

    Must follow `chain_cost` of the same rows.
    """
    width = work.quotes.shape[2]
    for i in range(first, last):
        H = work.hessian[i]
        gradient = work.gradient[i]
        for r in range(WIDE):
            gradient[r] = 0.0
            for c in range(WIDE):
                H[r, c] = 0.0
        _quote_terms(
            rows[i], work.points[i], work.quotes[i],
            problem.offsets[i + 1] - problem.offsets[i], H, gradient,
        )  # fmt: skip
        _prior_terms(
            rows[i], problem.prior[i], problem.precision[i], problem.roughness[i], H, gradient, dim
        )
        if problem.butterfly_weight[i] > 0.0:
            _butterfly_terms(
                rows[i], work.points[i], work.grid[i], width, problem.grid_count[i],
                problem.butterfly_weight[i], H, gradient, work.unknowns[0], work.jacobian,
            )  # fmt: skip
    for i in range(max(first - 1, 0), min(last, rows.shape[0] - 1)):
        if i >= first and i + 1 < last:
            coupling = work.coupling[i]
            for r in range(WIDE):
                for c in range(WIDE):
                    coupling[r, c] = 0.0
        if problem.calendar_weight[i] > 0.0:
            free = i >= first, i + 1 < last
            weight, unit = problem.calendar_weight[i], problem.scale[i]
            for side in range(2):
                _calendar_terms(
                    rows, i, work.points[i], work.grid[i, CROSSING_HERE + side],
                    width + 2 * GRID * side, problem.grid_count[i + side], weight, unit, free[0],
                    free[1], work.hessian, work.gradient, work.coupling, work.unknowns,
                    work.jacobian,
                )  # fmt: skip
            _wing_terms(
                rows, i, weight, unit, free[0], free[1], work.hessian, work.gradient, work.coupling
            )
