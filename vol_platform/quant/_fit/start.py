"""Where a fit begins: quasi-explicit starts, template shapes for thin slices, constraint points."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._fit.joint_fit import MAXIMUM_SLOPE
from vol_platform.quant._fit.problem import DIM, GRID_INSIDE, GRID_WING, Problem
from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._slices import ROW, derivatives

__all__ = [
    "ESSVI",
    "PRIOR",
    "PRIOR_STRENGTH",
    "RICH",
    "SHIFTED",
    "quasi_explicit",
    "scale_slice",
    "set_prior",
    "start_slice",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

RICH, PRIOR, ESSVI, SHIFTED = 0, 1, 2, 3
"""What the number of quotes allows: a free fit, a prior, a strong prior, a shifted template."""

PRIOR_STRENGTH = (1e-3, 1.0, 10.0, 100.0)
"""Weight of the prior of each of these, in units of one standard deviation squared."""


@kernel
def _linear_fit(
    k: FloatArray, w: FloatArray, weight: FloatArray, m: float, s: float, out: FloatArray
) -> float:
    """Best (a, l, r) for fixed (m, s) by weighted least squares in w, inside the box."""
    A = np.zeros((3, 3))
    y = np.zeros(3)
    yy = 0.0
    for q in range(k.size):
        x = k[q] - m
        root = math.sqrt(x * x + s * s)
        f1 = 0.5 * (root - x)
        f2 = 0.5 * (root + x)
        c = weight[q]
        A[0, 0] += c
        A[0, 1] += c * f1
        A[0, 2] += c * f2
        A[1, 1] += c * f1 * f1
        A[1, 2] += c * f1 * f2
        A[2, 2] += c * f2 * f2
        y[0] += c * w[q]
        y[1] += c * w[q] * f1
        y[2] += c * w[q] * f2
        yy += c * w[q] * w[q]
    A[1, 0] = A[0, 1]
    A[2, 0] = A[0, 2]
    A[2, 1] = A[1, 2]
    fixed = np.zeros(3, dtype=np.bool_)
    value = np.zeros(3)
    for _ in range(3):
        # Solve for the free unknowns with the fixed ones at their bound.
        B = A.copy()
        z = y.copy()
        for j in range(3):
            if fixed[j]:
                for i in range(3):
                    if not fixed[i]:
                        z[i] -= A[i, j] * value[j]
                for i in range(3):
                    B[i, j] = 0.0
                    B[j, i] = 0.0
                B[j, j] = 1.0
                z[j] = value[j]
        for j in range(3):
            B[j, j] *= 1.0 + 1e-10
        for c in range(3):
            pivot = B[c, c]
            if not pivot > 0.0:
                return np.inf
            for r in range(c + 1, 3):
                factor = B[r, c] / pivot
                for j in range(c, 3):
                    B[r, j] -= factor * B[c, j]
                z[r] -= factor * z[c]
        for r in range(2, -1, -1):
            total = z[r]
            for j in range(r + 1, 3):
                total -= B[r, j] * value[j]
            value[r] = total / B[r, r]
        clean = True
        for j in range(1, 3):
            if value[j] < 0.0:
                value[j] = 1e-6
                fixed[j] = True
                clean = False
            elif value[j] > MAXIMUM_SLOPE:
                value[j] = MAXIMUM_SLOPE
                fixed[j] = True
                clean = False
        if clean:
            break
    if value[0] + s * math.sqrt(max(value[1] * value[2], 0.0)) <= 0.0:
        return np.inf
    cost = yy
    for i in range(3):
        cost -= 2.0 * value[i] * y[i]
        for j in range(3):
            cost += value[i] * A[i, j] * value[j]
    out[0] = value[0]
    out[1] = value[1]
    out[2] = value[2]
    out[3] = m
    out[4] = s
    return cost


@kernel
def quasi_explicit(
    k: FloatArray, w: FloatArray, weight: FloatArray, deviation: float
) -> tuple[FloatArray, bool]:
    """Scan (m, s) and solve the other three linearly (De Marco and Martini 2009).

    `deviation` is the at-the-money standard deviation sigma sqrt(T), the natural unit of k.
    """
    best = np.zeros(5)
    trial = np.zeros(5)
    best_cost = np.inf
    for i in range(7):
        m = deviation * (-1.5 + 0.5 * i)
        for j in range(6):
            s = deviation * 0.12 * 2.0**j
            cost = _linear_fit(k, w, weight, m, s, trial)
            if cost < best_cost:
                best_cost = cost
                for p in range(5):
                    best[p] = trial[p]
    return best, math.isfinite(best_cost)


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
def _fill_grid(grid: FloatArray, low: float, high: float, deviation: float) -> None:
    """Constraint points: even inside the quotes, widening to twice the range or 7 deviations."""
    for j in range(GRID_INSIDE):
        grid[j] = low + (high - low) * j / (GRID_INSIDE - 1)
    at = GRID_INSIDE
    left = min(2.0 * low, -7.0 * deviation)
    right = max(2.0 * high, 7.0 * deviation)
    for j in range(GRID_WING):
        part = ((j + 1.0) / GRID_WING) ** 1.5
        grid[at] = low + (left - low) * part
        grid[at + 1] = high + (right - high) * part
        at += 2


@kernel
def _level(
    row: FloatArray, k: FloatArray, mid: FloatArray, kind: IntArray, years: float, first: int,
    last: int,
) -> float:  # fmt: skip
    """Factor on total variance that brings a template slice through the quotes, least squares."""
    top = 0.0
    bottom = 0.0
    for q in range(first, last):
        if kind[q] == 0:
            # A shape between two neighbours' shapes need not be positive everywhere.
            w = max(derivatives(row, k[q])[0], 1e-10)
            target = mid[q] * mid[q] * years
            top += math.log(target / w)
            bottom += 1.0
    if bottom == 0.0:
        return 1.0
    return math.exp(top / bottom)


@kernel
def _shape(row: FloatArray, out: FloatArray) -> float:
    """Dimensionless shape of a hyperbola (k in standard deviations); returns its w(0)."""
    root = math.sqrt(row[3] * row[3] + row[4] * row[4])
    w0 = row[0] - 0.5 * (row[2] - row[1]) * row[3] + 0.5 * (row[2] + row[1]) * root
    w0 = max(w0, 1e-10)
    unit = math.sqrt(w0)
    out[0] = row[0] / w0
    for j in range(1, 5):
        out[j] = row[j] / unit
    return float(w0)


@kernel
def _unshape(out: FloatArray, w0: float) -> None:
    """Turn a shape into a hyperbola with w(0) = w0, in place."""
    unit = math.sqrt(w0)
    out[0] *= w0
    for j in range(1, 5):
        out[j] *= unit
    out[1] = min(out[1], MAXIMUM_SLOPE)
    out[2] = min(out[2], MAXIMUM_SLOPE)


@kernel
def _template(
    rows: FloatArray, problem: Problem, thin: IntArray, done: BoolArray, i: int, out: FloatArray
) -> None:
    """Shape for slice i from the nearest fitted neighbours, or the problem's; else a plain one."""
    years, n = problem.years, rows.shape[0]
    before = -1
    after = -1
    for j in range(i - 1, -1, -1):
        if done[j] and thin[j] == RICH:
            before = j
            break
    for j in range(i + 1, n):
        if done[j] and thin[j] == RICH:
            after = j
            break
    near = np.empty(5)
    far = np.empty(5)
    if before < 0 and after < 0 and problem.template[i, 4] > 0.0:
        out[:] = problem.template[i]
        return
    if before < 0 and after < 0:
        out[0] = 0.5
        out[1] = 0.4
        out[2] = 0.4
        out[3] = 0.0
        out[4] = 1.25
        w0 = 0.25 * years[i]
    elif before < 0 or after < 0:
        j = max(before, after)
        w0 = _shape(rows[j], out) * years[i] / years[j]
    else:
        share = (years[i] - years[before]) / (years[after] - years[before])
        w_near = _shape(rows[before], near)
        w_far = _shape(rows[after], far)
        for j in range(5):
            out[j] = near[j] + share * (far[j] - near[j])
        w0 = w_near + share * (w_far - w_near)
    _unshape(out, w0)


