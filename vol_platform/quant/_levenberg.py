"""Levenberg-Marquardt over a chain of slices.

Only neighbouring slices meet in a term of the cost, so that a step is one block-tridiagonal
Cholesky solve.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._compile import kernel
from vol_platform.quant._joint_fit import MAXIMUM_SLOPE, chain_cost
from vol_platform.quant._problem import Problem, Workspace
from vol_platform.quant._slices import ROW

__all__ = ["fit_range"]

FloatArray = npt.NDArray[np.float64]


@kernel
def _solve(
    first: int, last: int, damping: float, problem: Problem, work: Workspace, dim: int
) -> bool:
    """Solve (H + damping diag H) step = -gradient by block Cholesky; False if not definite."""
    H, E, L, M = work.hessian, work.coupling, work.factor, work.link
    step, floor = work.step, problem.floor
    for i in range(first, last):
        for r in range(dim):
            for c in range(r + 1):
                L[i, r, c] = H[i, r, c]
            L[i, r, r] += damping * (H[i, r, r] + floor[i, r]) + 1e-9 * floor[i, r]
        if i > first:
            # M = E L_{i-1}^-T, and the Schur complement L_i L_i^T = D - M M^T.
            for r in range(dim):
                for c in range(dim):
                    total = E[i - 1, r, c]
                    for q in range(c):
                        total -= M[i, r, q] * L[i - 1, c, q]
                    M[i, r, c] = total / L[i - 1, c, c]
            for r in range(dim):
                for c in range(r + 1):
                    total = 0.0
                    for q in range(dim):
                        total += M[i, r, q] * M[i, c, q]
                    L[i, r, c] -= total
        for c in range(dim):
            total = L[i, c, c]
            for q in range(c):
                total -= L[i, c, q] * L[i, c, q]
            if not total > 0.0:
                return False
            root = math.sqrt(total)
            L[i, c, c] = root
            for r in range(c + 1, dim):
                total = L[i, r, c]
                for q in range(c):
                    total -= L[i, r, q] * L[i, c, q]
                L[i, r, c] = total / root
        for r in range(dim):
            total = -work.gradient[i, r]
            if i > first:
                for q in range(dim):
                    total -= M[i, r, q] * step[i - 1, q]
            for q in range(r):
                total -= L[i, r, q] * step[i, q]
            step[i, r] = total / L[i, r, r]
    for i in range(last - 1, first - 1, -1):
        for r in range(dim - 1, -1, -1):
            total = step[i, r]
            if i + 1 < last:
                for q in range(dim):
                    total -= M[i + 1, q, r] * step[i + 1, q]
            for q in range(r + 1, dim):
                total -= L[i, q, r] * step[i, q]
            step[i, r] = total / L[i, r, r]
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
    # Variables, not literals: numba would compile everything below once for each.
    with_step = steps >= 0
    without_step = not with_step
    cost = chain_cost(rows, first, last, problem, work, with_step, dim)
    if not math.isfinite(cost):
        return 0
    keep = np.empty((last - first, ROW))
    _copy(rows[first:last], keep)
    tried = 0
    fresh = True
    while tried < steps:
        if not fresh:
            cost = chain_cost(rows, first, last, problem, work, with_step, dim)
            fresh = True
        tried += 1
        better = False
        gain = 0.0
        if _solve(first, last, damping, problem, work, dim):
            for i in range(first, last):
                for j in range(5):
                    rows[i, j] += work.step[i, j]
                rows[i, 1] = min(max(rows[i, 1], 1e-7), MAXIMUM_SLOPE)
                rows[i, 2] = min(max(rows[i, 2], 1e-7), MAXIMUM_SLOPE)
                rows[i, 4] = max(rows[i, 4], problem.smallest_s[i])
                if rows[i, 6] > 0.0:
                    for j in range(5, dim):
                        rows[i, 2 + j] += work.step[i, j]
            new_cost = chain_cost(rows, first, last, problem, work, without_step, dim)
            better = new_cost < cost
            gain = cost - new_cost
        if better:
            _copy(rows[first:last], keep)
            damping = max(damping * 0.2, 1e-9)
            fresh = False
            if gain <= tolerance * cost:
                break
        else:
            _copy(keep, rows[first:last])
            damping *= 8.0
            if damping > 1e8:
                break
    return tried
