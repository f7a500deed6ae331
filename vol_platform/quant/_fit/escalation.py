"""The course of a calibration: single fits, exact checks, escalation where a check fails.

One compiled call runs it all: on a live board a slice takes a few microseconds, less than Python
needs to hand it over.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vol_platform.quant._fit.levenberg import fit_range
from vol_platform.quant._fit.problem import (
    DIM,
    GRID,
    GRID_BASE,
    Problem,
    Workspace,
    new_workspace,
)
from vol_platform.quant._fit.start import PRIOR_STRENGTH, RICH, scale_slice, set_prior, start_slice
from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._no_arbitrage.exact import butterfly_minimum, calendar_minimum
from vol_platform.quant._slices import KNOTS, derivatives, move_knots

__all__ = [
    "BUTTERFLY_ACCEPT",
    "CALENDAR_ACCEPT",
    "COLD",
    "KEEP",
    "WARM",
    "State",
    "begin_again",
    "new_state",
    "run",
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
_WARM_STEPS = 3
_WARM_TOLERANCE = 2e-2
_WARM_ROUNDS = 4
_LOCAL_ROUNDS = 2
_LOWERED = 1e-3
_LEAST_WEIGHT = 0.01


class State(NamedTuple):
    """State of one calibration.

    Attributes
    ----------
    rows
        Slice rows; earlier slices where `start` is not COLD; the result after `run`.
    thin, start
        What each slice's quotes allow; how it begins.
    done, scaled, stale
        Fitted at least once; units set; exact checks to be refreshed.
    deviation
        At-the-money standard deviation by the quotes.
    g_minimum, g_at, gap_minimum, gap_at
        Results of the exact checks: smallest g, and smallest gap to the next slice less its
        allowance (inf for the last), and where.
    """

    rows: FloatArray
    thin: IntArray
    start: IntArray
    done: BoolArray
    scaled: BoolArray
    stale: BoolArray
    deviation: FloatArray
    g_minimum: FloatArray
    g_at: FloatArray
    gap_minimum: FloatArray
    gap_at: FloatArray


def new_state(rows: FloatArray, thin: IntArray, start: IntArray) -> State:
    """State before `run`, nothing checked yet."""
    n = len(rows)
    return State(
        rows=rows, thin=thin, start=start,
        done=np.zeros(n, dtype=np.bool_), scaled=np.zeros(n, dtype=np.bool_),
        stale=np.ones(n, dtype=np.bool_), deviation=np.zeros(n),
        g_minimum=np.zeros(n), g_at=np.zeros(n),
        gap_minimum=np.full(n, np.inf), gap_at=np.zeros(n),
    )  # fmt: skip


@kernel
def _set_prior(i: int, state: State, problem: Problem) -> None:
    """Pull towards the row as it is: weakly everywhere, firmly where quotes are few."""
    strength = PRIOR_STRENGTH[state.thin[i]]
    set_prior(state.rows[i], problem, i, strength, state.deviation[i])


@kernel
def _points_changed(i: int, work: Workspace) -> None:
    """Forget the tables that hold constraint points of slice i."""
    for j in range(max(i - 1, 0), min(i + 2, work.ready.size)):
        work.ready[j] = min(work.ready[j], 0 if j == i else 1)


@kernel
def _scale(
    i: int, state: State, problem: Problem, work: Workspace, roughness: float
) -> tuple[float, float]:
    """Set the units, constraint points and prior weight of slice i; return its quoted range."""
    state.deviation[i], low, high = scale_slice(problem, i, roughness)
    if problem.butterfly_weight[i] <= 0.0:
        problem.butterfly_weight[i] = _BUTTERFLY_WEIGHT
    _set_prior(i, state, problem)
    state.scaled[i] = True
    _points_changed(i, work)
    return low, high


@kernel
def _fit(
    first: int, last: int, dim: int, steps: int, tolerance: float, state: State, problem: Problem,
    work: Workspace, roughness: float,
) -> int:  # fmt: skip
    for i in range(max(first - 1, 0), min(last + 1, len(state.rows))):
        if not state.scaled[i] and state.start[i] == KEEP:
            _scale(i, state, problem, work, roughness)
    spent = fit_range(state.rows, first, last, problem, work, dim, steps, tolerance)
    state.stale[first:last] = True
    return int(spent)


@kernel
def _begin(
    i: int, state: State, problem: Problem, work: Workspace, roughness: float, use_residual: bool
) -> int:
    """Fit slice i on its own when it is cold; move its knots to its quotes when it is warm."""
    if state.start[i] == KEEP:
        return 0
    row = state.rows[i]
    low, high = _scale(i, state, problem, work, roughness)
    residual = use_residual and state.thin[i] == RICH
    step = (high - low) / (KNOTS - 1)
    if state.start[i] == WARM:
        if not residual:
            row[5:] = 0.0
        elif not (
            row[6] > 0.0
            and abs(row[5] + 2.0 * row[6] - low) <= step
            and abs(row[5] + (KNOTS + 1) * row[6] - high) <= step
        ):
            move_knots(row, low - 2.0 * step, step)
        return 0
    tolerance = problem.loss.tolerance
    start_slice(state.rows, i, problem, state.thin, state.done, state.deviation[i])
    _set_prior(i, state, problem)
    problem.butterfly_weight[i] = 0.0
    spent = _fit(i, i + 1, 5, 12, tolerance, state, problem, work, roughness)
    problem.butterfly_weight[i] = _BUTTERFLY_WEIGHT
    if residual:
        row[5] = low - 2.0 * step
        row[6] = step
        work.ready[i] = 0
        _set_prior(i, state, problem)
    dim = DIM if residual else 5
    return int(spent + _fit(i, i + 1, dim, 12, tolerance, state, problem, work, roughness))


@kernel
def _check(state: State) -> bool:
    """Refresh the exact checks of stale slices and of their pairs; True when all pass."""
    rows, stale = state.rows, state.stale
    clean = True
    for i in range(len(rows)):
        if stale[i]:
            state.g_at[i], state.g_minimum[i] = butterfly_minimum(rows[i])
        if i + 1 < len(rows) and (stale[i] or stale[i + 1]):
            at, gap = calendar_minimum(rows[i], rows[i + 1])
            # Compared with the variance itself, so that rounding cannot pass for order.
            allowance = CALENDAR_ACCEPT * abs(derivatives(rows[i], 0.0)[0])
            state.gap_at[i] = at
            state.gap_minimum[i] = gap - allowance
        clean &= state.g_minimum[i] >= BUTTERFLY_ACCEPT and state.gap_minimum[i] >= 0.0
    stale[:] = False
    return bool(clean)


@kernel
def _cut(i: int, point: float, problem: Problem, work: Workspace) -> None:
    """Add the place of a violation to the constraint points of slice i."""
    if math.isfinite(point):
        problem.grid[i, GRID_BASE + problem.cuts[i] % (GRID - GRID_BASE)] = point
        problem.cuts[i] += 1
        problem.grid_count[i] = min(GRID, GRID_BASE + problem.cuts[i])
        _points_changed(i, work)


@kernel
def _fit_blocks(
    wanted: BoolArray, ties: BoolArray, steps: int, state: State, problem: Problem,
    work: Workspace, roughness: float,
) -> int:  # fmt: skip
    """Fit every block that holds a wanted slice; `ties[i]` joins slice i and the next."""
    n = len(state.rows)
    spent = 0
    first = 0
    while first < n:
        last = first + 1
        while last < n and ties[last - 1]:
            last += 1
        needed = False
        dim = 5
        for i in range(first, last):
            needed |= wanted[i]
            if state.rows[i, 6] > 0.0:
                dim = DIM
        if needed:
            tolerance = problem.loss.tolerance
            spent += _fit(first, last, dim, steps, tolerance, state, problem, work, roughness)
        first = last
    return spent


@kernel
def _escalate(
    local: bool, steps: int, state: State, problem: Problem, work: Workspace, roughness: float
) -> int:
    """Raise the weights where a check failed, and fit again.

    With `local` only the slices that fail, their neighbours fixed; else all that calendar terms
    tie together.
    """
    n = len(state.rows)
    bad = np.zeros(n, dtype=np.bool_)
    ties = np.zeros(n, dtype=np.bool_)
    for i in range(n):
        if state.g_minimum[i] < BUTTERFLY_ACCEPT:
            raised = _ESCALATION * problem.butterfly_weight[i]
            problem.butterfly_weight[i] = min(raised, _MAXIMUM_WEIGHT)
            _cut(i, state.g_at[i], problem, work)
            bad[i] = True
    for i in range(n):
        crossing = state.gap_minimum[i] < 0.0
        if crossing:
            raised = max(1.0, _ESCALATION * problem.calendar_weight[i])
            problem.calendar_weight[i] = min(raised, _MAXIMUM_WEIGHT)
            _cut(i, state.gap_at[i], problem, work)
            bad[i] = True
            bad[i + 1] = True
        ties[i] = crossing if local else problem.calendar_weight[i] > 0.0
    return int(_fit_blocks(bad, ties, steps, state, problem, work, roughness))


@kernel
def _restart_stuck(
    from_quotes: bool, state: State, problem: Problem, work: Workspace, roughness: float,
    use_residual: bool,
) -> int:  # fmt: skip
    """Begin stuck slices again: as cold ones when `from_quotes`, else without residual.

    When `from_quotes`, all that calendar terms tie to a stuck slice begins again with it: under the
    weights that held the others in place it would be pushed back to where it was.
    """
    n = len(state.rows)
    stuck = np.zeros(n, dtype=np.bool_)
    for i in range(n):
        stuck[i] |= state.g_minimum[i] < BUTTERFLY_ACCEPT
        if state.gap_minimum[i] < 0.0:
            stuck[i] = True
            stuck[i + 1] = True
    if from_quotes:
        for i in range(n - 1):
            stuck[i + 1] |= stuck[i] and problem.calendar_weight[i] > 0.0
        for i in range(n - 2, -1, -1):
            stuck[i] |= stuck[i + 1] and problem.calendar_weight[i] > 0.0
    spent = 0
    for i in range(n):
        if not stuck[i]:
            continue
        problem.calendar_weight[max(i - 1, 0) : i + 1] = 0.0
        work.ready[i] = 0
        if from_quotes:
            state.start[i] = COLD
            spent += _begin(i, state, problem, work, roughness, use_residual)
            continue
        start_slice(state.rows, i, problem, state.thin, state.done, state.deviation[i])
        _set_prior(i, state, problem)
        problem.butterfly_weight[i] = _BUTTERFLY_WEIGHT
        tolerance = problem.loss.tolerance
        spent += _fit(i, i + 1, 5, 25, tolerance, state, problem, work, roughness)
    return spent


@kernel
def _longest(problem: Problem) -> int:
    """Most quotes that a slice has."""
    longest = 1
    for i in range(problem.years.size):
        longest = max(longest, problem.offsets[i + 1] - problem.offsets[i])
    return longest


@kernel
def run(
    state: State, problem: Problem, roughness: float, use_residual: bool, rounds: int
) -> tuple[bool, int]:
    """Fit all slices; return whether every exact check passed, and the steps spent.

    Parameters
    ----------
    state, problem
        Changed in place.
    roughness, use_residual, rounds
        Settings, see `SurfaceConfig`.
    """
    n = len(state.rows)
    work = new_workspace(n, _longest(problem))
    spent = 0
    for rich in range(2):  # slices with enough quotes first: the others borrow their shape
        for i in range(n):
            if (state.thin[i] == RICH) == (rich == 0):
                spent += _begin(i, state, problem, work, roughness, use_residual)
                state.done[i] = True
    # A warm slice moves little: its neighbours stay fixed while it is fitted.
    warm = False
    for i in range(n):
        if state.start[i] == WARM:
            dim = DIM if state.rows[i, 6] > 0.0 else 5
            spent += _fit(
                i, i + 1, dim, _WARM_STEPS, _WARM_TOLERANCE, state, problem, work, roughness
            )
        warm |= state.start[i] != COLD
    clean = _check(state)
    for attempt in range(2):
        # A warm start that does not clear up soon is worth less than a cold one.
        first_warm = warm and attempt == 0
        # The last attempt may take longer: what follows moves away from the quotes.
        allowed = rounds if attempt == 0 else rounds + rounds // 2
        for turn in range(_WARM_ROUNDS if first_warm else allowed):
            if clean:
                return True, spent
            steps = 24 if attempt == 1 and not warm else 8
            local = first_warm and turn < _LOCAL_ROUNDS
            spent += _escalate(local, steps, state, problem, work, roughness)
            clean = _check(state)
        if attempt == 0 and not clean:
            spent += _restart_stuck(warm, state, problem, work, roughness, use_residual)
            clean = _check(state)
    return clean, spent


@kernel
def begin_again(
    poor: BoolArray, state: State, problem: Problem, roughness: float, use_residual: bool,
    rounds: int,
) -> tuple[bool, int]:  # fmt: skip
    """Fit `poor` slices once more from their quotes; `start` is COLD for them, KEEP for others.

    After a `run` that passed.  The weights of the calendar terms begin low, so that a slice is not
    held where the old ones had pushed it.  Returns as `run` does.
    """
    n = len(state.rows)
    work = new_workspace(n, _longest(problem))
    low = np.zeros(n)
    for i in range(n):
        weight = problem.calendar_weight[i]
        low[i] = max(_LOWERED * weight, _LEAST_WEIGHT) if weight > 0.0 else 0.0
        problem.calendar_weight[i] = 0.0
        problem.butterfly_weight[i] = min(problem.butterfly_weight[i], _BUTTERFLY_WEIGHT)
    spent = 0
    for i in range(n):
        if poor[i]:
            spent += _begin(i, state, problem, work, roughness, use_residual)
    problem.calendar_weight[:] = low
    spent += _fit_blocks(poor, low > 0.0, 24, state, problem, work, roughness)
    clean = _check(state)
    for _ in range(rounds):
        if clean:
            break
        spent += _escalate(False, 24, state, problem, work, roughness)
        clean = _check(state)
    return clean, spent