@kernel
def scale_slice(problem: Problem, i: int, roughness: float) -> tuple[float, float, float]:
    """Set units and constraint points of slice i; return its deviation and its quoted range."""
    deviation, half_spread, low, high = _measure(problem, i)
    scale = 1.0 / (2.0 * deviation * math.sqrt(problem.years[i]) * half_spread)
    problem.scale[i] = scale
    problem.smallest_s[i] = 0.02 * deviation
    problem.roughness[i] = roughness * scale * scale
    for j in range(DIM):
        natural = deviation * deviation if j == 0 else deviation
        if j >= 5:
            natural = 1.0 / scale
        problem.floor[i, j] = 1e-4 / (natural * natural)
    _fill_grid(problem.grid[i], low, high, deviation)
    return deviation, low, high


@kernel
def set_prior(row: FloatArray, problem: Problem, i: int, strength: float, deviation: float) -> None:
    """Set the ridge of slice i towards `row`, in units of one standard deviation."""
    for j in range(5):
        natural = deviation * deviation if j == 0 else deviation
        problem.prior[i, j] = row[j]
        problem.precision[i, j] = strength / (natural * natural)


@kernel
def start_slice(
    rows: FloatArray, i: int, problem: Problem, thin: IntArray, done: BoolArray, deviation: float
) -> None:
    """Cold start of slice i, without residual."""
    first, last = problem.offsets[i], problem.offsets[i + 1]
    for j in range(5, ROW):
        rows[i, j] = 0.0
    T = problem.years[i]
    if thin[i] == RICH:
        x = np.empty(last - first)
        w = np.empty(last - first)
        c = np.empty(last - first)
        count = 0
        for q in range(first, last):
            if problem.kind[q] == 0:
                vol = problem.mid[q]
                error = 2.0 * vol * T * problem.unit[q]
                x[count] = problem.k[q]
                w[count] = vol * vol * T
                c[count] = problem.weight[q] / (error * error)
                count += 1
        start, found = quasi_explicit(x[:count], w[:count], c[:count], deviation)
        if found:
            for j in range(5):
                rows[i, j] = start[j]
            return
    _template(rows, problem, thin, done, i, rows[i, :5])
    factor = _level(rows[i], problem.k, problem.mid, problem.kind, T, first, last)
    rows[i, 0] *= factor
    for j in range(1, 5):
        rows[i, j] *= math.sqrt(factor)
    rows[i, 1] = min(rows[i, 1], MAXIMUM_SLOPE)
    rows[i, 2] = min(rows[i, 2], MAXIMUM_SLOPE)
