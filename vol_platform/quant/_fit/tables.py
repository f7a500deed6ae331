"""What a fit needs of a slice at fixed points, prepared once and evaluated in straight loops.

While a slice is fitted its quotes, constraint points and knots stay where they are, so that the
B-splines there are constants.  They are kept as dense rows: an evaluation of the total variance at
all points is one square root each and ten multiply-adds, in loops that compile to vector code.

The points of a slice are, in this order: its quotes (padded to the longest slice), its own
constraint points, those of the slice before and those of the slice after.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._fit.problem import GRID, Problem, Workspace
from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._slices import KNOTS

__all__ = ["add_splines", "evaluate", "prepare", "total"]

FloatArray = npt.NDArray[np.float64]

SIXTH = 1.0 / 6.0

# Rows of `Workspace.points`.
POINT_K, POINT_W, POINT_ROOT, BASIS = 0, 1, 2, 3

# Rows of `Workspace.quotes`: what is given, the terms of the cost, the four B-splines at a quote.
(
    MID, FREE_ABOVE, FREE_BELOW, INVERSE_UNIT, PULL, WEIGHT, COST, SLOPE, CURVATURE, FIRST_KNOT,
    QUOTE_BASIS,
) = range(11)  # fmt: skip

# Rows of `Workspace.grid`: w' and w'' at the own constraint points, by how much a constraint is
# missed there, and the derivatives of the B-splines.
W1, W2, DENT, CROSSING_HERE, CROSSING_NEXT, TERM, BASIS_1 = range(7)
BASIS_2 = BASIS_1 + KNOTS


@kernel
def total(values: FloatArray, count: int) -> float:
    """Sum of the first `count` values, in four chains."""
    a = b = c = d = 0.0
    whole = count - count % 4
    for p in range(0, whole, 4):
        a += values[p]
        b += values[p + 1]
        c += values[p + 2]
        d += values[p + 3]
    for p in range(whole, count):
        a += values[p]
    return float((a + b) + (c + d))


@kernel
def _fill_basis(row: FloatArray, points: FloatArray, begin: int, end: int) -> None:
    """B-splines at points begin..end-1: ``((2-a)_+^3 - 4 (1-a)_+^3) / 6``.

    Here a is the distance from the peak in knots.
    """
    inverse = 1.0 / row[6]
    k = points[POINT_K, begin:end]
    for j in range(KNOTS):
        peak = row[5] + (j + 2) * row[6]
        one = points[BASIS + j, begin:end]
        for p in range(k.size):
            distance = abs(k[p] - peak) * inverse
            outer = max(2.0 - distance, 0.0)
            inner = max(1.0 - distance, 0.0)
            one[p] = outer * outer * outer * SIXTH - 4.0 * SIXTH * inner * inner * inner


@kernel
def _fill_basis_derivatives(row: FloatArray, grid: FloatArray, k: FloatArray) -> None:
    """First and second derivatives of the B-splines at the own constraint points."""
    inverse = 1.0 / row[6]
    for j in range(KNOTS):
        peak = row[5] + (j + 2) * row[6]
        first = grid[BASIS_1 + j]
        second = grid[BASIS_2 + j]
        for p in range(k.size):
            x = k[p] - peak
            distance = abs(x) * inverse
            outer = max(2.0 - distance, 0.0)
            inner = max(1.0 - distance, 0.0)
            fall = (2.0 * inner * inner - 0.5 * outer * outer) * inverse
            first[p] = fall if x > 0.0 else -fall
            second[p] = (outer - 4.0 * inner) * inverse * inverse


@kernel
def _fill_quotes(row: FloatArray, i: int, problem: Problem, work: Workspace) -> None:
    """Columns of the quotes of slice i, and their four B-splines when there is a residual."""
    first = problem.offsets[i]
    count = problem.offsets[i + 1] - first
    points = work.points[i]
    quotes = work.quotes[i]
    loss = problem.loss
    for q in range(count):
        at = first + q
        kind = problem.kind[at]
        free = loss.band * problem.half[at] if kind == 0 else 0.0
        quotes[MID, q] = problem.mid[at]
        quotes[FREE_ABOVE, q] = np.inf if kind == 2 else free
        quotes[FREE_BELOW, q] = np.inf if kind == 1 else free
        quotes[INVERSE_UNIT, q] = 1.0 / problem.unit[at]
        quotes[PULL, q] = loss.inside_weight if kind == 0 else 0.0
        quotes[WEIGHT, q] = problem.weight[at]
        if row[6] > 0.0:
            # The four splines that reach a quote, moved inside where some of them do not exist.
            cell = math.floor((points[POINT_K, q] - row[5]) / row[6])
            j = min(max(cell - 3, 0), KNOTS - 4)
            quotes[FIRST_KNOT, q] = j
            for piece in range(4):
                quotes[QUOTE_BASIS + piece, q] = points[BASIS + j + piece, q]


@kernel
def prepare(row: FloatArray, i: int, problem: Problem, work: Workspace, wanted: int) -> None:
    """Bring the tables of slice i to level `wanted` (see `Workspace.ready`)."""
    done = work.ready[i]
    if done >= wanted:
        return
    width = work.quotes.shape[2]
    points = work.points[i]
    own = width + GRID
    if done == 0:
        for p in range(own):
            points[POINT_K, p] = 0.0
        for q in range(problem.offsets[i + 1] - problem.offsets[i]):
            points[POINT_K, q] = problem.k[problem.offsets[i] + q]
        count = problem.grid_count[i]
        for p in range(count):
            points[POINT_K, width + p] = problem.grid[i, p]
        if row[6] > 0.0:
            _fill_basis(row, points, 0, own)
            _fill_basis_derivatives(row, work.grid[i], points[POINT_K, width:own])
        _fill_quotes(row, i, problem, work)
    if wanted == 2:
        for side in range(2):
            owner = i - 1 + 2 * side
            begin = own + side * GRID
            for p in range(GRID):
                points[POINT_K, begin + p] = 0.0
            if 0 <= owner < problem.years.size:
                for p in range(problem.grid_count[owner]):
                    points[POINT_K, begin + p] = problem.grid[owner, p]
        if row[6] > 0.0:
            _fill_basis(row, points, own, own + 2 * GRID)
    work.ready[i] = wanted


@kernel
def add_splines(
    row: FloatArray, table: FloatArray, first: int, out: FloatArray, count: int
) -> None:
    """Add the residual, from the rows of `table` that begin at `first`, to `out`."""
    for half in range(2):
        at = first + 5 * half
        c0, c1, c2, c3, c4 = (
            row[7 + 5 * half], row[8 + 5 * half], row[9 + 5 * half], row[10 + 5 * half],
            row[11 + 5 * half],
        )  # fmt: skip
        b0, b1, b2, b3, b4 = (
            table[at], table[at + 1], table[at + 2], table[at + 3], table[at + 4],
        )  # fmt: skip
        for p in range(count):
            out[p] += c0 * b0[p] + c1 * b1[p] + c2 * b2[p] + c3 * b3[p] + c4 * b4[p]


@kernel
def evaluate(row: FloatArray, points: FloatArray, columns: int) -> None:
    """Total variance of a slice, and the root of its hyperbola, at its first `columns` points."""
    a = row[0]
    m = row[3]
    square = row[4] * row[4]
    mean = 0.5 * (row[2] + row[1])
    tilt = 0.5 * (row[2] - row[1])
    k = points[POINT_K]
    w = points[POINT_W]
    root = points[POINT_ROOT]
    for p in range(columns):
        x = k[p] - m
        r = math.sqrt(x * x + square)
        root[p] = r
        w[p] = a + tilt * x + mean * r
    if row[6] > 0.0:
        add_splines(row, points, BASIS, w, columns)
