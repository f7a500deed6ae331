"""The whole calibration of a chain, compiled: single fits, the joint fit and its escalation."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._compile import kernel
from vol_platform.quant._exact import butterfly_minimum, calendar_minimum
from vol_platform.quant._joint_fit import fit_range, row_gradient
from vol_platform.quant._problem import (
    DIM,
    GRID,
    GRID_BASE,
    Problem,
    Workspace,
)
from vol_platform.quant._slices import KNOTS, derivatives
from vol_platform.quant._start import ESSVI, PRIOR, RICH, SHIFTED, fill_grid, start_slice

__all__ = [
    "BUTTERFLY_ACCEPT", "CALENDAR_ACCEPT", "COLD", "KEEP", "WARM", "at_money_error",
    "calibrate_rows",
]  # fmt: skip

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

COLD, WARM, KEEP = 0, 1, 2
"""How a slice begins: from its quotes, from an earlier slice, or not at all (nothing changed)."""

BUTTERFLY_ACCEPT = 2e-4
CALENDAR_ACCEPT = 1e-7

_BUTTERFLY_WEIGHT = 100.0
_ESCALATION = 6.0
_MAXIMUM_WEIGHT = 1e6


@kernel
def _measure(problem: Problem, i: int) -> tuple[float, float, float, float]:
    """At-the-money deviation, typical half spread and range of the two-sided quotes of slice i."""
    nearest = -1
    low = 0.0
    high = 0.0
    spread = 0.0
    count = 0
    for q in range(problem.offsets[i], problem.offsets[i + 1]):
        if problem.kind[q] != 0:
            continue
        if nearest < 0 or abs(problem.k[q]) < abs(problem.k[nearest]):
            nearest = q
        low = min(low, problem.k[q])
        high = max(high, problem.k[q])
        spread += math.log(problem.unit[q])
        count += 1
    vol = problem.mid[nearest] if nearest >= 0 else 0.5
    half_spread = math.exp(spread / count) if count > 0 else 0.02
    deviation = vol * math.sqrt(problem.years[i])
    return deviation, half_spread, min(low, -0.5 * deviation), max(high, 0.5 * deviation)


@kernel
def _set_prior(row: FloatArray, problem: Problem, i: int, thin: int, deviation: float) -> None:
    """Ridge towards the row as it is: weak everywhere, real where quotes are few."""
    strength = 1e-3
    if thin == PRIOR:
        strength = 1.0
    elif thin == ESSVI:
        strength = 10.0
    elif thin == SHIFTED:
        strength = 100.0
    for j in range(5):
        natural = deviation * deviation if j == 0 else deviation
        problem.prior[i, j] = row[j]
        problem.precision[i, j] = strength / (natural * natural)


@kernel
def _fit_single(
    rows: FloatArray, i: int, problem: Problem, work: Workspace, thin: IntArray, start: IntArray,
    done: BoolArray, roughness: float, use_residual: bool,
) -> int:  # fmt: skip
    """Fit slice i on its own, butterfly constraint included; return the steps spent."""
    deviation, half_spread, low, high = _measure(problem, i)
    vol = deviation / math.sqrt(problem.years[i])
    scale = 1.0 / (2.0 * vol * problem.years[i] * half_spread)
    problem.scale[i] = scale
    problem.smallest_s[i] = 0.02 * deviation
    problem.roughness[i] = roughness * scale * scale
    fill_grid(problem.grid[i], low, high, deviation)
    for j in range(DIM):
        natural = deviation * deviation if j == 0 else deviation
        problem.floor[i, j] = 1e-4 * (1.0 / (natural * natural) if j < 5 else scale * scale)
    residual = use_residual and thin[i] == RICH
    step = (high - low) / (KNOTS - 1)
    begin = start[i]
    if begin != COLD:
        # Old knots must still span the quotes, else the residual cannot follow them.
        span_low = rows[i, 5] + 2.0 * rows[i, 6]
        span_high = span_low + (KNOTS - 1) * rows[i, 6]
        fits = abs(span_low - low) <= step and abs(span_high - high) <= step
        if (rows[i, 6] > 0.0) != residual or (residual and not fits):
            begin = COLD
    steps = 0
    if begin == COLD:
        start_slice(rows, i, problem, thin, done, deviation)
        _set_prior(rows[i], problem, i, thin[i], deviation)
        problem.butterfly_weight[i] = 0.0
        steps += fit_range(rows, i, i + 1, problem, work, 5, 12, problem.loss.tolerance)
        if residual:
            rows[i, 6] = step
            rows[i, 5] = low - 2.0 * step
    if begin != COLD or residual:
        _set_prior(rows[i], problem, i, thin[i], deviation)
    problem.butterfly_weight[i] = _BUTTERFLY_WEIGHT
    if begin != KEEP:
        dim = DIM if residual else 5
        steps += fit_range(rows, i, i + 1, problem, work, dim, 12, problem.loss.tolerance)
    done[i] = True
    return steps


@kernel
def _cut(problem: Problem, i: int, point: float) -> None:
    """Add the place of a violation to the constraint points of slice i (the oldest is replaced)."""
    if math.isfinite(point):
        room = GRID - GRID_BASE
        problem.grid[i, GRID_BASE + problem.cuts[i] % room] = point
        problem.cuts[i] += 1
        problem.grid_count[i] = min(GRID, GRID_BASE + problem.cuts[i])


@kernel
def _check(
    rows: FloatArray, stale: BoolArray, g_min: FloatArray, g_at: FloatArray, gap_min: FloatArray,
    gap_at: FloatArray,
) -> bool:  # fmt: skip
    """Refresh the exact checks of the slices marked stale and of their pairs; True when clean."""
    n = rows.shape[0]
    for i in range(n):
        if stale[i]:
            g_at[i], g_min[i] = butterfly_minimum(rows[i])
        if i < n - 1 and (stale[i] or stale[i + 1]):
            gap_at[i], gap_min[i] = calendar_minimum(rows[i], rows[i + 1])
            # Compared with the variance itself, so that rounding cannot pass for order.
            gap_min[i] -= CALENDAR_ACCEPT * abs(derivatives(rows[i], 0.0)[0])
    clean = True
    for i in range(n):
        stale[i] = False
        clean = clean and g_min[i] >= BUTTERFLY_ACCEPT and gap_min[i] >= 0.0
    return clean


@kernel
def calibrate_rows(
    rows: FloatArray, problem: Problem, work: Workspace, thin: IntArray, start: IntArray,
    roughness: float, use_residual: bool, rounds: int, g_min: FloatArray, gap_min: FloatArray,
) -> tuple[bool, int]:  # fmt: skip
    """Fit all slices in place.

    `rows` holds earlier slices where `start` is not COLD; `g_min` and `gap_min` receive the exact
    checks (`gap_min` is infinite for the last slice).  Returns whether every check passed, and the
    Levenberg-Marquardt steps spent.
    """
    n = rows.shape[0]
    done = np.zeros(n, dtype=np.bool_)
    steps = 0
    for stage in range(2):  # slices with enough quotes first: the others borrow their shape
        for i in range(n):
            if (thin[i] == RICH) == (stage == 0):
                steps += _fit_single(
                    rows, i, problem, work, thin, start, done, roughness, use_residual
                )
    stale = np.ones(n, dtype=np.bool_)
    g_at = np.zeros(n)
    gap_at = np.zeros(n)
    gap_min[n - 1] = np.inf
    clean = _check(rows, stale, g_min, g_at, gap_min, gap_at)
    for attempt in range(2):
        for _ in range(rounds):
            if clean:
                return True, steps
            steps += _escalate(rows, problem, work, stale, g_min, g_at, gap_min, gap_at)
            clean = _check(rows, stale, g_min, g_at, gap_min, gap_at)
        if clean or attempt == 1:
            break
        # Some slice is stuck: begin again without its residual and with modest weights.
        problem.calendar_weight[:] = np.minimum(problem.calendar_weight, 100.0)
        for i in range(n):
            stuck = g_min[i] < BUTTERFLY_ACCEPT or gap_min[i] < 0.0
            stuck = stuck or (i > 0 and gap_min[i - 1] < 0.0)
            if stuck:
                deviation = _measure(problem, i)[0]
                start_slice(rows, i, problem, thin, done, deviation)
                _set_prior(rows[i], problem, i, thin[i], deviation)
                problem.butterfly_weight[i] = _BUTTERFLY_WEIGHT
                steps += fit_range(rows, i, i + 1, problem, work, 5, 12, 1e-3)
                stale[i] = True
        clean = _check(rows, stale, g_min, g_at, gap_min, gap_at)
    return clean, steps


@kernel
def _escalate(
    rows: FloatArray, problem: Problem, work: Workspace, stale: BoolArray, g_min: FloatArray,
    g_at: FloatArray, gap_min: FloatArray, gap_at: FloatArray,
) -> int:  # fmt: skip
    """Raise the weights where a check failed and fit those blocks again; return the steps."""
    n = rows.shape[0]
    steps = 0
    for i in range(n):
        if g_min[i] < BUTTERFLY_ACCEPT:
            weight = _ESCALATION * problem.butterfly_weight[i]
            problem.butterfly_weight[i] = min(weight, _MAXIMUM_WEIGHT)
            _cut(problem, i, g_at[i])
        if gap_min[i] < 0.0:
            weight = max(1.0, _ESCALATION * problem.calendar_weight[i])
            problem.calendar_weight[i] = min(weight, _MAXIMUM_WEIGHT)
            _cut(problem, i, gap_at[i])
    i = 0
    while i < n:
        # A block is a run of slices tied by active calendar terms.
        j = i
        bad = g_min[i] < BUTTERFLY_ACCEPT
        while j < n - 1 and problem.calendar_weight[j] > 0.0:
            bad = bad or gap_min[j] < 0.0
            j += 1
            bad = bad or g_min[j] < BUTTERFLY_ACCEPT
        if bad:
            dim = 5
            for p in range(i, j + 1):
                if rows[p, 6] > 0.0:
                    dim = DIM
            steps += fit_range(rows, i, j + 1, problem, work, dim, 8, 1e-3)
            stale[i : j + 1] = True
        i = j + 1
    return steps


@kernel
def at_money_error(rows: FloatArray, problem: Problem) -> FloatArray:
    """Compute the standard error of each slice's at-the-money volatility.

    Every two-sided quote is an observation whose error is uniform over its spread (standard
    deviation half spread / sqrt 3); a weak prior of one level keeps thin slices finite.
    """
    n = rows.shape[0]
    out = np.empty(n)
    index = np.empty(9, dtype=np.int64)
    jac = np.empty((3, 9))
    for i in range(n):
        w0 = derivatives(rows[i], 0.0)[0]
        deviation = math.sqrt(w0)
        A = np.zeros((5, 5))
        for j in range(5):
            natural = 0.5 * (w0 if j == 0 else deviation)
            A[j, j] = 1.0 / (natural * natural)
        for q in range(problem.offsets[i], problem.offsets[i + 1]):
            if problem.kind[q] != 0:
                continue
            w = derivatives(rows[i], problem.k[q])[0]
            row_gradient(rows[i], problem.k[q], 0, index, jac)
            chain = 1.0 / (2.0 * math.sqrt(w * problem.years[i]))
            precision = 3.0 * problem.weight[q] * (chain / problem.unit[q]) ** 2
            for r in range(5):
                for c in range(5):
                    A[r, c] += precision * jac[0, r] * jac[0, c]
        row_gradient(rows[i], 0.0, 0, index, jac)
        line = jac[0, :5].copy()
        variance = np.dot(line, np.linalg.solve(A, line))
        out[i] = math.sqrt(max(variance, 0.0)) / (2.0 * math.sqrt(w0 * problem.years[i]))
    return out
