"""The calibration of a chain: single fits, exact checks, escalation where a check fails.

Only the fits and the checks are compiled; what runs a few dozen times a board is plain Python,
which keeps compilation short.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vol_platform.quant._compile import kernel
from vol_platform.quant._exact import butterfly_minimum, calendar_minimum
from vol_platform.quant._joint_fit import row_gradient
from vol_platform.quant._levenberg import fit_range
from vol_platform.quant._problem import (
    DIM,
    GRID,
    GRID_BASE,
    Problem,
    Workspace,
    copy_constraints,
    new_workspace,
)
from vol_platform.quant._slices import KNOTS, derivatives, move_knots
from vol_platform.quant._start import PRIOR_STRENGTH, RICH, scale_slice, set_prior, start_slice

__all__ = [
    "BUTTERFLY_ACCEPT",
    "CALENDAR_ACCEPT",
    "COLD",
    "KEEP",
    "WARM",
    "Calibration",
    "at_money_error",
]

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
_WARM_STEPS = 4
_WARM_TOLERANCE = 1e-2
_WARM_ROUNDS = 4
_LOCAL_ROUNDS = 2
_LOWERED = 1e-3
_LEAST_WEIGHT = 0.01


@dataclass(eq=False)
class Calibration:
    """State of one calibration.

    Attributes
    ----------
    rows
        Slice rows; earlier slices where `start` is not COLD; the result after `run`.
    problem, thin, start
        Quotes and constraints; what each slice's quotes allow; how it begins.
    roughness, use_residual, rounds
        Settings, see `SurfaceConfig`.
    """

    rows: FloatArray
    problem: Problem
    thin: IntArray
    start: IntArray
    roughness: float
    use_residual: bool
    rounds: int

    def __post_init__(self) -> None:
        n = len(self.rows)
        self.work: Workspace = new_workspace(n)
        self.done = np.zeros(n, dtype=np.bool_)
        self.scaled = np.zeros(n, dtype=np.bool_)
        self.stale = np.ones(n, dtype=np.bool_)
        self.deviation = np.zeros(n)
        self.g_minimum = np.zeros(n)
        self.g_at = np.zeros(n)
        self.gap_minimum = np.full(n, np.inf)
        self.gap_at = np.zeros(n)
        self.steps = 0

    def run(self) -> bool:
        """Fit all slices; return whether every exact check passed."""
        n = len(self.rows)
        for rich in (True, False):  # slices with enough quotes first: the others borrow their shape
            for i in range(n):
                if (self.thin[i] == RICH) == rich:
                    self._begin(i)
                    self.done[i] = True
        # A warm slice moves little: its neighbours stay fixed while it is fitted.
        for i in np.flatnonzero(self.start == WARM).tolist():
            dim = DIM if self.rows[i, 6] > 0.0 else 5
            self._fit(i, i + 1, dim, _WARM_STEPS, _WARM_TOLERANCE)
        clean = self._check()
        warm = bool((self.start != COLD).any())
        for attempt in range(2):
            # A warm start that does not clear up soon is worth less than a cold one.
            first_warm = warm and attempt == 0
            for turn in range(_WARM_ROUNDS if first_warm else self.rounds):
                if clean:
                    return True
                self._escalate(
                    local=first_warm and turn < _LOCAL_ROUNDS,
                    steps=24 if attempt == 1 and not warm else 8,
                )
                clean = self._check()
            if attempt == 0 and not clean:
                self._restart_stuck(from_quotes=warm)
                clean = self._check()
        return clean

    def begin_again(self, poor: BoolArray) -> Calibration | None:
        """Return a calibration whose `poor` slices began again from their quotes; None if not free.

        After a `run` that returned True.  The weights of the calendar terms begin low, so that a
        slice is not held where the old ones had pushed it.
        """
        again = copy.copy(self)
        again.rows = self.rows.copy()
        again.problem = copy_constraints(self.problem)
        again.start = np.where(poor, COLD, KEEP)
        again.scaled, again.stale = self.scaled.copy(), np.ones_like(self.stale)
        again.deviation = self.deviation.copy()
        again.g_minimum, again.g_at = self.g_minimum.copy(), self.g_at.copy()
        again.gap_minimum, again.gap_at = self.gap_minimum.copy(), self.gap_at.copy()
        weights = again.problem.calendar_weight
        low = np.where(weights > 0.0, np.maximum(_LOWERED * weights, _LEAST_WEIGHT), 0.0)
        weights[:] = 0.0
        butterfly = again.problem.butterfly_weight
        butterfly[:] = np.minimum(butterfly, _BUTTERFLY_WEIGHT)
        for i in np.flatnonzero(poor).tolist():
            again._begin(i)  # noqa: SLF001 - another one of its own kind
        weights[:] = low
        again._fit_blocks(poor, low > 0.0, 24)  # noqa: SLF001 - likewise
        for _ in range(self.rounds):
            if again._check():  # noqa: SLF001 - likewise
                return again
            again._escalate(local=False, steps=24)  # noqa: SLF001 - likewise
        return again if again._check() else None  # noqa: SLF001 - likewise

    def _fit(
        self, first: int, last: int, dim: int, steps: int, tolerance: float | None = None
    ) -> None:
        for i in range(max(first - 1, 0), min(last + 1, len(self.rows))):
            if not self.scaled[i] and self.start[i] == KEEP:
                self._scale(i)
        if tolerance is None:
            tolerance = self.problem.loss.tolerance
        self.steps += fit_range(
            self.rows, first, last, self.problem, self.work, dim, steps, tolerance
        )
        self.stale[first:last] = True

    def _set_prior(self, i: int) -> None:
        """Pull towards the row as it is: weakly everywhere, firmly where quotes are few."""
        strength = PRIOR_STRENGTH[int(self.thin[i])]
        set_prior(self.rows[i], self.problem, i, strength, self.deviation[i])

    def _scale(self, i: int) -> tuple[float, float]:
        """Set the units, constraint points and prior weight of slice i; return its quoted range."""
        self.deviation[i], low, high = scale_slice(self.problem, i, self.roughness)
        if self.problem.butterfly_weight[i] <= 0.0:
            self.problem.butterfly_weight[i] = _BUTTERFLY_WEIGHT
        self._set_prior(i)
        self.scaled[i] = True
        return low, high

    def _begin(self, i: int) -> None:
        """Fit slice i on its own when it is cold; move its knots to its quotes when it is warm."""
        row = self.rows[i]
        if self.start[i] == KEEP:
            return
        low, high = self._scale(i)
        residual = self.use_residual and self.thin[i] == RICH
        step = (high - low) / (KNOTS - 1)
        if self.start[i] == WARM:
            if not residual:
                row[5:] = 0.0
            elif not (row[6] > 0.0 and abs(row[5] + 2.0 * row[6] - low) <= step
                      and abs(row[5] + (KNOTS + 1) * row[6] - high) <= step):  # fmt: skip
                move_knots(row, low - 2.0 * step, step)
            return
        start_slice(self.rows, i, self.problem, self.thin, self.done, self.deviation[i])
        self._set_prior(i)
        self.problem.butterfly_weight[i] = 0.0
        self._fit(i, i + 1, 5, 12)
        self.problem.butterfly_weight[i] = _BUTTERFLY_WEIGHT
        if residual:
            row[5], row[6] = low - 2.0 * step, step
            self._set_prior(i)
        self._fit(i, i + 1, DIM if residual else 5, 12)

    def _check(self) -> bool:
        """Refresh the exact checks of stale slices and of their pairs; True when all pass."""
        rows, stale = self.rows, self.stale
        for i in range(len(rows)):
            if stale[i]:
                self.g_at[i], self.g_minimum[i] = butterfly_minimum(rows[i])
            if i + 1 < len(rows) and (stale[i] or stale[i + 1]):
                at, gap = calendar_minimum(rows[i], rows[i + 1])
                # Compared with the variance itself, so that rounding cannot pass for order.
                allowance = CALENDAR_ACCEPT * abs(derivatives(rows[i], 0.0)[0])
                self.gap_at[i], self.gap_minimum[i] = at, gap - allowance
        stale[:] = False
        return bool((self.g_minimum >= BUTTERFLY_ACCEPT).all() and (self.gap_minimum >= 0).all())

    def _cut(self, i: int, point: float) -> None:
        """Add the place of a violation to the constraint points of slice i."""
        if math.isfinite(point):
            problem = self.problem
            problem.grid[i, GRID_BASE + problem.cuts[i] % (GRID - GRID_BASE)] = point
            problem.cuts[i] += 1
            problem.grid_count[i] = min(GRID, GRID_BASE + problem.cuts[i])

    def _escalate(self, *, local: bool, steps: int) -> None:
        """Raise the weights where a check failed, and fit again.

        With `local` only the slices that fail, their neighbours fixed; else all that calendar terms
        tie together.
        """
        problem = self.problem
        dented = self.g_minimum < BUTTERFLY_ACCEPT
        crossing = self.gap_minimum < 0.0
        for i in np.flatnonzero(dented).tolist():
            raised = _ESCALATION * problem.butterfly_weight[i]
            problem.butterfly_weight[i] = min(raised, _MAXIMUM_WEIGHT)
            self._cut(i, self.g_at[i])
        for i in np.flatnonzero(crossing).tolist():
            raised = max(1.0, _ESCALATION * problem.calendar_weight[i])
            problem.calendar_weight[i] = min(raised, _MAXIMUM_WEIGHT)
            self._cut(i, self.gap_at[i])
        bad = dented | crossing
        bad[1:] |= crossing[:-1]
        self._fit_blocks(bad, crossing if local else problem.calendar_weight > 0.0, steps)

    def _fit_blocks(self, wanted: BoolArray, ties: BoolArray, steps: int) -> None:
        """Fit every block that holds a wanted slice; `ties[i]` joins slice i and the next."""
        n = len(self.rows)
        first = 0
        while first < n:
            last = first + 1
            while last < n and ties[last - 1]:
                last += 1
            if wanted[first:last].any():
                dim = DIM if (self.rows[first:last, 6] > 0.0).any() else 5
                self._fit(first, last, dim, steps)
            first = last

    def _restart_stuck(self, *, from_quotes: bool) -> None:
        """Begin stuck slices again: as cold ones when `from_quotes`, else without residual."""
        stuck = self.g_minimum < BUTTERFLY_ACCEPT
        crossing = self.gap_minimum[:-1] < 0.0
        stuck[:-1] |= crossing
        stuck[1:] |= crossing
        for i in np.flatnonzero(stuck).tolist():
            self.problem.calendar_weight[max(i - 1, 0) : i + 1] = 0.0
            if from_quotes:
                self.start[i] = COLD
                self._begin(i)
                continue
            start_slice(self.rows, i, self.problem, self.thin, self.done, self.deviation[i])
            self._set_prior(i)
            self.problem.butterfly_weight[i] = _BUTTERFLY_WEIGHT
            self._fit(i, i + 1, 5, 25)


@kernel
def _information(row: FloatArray, i: int, problem: Problem, gradient: FloatArray) -> FloatArray:
    """Return the precision matrix of slice i's hyperbola, and fill its at-the-money gradient."""
    index = np.empty(9, dtype=np.int64)
    jac = np.empty((3, 9))
    w0 = derivatives(row, 0.0)[0]
    years = problem.years[i]
    A = np.zeros((5, 5))
    for j in range(5):
        A[j, j] = 4.0 / (w0 * w0 if j == 0 else w0)
    for q in range(problem.offsets[i], problem.offsets[i + 1]):
        if problem.kind[q] != 0:
            continue
        w = derivatives(row, problem.k[q])[0]
        row_gradient(row, problem.k[q], 0, index, jac)
        chain = 1.0 / (2.0 * math.sqrt(w * years) * problem.unit[q])
        precision = 3.0 * problem.weight[q] * chain * chain
        for r in range(5):
            for c in range(5):
                A[r, c] += precision * jac[0, r] * jac[0, c]
    row_gradient(row, 0.0, 0, index, jac)
    for j in range(5):
        gradient[j] = jac[0, j] / (2.0 * math.sqrt(w0 * years))
    return A


def at_money_error(rows: FloatArray, problem: Problem) -> FloatArray:
    """Compute the standard error of each slice's at-the-money volatility.

    Every two-sided quote is an observation whose error is uniform over its spread (standard
    deviation half spread / sqrt 3); a weak prior of half a natural unit keeps thin slices finite.
    """
    n = len(rows)
    gradient = np.empty((n, 5))
    information = np.array([_information(rows[i], i, problem, gradient[i]) for i in range(n)])
    moved = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
    return np.asarray(np.sqrt(np.maximum(np.einsum("ij,ij->i", gradient, moved), 0.0)))
