"""Levenberg-Marquardt over a chain of slices.

Only neighbouring slices meet in a term of the cost, so that a step is one block-tridiagonal
Cholesky solve.  Its inner loops run along whole rows of a constant length, which compile to vector
code; the right-hand side travels as the last column.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._fit.joint_fit import MAXIMUM_SLOPE, chain_cost, prepare_range
from vol_platform.quant._fit.normal_equations import assemble
from vol_platform.quant._fit.problem import DIM, WIDE, Problem, Workspace
from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._slices import ROW

__all__ = ["fit_range"]

FloatArray = npt.NDArray[np.float64]


@kernel
def _factor(U: FloatArray, dim: int) -> bool:
    """Turn the upper triangle of U into its Cholesky factor, the last column along with it."""
    for c in range(dim):
        pivot = U[c, c]
        if not pivot > 0.0:
            return False
        pivotal = U[c]
        inverse = 1.0 / math.sqrt(pivot)
        for q in range(WIDE):
            pivotal[q] *= inverse
        for r in range(c + 1, dim):
            line = U[r]
            part = pivotal[r]
            for q in range(WIDE):
                line[q] -= part * pivotal[q]
    return True


@kernel
def _link(U: FloatArray, E: FloatArray, X: FloatArray, after: FloatArray, dim: int) -> None:
    """X = U^-T E with the solved right-hand side as last column; take X^T X off `after`."""
    for c in range(dim):
        line = X[c]
        source = E[c]
        for q in range(WIDE):
            line[q] = source[q]
    for c in range(dim):
        line = X[c]
        inverse = 1.0 / U[c, c]
        for q in range(WIDE):
            line[q] *= inverse
        for r in range(c + 1, dim):
            other = X[r]
            part = U[c, r]
            for q in range(WIDE):
                other[q] -= part * line[q]
    for c in range(dim):
        line = X[c]
        line[DIM] = U[c, DIM]
        for r in range(dim):
            target = after[r]
            part = line[r]
            for q in range(WIDE):
                target[q] -= part * line[q]


@kernel
def _solve(
    first: int, last: int, damping: float, hessian: FloatArray, coupling: FloatArray,
    gradient: FloatArray, floor: FloatArray, factor: FloatArray, link: FloatArray,
    step: FloatArray, dim: int,
) -> bool:  # fmt: skip
    """Solve (H + damping diag H) step = -gradient by block Cholesky; False if not definite."""
    for i in range(first, last):
        H = hessian[i]
        U = factor[i]
        for r in range(dim):
            for c in range(WIDE):
                U[r, c] = H[c, r]
            U[r, r] += damping * (H[r, r] + floor[i, r]) + 1e-9 * floor[i, r]
            U[r, DIM] = -gradient[i, r]
        if i > first:
            _link(factor[i - 1], coupling[i - 1], link[i], U, dim)
        if not _factor(U, dim):
            return False
    for i in range(last - 1, first - 1, -1):
        U = factor[i]
        for r in range(dim - 1, -1, -1):
            value = U[r, DIM]
            if i + 1 < last:
                for q in range(dim):
                    value -= link[i + 1, r, q] * step[i + 1, q]
            for q in range(r + 1, dim):
                value -= U[r, q] * step[i, q]
            step[i, r] = value / U[r, r]
    return True


@kernel
def _copy(source: FloatArray, target: FloatArray) -> None:
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@kernel
def fit_range(
    rows: FloatArray, first: int, last: int, problem: Problem, work: Workspace, dim: int,
    steps: int, tolerance: float,
) -> int:  # fmt: skip
    """Improve slices first..last-1 in place; return the Levenberg-Marquardt steps tried.

    Stops after `steps`, or when an accepted step gains less than `tolerance` of the cost.
    """
    damping = 1e-3
    prepare_range(rows, first, last, problem, work)
    cost = chain_cost(rows, first, last, problem, work, dim)
    if not math.isfinite(cost):
        return 0
    keep = np.empty((last - first, ROW))
    _copy(rows[first:last], keep)
    tried = 0
    moved = True
    while tried < steps:
        if moved:
            assemble(rows, first, last, problem, work, dim)
            moved = False
        tried += 1
        new_cost = np.inf
        if _solve(
            first, last, damping, work.hessian, work.coupling, work.gradient, problem.floor,
            work.factor, work.link, work.step, dim,
        ):  # fmt: skip
            for i in range(first, last):
                for j in range(5):
                    rows[i, j] += work.step[i, j]
                rows[i, 1] = min(max(rows[i, 1], 1e-7), MAXIMUM_SLOPE)
                rows[i, 2] = min(max(rows[i, 2], 1e-7), MAXIMUM_SLOPE)
                rows[i, 4] = max(rows[i, 4], problem.smallest_s[i])
                if rows[i, 6] > 0.0:
                    for j in range(5, dim):
                        rows[i, 2 + j] += work.step[i, j]
            new_cost = chain_cost(rows, first, last, problem, work, dim)
        if new_cost < cost:
            _copy(rows[first:last], keep)
            damping = max(damping * 0.2, 1e-9)
            moved = True
            gain = cost - new_cost
            cost = new_cost
            if gain <= tolerance * (cost + gain):
                break
        else:
            _copy(keep, rows[first:last])
            damping *= 8.0
            if damping > 1e8:
                break
    return tried
