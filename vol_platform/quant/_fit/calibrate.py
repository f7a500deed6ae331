"""One calibration of a chain: its state, its settings, and the error of what it found."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vol_platform.quant._fit.escalation import (
    BUTTERFLY_ACCEPT,
    CALENDAR_ACCEPT,
    COLD,
    KEEP,
    WARM,
    State,
    begin_again,
    new_state,
    run,
)
from vol_platform.quant._fit.joint_fit import row_gradient
from vol_platform.quant._fit.problem import Problem, copy_constraints
from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._slices import derivatives

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


@dataclass(eq=False)
class Calibration:
    """One calibration of a chain.

    Attributes
    ----------
    state
        Rows, how each slice begins, results of the exact checks.
    problem
        Quotes and constraints.
    roughness, use_residual, rounds
        Settings, see `SurfaceConfig`.
    steps
        Levenberg-Marquardt steps spent.
    """

    state: State
    problem: Problem
    roughness: float
    use_residual: bool
    rounds: int
    steps: int = 0

    @classmethod
    def of(
        cls, rows: FloatArray, problem: Problem, thin: IntArray, start: IntArray,
        roughness: float, use_residual: bool, rounds: int,
    ) -> Calibration:  # fmt: skip
        """Calibration before its `run`: `rows` are earlier slices where `start` is not COLD."""
        return cls(new_state(rows, thin, start), problem, roughness, use_residual, rounds)

    @property
    def rows(self) -> FloatArray:
        """Slice rows; the result after `run`."""
        return self.state.rows

    @property
    def start(self) -> IntArray:
        """How each slice begins."""
        return self.state.start

    def run(self) -> bool:
        """Fit all slices; return whether every exact check passed."""
        clean, steps = run(self.state, self.problem, self.roughness, self.use_residual, self.rounds)
        self.steps += int(steps)
        return bool(clean)

    def begin_again(self, poor: BoolArray) -> Calibration | None:
        """Return a calibration whose `poor` slices began again from their quotes; None if not free.

        After a `run` that returned True.
        """
        state = State._make(values.copy() for values in self.state)
        state.start[:] = np.where(poor, COLD, KEEP)
        state.stale[:] = True
        again = replace(self, state=state, problem=copy_constraints(self.problem))
        clean, steps = begin_again(
            poor, state, again.problem, self.roughness, self.use_residual, self.rounds
        )
        again.steps += int(steps)
        return again if clean else None


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


@kernel
def _quadratic_form(A: FloatArray, gradient: FloatArray) -> float:
    """``gradient' A^-1 gradient`` of a symmetric positive definite matrix, which is destroyed."""
    n = gradient.size
    result = 0.0
    for c in range(n):
        pivot = A[c, c]
        result += gradient[c] * gradient[c] / pivot
        for r in range(c + 1, n):
            part = A[r, c] / pivot
            gradient[r] -= part * gradient[c]
            for q in range(c + 1, r + 1):
                A[r, q] -= part * A[q, c]
    return float(result)


@kernel
def at_money_error(rows: FloatArray, problem: Problem) -> FloatArray:
    """Compute the standard error of each slice's at-the-money volatility.

    Every two-sided quote is an observation whose error is uniform over its spread (standard
    deviation half spread / sqrt 3); a weak prior of half a natural unit keeps thin slices finite.
    """
    n = len(rows)
    out = np.empty(n)
    gradient = np.empty(5)
    for i in range(n):
        information = _information(rows[i], i, problem, gradient)
        out[i] = math.sqrt(max(_quadratic_form(information, gradient), 0.0))
    return out
