"""From quotes to slice rows: starts, single fits, the joint fit and its escalation."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._compile import kernel
from vol_platform.quant._exact import butterfly_minimum, calendar_minimum
from vol_platform.quant._joint_fit import DIM, MAXIMUM_SLOPE, fit_range, row_gradient
from vol_platform.quant._slices import KNOTS, derivatives

__all__ = ["GRID", "calibrate_rows", "is_clean", "quasi_explicit"]

FloatArray = npt.NDArray[np.float64]

GRID = 72
_GRID_INSIDE = 36
_GRID_WING = 10
_SPARE = GRID - _GRID_INSIDE - 2 * _GRID_WING

BUTTERFLY_ACCEPT = 2e-4
CALENDAR_ACCEPT = 1e-7

RICH, PRIOR, ESSVI, SHIFTED = 0, 1, 2, 3


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
                best[:] = trial
    return best, math.isfinite(best_cost)


@kernel
def _fill_grid(grid: FloatArray, low: float, high: float, deviation: float) -> None:
    for j in range(_GRID_INSIDE):
        grid[j] = low + (high - low) * j / (_GRID_INSIDE - 1)
    at = _GRID_INSIDE
    left = min(2.0 * low, -7.0 * deviation)
    right = max(2.0 * high, 7.0 * deviation)
    for j in range(_GRID_WING):
        part = ((j + 1.0) / _GRID_WING) ** 1.5
        grid[at] = low + (left - low) * part
        grid[at + 1] = high + (right - high) * part
        at += 2


@kernel
def _level(row: FloatArray, k, mid, kind, years, first, last) -> float:
    """Factor on total variance that brings a template slice through the quotes, least squares."""
    top = 0.0
    bottom = 0.0
    for q in range(first, last):
        if kind[q] == 0:
            w = derivatives(row, k[q])[0]
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
    return w0


@kernel
def _template(rows, years, thin, done, i, out) -> None:
    """Shape for slice i from the nearest fitted neighbours; a plain smile when there are none."""
    n = rows.shape[0]
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
def _unshape(out: FloatArray, w0: float) -> None:
    """Turn a shape into a hyperbola with w(0) = w0, in place."""
    unit = math.sqrt(w0)
    out[0] *= w0
    for j in range(1, 5):
        out[j] *= unit
    out[1] = min(out[1], MAXIMUM_SLOPE)
    out[2] = min(out[2], MAXIMUM_SLOPE)


@kernel
def is_clean(rows: FloatArray, slice_ok, pair_ok, g_min, g_at, gap_min, gap_at, stale) -> bool:
    """Refresh the exact checks of the slices marked stale and of their pairs."""
    n = rows.shape[0]
    clean = True
    for i in range(n):
        if stale[i]:
            g_at[i], g_min[i] = butterfly_minimum(rows[i])
            slice_ok[i] = g_min[i] >= BUTTERFLY_ACCEPT
    for i in range(n - 1):
        if stale[i] or stale[i + 1]:
            gap_at[i], gap_min[i] = calendar_minimum(rows[i], rows[i + 1])
            near = derivatives(rows[i], 0.0)[0]
            pair_ok[i] = gap_min[i] >= CALENDAR_ACCEPT * near
    for i in range(n):
        stale[i] = False
        if not slice_ok[i] or (i < n - 1 and not pair_ok[i]):
            clean = False
    return clean


@kernel
def calibrate_rows(
    offsets, k, mid, half, unit, kind, weight, years, thin, rows, warm, roughness_strength,
    use_residual, rounds,
):  # fmt: skip
    """Fit all slices; `rows` holds the warm starts where `warm` is set and receives the result.

    Returns the number of Levenberg-Marquardt steps.
    """
    n = years.size
    prior = np.zeros((n, 5))
    precision = np.zeros((n, 5))
    roughness = np.zeros(n)
    scale = np.zeros(n)
    smallest_s = np.zeros(n)
    floor = np.ones((n, DIM))
    grid = np.zeros((n, GRID))
    grid_count = np.full(n, GRID - _SPARE)
    spare_used = np.zeros(n, dtype=np.int64)
    butterfly_weight = np.zeros(n)
    calendar_weight = np.zeros(n)
    H = np.zeros((n, DIM, DIM))
    E = np.zeros((n, DIM, DIM))
    gradient = np.zeros((n, DIM))
    step = np.zeros((n, DIM))
    L = np.zeros((n, DIM, DIM))
    M = np.zeros((n, DIM, DIM))
    done = np.zeros(n, dtype=np.bool_)
    total_steps = 0
    for stage in range(2):
        for i in range(n):
            if (thin[i] == RICH) != (stage == 0):
                continue
            first, last = offsets[i], offsets[i + 1]
            # Level and unit of this slice from the two-sided quotes nearest the money.
            nearest = -1
            low = 0.0
            high = 0.0
            spread = 0.0
            count = 0
            for q in range(first, last):
                if kind[q] != 0:
                    continue
                if nearest < 0 or abs(k[q]) < abs(k[nearest]):
                    nearest = q
                low = min(low, k[q])
                high = max(high, k[q])
                spread += math.log(unit[q])
                count += 1
            vol = mid[nearest] if nearest >= 0 else 0.5
            half_spread = math.exp(spread / count) if count > 0 else 0.02
            deviation = vol * math.sqrt(years[i])
            scale[i] = 1.0 / (2.0 * vol * years[i] * half_spread)
            smallest_s[i] = 0.02 * deviation
            low = min(low, -0.5 * deviation)
            high = max(high, 0.5 * deviation)
            _fill_grid(grid[i], low, high, deviation)
            roughness[i] = roughness_strength * scale[i] * scale[i]
            w_unit = vol * vol * years[i]
            for j in range(5):
                natural = w_unit if j == 0 else deviation
                floor[i, j] = 1e-4 / (natural * natural)
            for j in range(5, DIM):
                floor[i, j] = 1e-4 * scale[i] * scale[i]
            rows[i, 5] = rows[i, 5] if warm[i] else 0.0
            if not warm[i]:
                rows[i, 5:] = 0.0
                if thin[i] == RICH:
                    w = np.empty(count)
                    c = np.empty(count)
                    x = np.empty(count)
                    at = 0
                    for q in range(first, last):
                        if kind[q] == 0:
                            x[at] = k[q]
                            w[at] = mid[q] * mid[q] * years[i]
                            error = 2.0 * mid[q] * years[i] * unit[q]
                            c[at] = weight[q] / (error * error)
                            at += 1
                    start, found = quasi_explicit(x, w, c, deviation)
                    if found:
                        rows[i, :5] = start
                    else:
                        _template(rows, years, thin, done, i, rows[i, :5])
                else:
                    _template(rows, years, thin, done, i, rows[i, :5])
                    factor = _level(rows[i], k, mid, kind, years[i], first, last)
                    rows[i, 0] *= factor
                    for j in range(1, 5):
                        rows[i, j] *= math.sqrt(factor)
                    rows[i, 1] = min(rows[i, 1], MAXIMUM_SLOPE)
                    rows[i, 2] = min(rows[i, 2], MAXIMUM_SLOPE)
            # A weak pull to the start everywhere; a real prior where quotes are few.
            strength = 1e-3
            if thin[i] == PRIOR:
                strength = 1.0
            elif thin[i] == ESSVI:
                strength = 10.0
            elif thin[i] == SHIFTED:
                strength = 100.0
            for j in range(5):
                prior[i, j] = rows[i, j]
                natural = w_unit if j == 0 else deviation
                precision[i, j] = strength / (natural * natural)
            if not warm[i]:
                _, tried = fit_range(
                    rows, i, i + 1, offsets, k, mid, half, unit, kind, weight, years, prior,
                    precision, roughness, grid, grid_count, butterfly_weight, calendar_weight,
                    scale, smallest_s, floor, False, 25, 1e-5, H, E, gradient, step, L, M,
                )  # fmt: skip
                total_steps += tried
            if thin[i] == RICH:
                for j in range(5):
                    prior[i, j] = rows[i, j]
                if use_residual and not rows[i, 6] > 0.0:
                    rows[i, 6] = (high - low) / (KNOTS - 1)
                    rows[i, 5] = low - 2.0 * rows[i, 6]
            butterfly_weight[i] = 100.0
            _, tried = fit_range(
                rows, i, i + 1, offsets, k, mid, half, unit, kind, weight, years, prior, precision,
                roughness, grid, grid_count, butterfly_weight, calendar_weight, scale, smallest_s,
                floor, use_residual and thin[i] == RICH, 12, 1e-4, H, E, gradient, step, L, M,
            )  # fmt: skip
            total_steps += tried
            done[i] = True
    slice_ok = np.zeros(n, dtype=np.bool_)
    pair_ok = np.ones(n, dtype=np.bool_)
    g_min = np.zeros(n)
    g_at = np.zeros(n)
    gap_min = np.full(n, np.inf)
    gap_at = np.zeros(n)
    stale = np.ones(n, dtype=np.bool_)
    clean = is_clean(rows, slice_ok, pair_ok, g_min, g_at, gap_min, gap_at, stale)
    for _ in range(rounds):
        if clean:
            break
        for i in range(n):
            if not slice_ok[i]:
                butterfly_weight[i] *= 6.0
                _cut(grid, grid_count, spare_used, i, g_at[i])
            if i < n - 1 and not pair_ok[i]:
                calendar_weight[i] = max(1.0, 6.0 * calendar_weight[i])
                _cut(grid, grid_count, spare_used, i, gap_at[i])
        i = 0
        while i < n:
            # A block is a run of slices tied by active calendar terms.
            j = i
            bad = not slice_ok[i]
            while j < n - 1 and calendar_weight[j] > 0.0:
                bad = bad or not pair_ok[j]
                j += 1
                bad = bad or not slice_ok[j]
            if bad:
                _, tried = fit_range(
                    rows, i, j + 1, offsets, k, mid, half, unit, kind, weight, years, prior,
                    precision, roughness, grid, grid_count, butterfly_weight, calendar_weight,
                    scale, smallest_s, floor, use_residual, 8, 1e-4, H, E, gradient, step, L, M,
                )  # fmt: skip
                total_steps += tried
                for p in range(i, j + 1):
                    stale[p] = True
            i = j + 1
        clean = is_clean(rows, slice_ok, pair_ok, g_min, g_at, gap_min, gap_at, stale)
    return total_steps


@kernel
def at_money_error(offsets, k, unit, kind, weight, years, rows):  # fmt: skip
    """Compute the standard error of each slice's at-the-money volatility.

    Every two-sided quote is an observation whose error is uniform over its spread (standard
    deviation half spread / sqrt 3); a weak prior of one level keeps thin slices finite.
    """
    n = years.size
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
        for q in range(offsets[i], offsets[i + 1]):
            if kind[q] != 0:
                continue
            w = derivatives(rows[i], k[q])[0]
            row_gradient(rows[i], k[q], 0, index, jac)
            chain = 1.0 / (2.0 * math.sqrt(w * years[i]))
            precision = 3.0 * weight[q] * chain * chain / (unit[q] * unit[q])
            for r in range(5):
                for c in range(5):
                    A[r, c] += precision * jac[0, r] * jac[0, c]
        row_gradient(rows[i], 0.0, 0, index, jac)
        line = jac[0, :5].copy()
        variance = np.dot(line, np.linalg.solve(A, line))
        out[i] = math.sqrt(max(variance, 0.0)) / (2.0 * math.sqrt(w0 * years[i]))
    return out


@kernel
def _cut(grid, grid_count, spare_used, i, point) -> None:
    """Add the place of a violation to the constraint points of slice i (oldest is replaced)."""
    if not math.isfinite(point):
        return
    at = GRID - _SPARE + spare_used[i] % _SPARE
    grid[i, at] = point
    spare_used[i] += 1
    grid_count[i] = min(GRID, GRID - _SPARE + spare_used[i])
