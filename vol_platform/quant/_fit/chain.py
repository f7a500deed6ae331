"""Drive the compiled fit of a board: what each expiry allows, warm starts, the guarantee."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vol_platform.quant._board import Board, FitQuotes
from vol_platform.quant._fit.calibrate import COLD, KEEP, WARM, Calibration, at_money_error
from vol_platform.quant._fit.config import SurfaceConfig
from vol_platform.quant._fit.escalation import State
from vol_platform.quant._fit.guarantee import check_rows, essvi_target, guarantee
from vol_platform.quant._fit.problem import Problem, fresh_constraints, new_problem
from vol_platform.quant._fit.second_look import look_again, mean_miss
from vol_platform.quant._fit.start import ESSVI, PRIOR, RICH, SHIFTED
from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._slices import ROW
from vol_platform.quant.errors import QuantError

__all__ = ["ChainFit", "PreviousSurface", "fit_chain"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_SECONDS_PER_YEAR = 365.0 * 86_400.0
_MOVED = 0.005


class PreviousSurface(Protocol):
    """What a warm start reads from an earlier surface."""

    @property
    def expiry_ts(self) -> tuple[datetime, ...]:
        """Deliveries of all its expiries."""

    @property
    def active(self) -> IntArray:
        """Indices of its fitted expiries."""

    @property
    def forward_usd(self) -> FloatArray:
        """Forwards of all its expiries."""

    @property
    def rows(self) -> FloatArray:
        """Slice rows of the fitted expiries."""

    @property
    def fit(self) -> ChainFit | None:
        """How it was fitted; None when it was rebuilt from its rows."""


@dataclass(frozen=True, eq=False, slots=True)
class ChainFit:
    """Result of a calibration; arrays run over the fitted expiries unless said otherwise.

    Attributes
    ----------
    active
        Indices of the fitted expiries in the board.
    rows
        Slice rows.
    thin
        Class of each slice: 0 svi, 1 svi_prior, 2 essvi, 3 shifted.
    repaired_lambda
        Blend towards the arbitrage-free eSSVI chain, 0 none.
    refusal
        Reason per expiry of the board; empty when fitted.
    g_minimum, gap_minimum
        Smallest g of each slice; smallest distance to the next slice in total variance, less the
        rounding allowance (inf for the last).
    fingerprints
        Forward and quotes each slice was fitted to.
    butterfly_weight, calendar_weight
        Weights of the constraints at the end: a warm start takes them over.
    steps
        Levenberg-Marquardt steps spent.
    problem
        The quotes it was fitted to; None when no expiry was fitted.
    """

    active: IntArray
    rows: FloatArray
    thin: IntArray
    repaired_lambda: FloatArray
    refusal: tuple[str, ...]
    g_minimum: FloatArray
    gap_minimum: FloatArray
    fingerprints: tuple[bytes, ...]
    butterfly_weight: FloatArray
    calendar_weight: FloatArray
    steps: int
    problem: Problem | None

    def at_money_error(self) -> FloatArray:
        """Compute the standard error of each slice's at-the-money volatility."""
        return np.empty(0) if self.problem is None else at_money_error(self.rows, self.problem)


def _refusal(
    board: Board, quotes: FitQuotes, i: int, years: float, forward: float, count: int
) -> str:
    seconds = years * _SECONDS_PER_YEAR
    if not math.isfinite(seconds):
        return f"the time to delivery is not known: {years:g} years"
    if not seconds > board.rules.settlement_window_seconds:
        return f"{seconds:.0f} s to delivery, inside the settlement window"
    if not (math.isfinite(forward) and forward > 0):
        return "no forward"
    if count == 0:
        bounds = int(quotes.offsets[i + 1] - quotes.offsets[i])
        return f"no two-sided out-of-the-money quote ({bounds} bounds)"
    return ""


def _quote_class(puts: int, calls: int, config: SurfaceConfig) -> int:
    if puts + calls >= config.rich_quotes and min(puts, calls) >= 2:
        return RICH
    if puts + calls >= 5:
        return PRIOR
    return ESSVI if puts + calls >= 3 else SHIFTED


@kernel
def _two_sided_counts(offsets: IntArray, k: FloatArray, kind: IntArray) -> IntArray:
    """Two-sided put and call quotes of each expiry, as two rows."""
    out = np.zeros((2, offsets.size - 1), dtype=np.int64)
    for i in range(offsets.size - 1):
        for q in range(offsets[i], offsets[i + 1]):
            if kind[q] == 0:
                out[0 if k[q] < 0.0 else 1, i] += 1
    return out


def _fingerprints(board: Board, active: list[int]) -> tuple[bytes, ...]:
    """Describe what each slice is fitted to: equal when and only when nothing changed."""
    columns = (board.strike, board.bid_price, board.ask_price, board.age_seconds)
    table = np.column_stack(columns)
    wide = table.itemsize * table.shape[1]
    content, forward, at = table.tobytes(), board.forward.tobytes(), board.offsets.tolist()
    return tuple(
        forward[8 * i : 8 * i + 8] + content[wide * at[i] : wide * at[i + 1]] for i in active
    )


def _earlier(board: Board, previous: PreviousSurface | None, active: list[int]) -> list[int]:
    """Return the place of each expiry among the earlier surface's fitted ones, -1 for none.

    A market that has moved far is another market: there a cold start fits better.
    """
    if previous is None:
        return [-1] * len(active)
    known = {
        previous.expiry_ts[at]: (j, forward)
        for j, (at, forward) in enumerate(
            zip(
                previous.active.tolist(),
                previous.forward_usd[previous.active].tolist(),
                strict=True,
            )
        )
    }
    forwards = board.forward.tolist()
    out = []
    for i in active:
        j, forward = known.get(board.expiry_ts[i], (-1, math.nan))
        out.append(j if abs(math.log(forwards[i] / forward)) < _MOVED else -1)
    return out


def _take_over_weights(problem: Problem, earlier: list[int], fit: ChainFit) -> None:
    """Start from the constraint weights that the earlier surface ended with."""
    for j, at in enumerate(earlier):
        if at < 0:
            continue
        problem.butterfly_weight[j] = fit.butterfly_weight[at]
        if j + 1 < len(earlier) and earlier[j + 1] == at + 1:
            problem.calendar_weight[j] = fit.calendar_weight[at]


def _take_over_checks(state: State, earlier: list[int], fit: ChainFit) -> None:
    """Keep the verdicts on slices that did not change, where their next neighbour is the same."""
    for j, at in enumerate(earlier):
        if state.start[j] != KEEP:
            continue
        last = j + 1 == len(earlier)
        if math.isinf(fit.gap_minimum[at]) if last else earlier[j + 1] == at + 1:
            state.g_minimum[j] = fit.g_minimum[at]
            state.gap_minimum[j] = fit.gap_minimum[at]
            state.stale[j] = False


def _problem_of(
    board: Board, quotes: FitQuotes, active: list[int], config: SurfaceConfig
) -> Problem:
    """Problem of the quotes of the active expiries."""
    sizes = quotes.offsets[1:] - quotes.offsets[:-1]
    if len(active) == sizes.size:
        return new_problem(
            quotes.offsets, quotes.k, quotes.mid, quotes.half, quotes.unit, quotes.kind,
            quotes.weight, board.expiry_years.copy(), config.loss,
        )  # fmt: skip
    fitted = np.zeros(sizes.size, dtype=np.bool_)
    fitted[active] = True
    chosen = np.repeat(fitted, sizes)
    return new_problem(
        np.append(0, np.cumsum(sizes[fitted])), quotes.k[chosen], quotes.mid[chosen],
        quotes.half[chosen], quotes.unit[chosen], quotes.kind[chosen], quotes.weight[chosen],
        board.expiry_years[fitted], config.loss,
    )  # fmt: skip


def _from_chain(
    target: FloatArray, problem: Problem, classes: IntArray, config: SurfaceConfig
) -> Calibration:
    """Calibration, to be run, of plain SVI slices that begin at a free chain and lean on it.

    Where quotes cover less than a standard deviation they say nothing about the wings, which then
    cross in ways that no escalation mends.
    """
    fresh = fresh_constraints(problem)._replace(template=target[:, :5])
    return Calibration.of(
        np.zeros_like(target), fresh, np.maximum(classes, PRIOR),
        np.full(classes.size, COLD), config.roughness, False, config.rounds,
    )  # fmt: skip


def fit_chain(board: Board, previous: PreviousSurface | None, config: SurfaceConfig) -> ChainFit:
    """Fit every expiry the board allows; see `vol_platform.quant.surface.calibrate`."""
    if not isinstance(board, Board):
        raise QuantError(
            f"board must be a Board (see Board.from_frame), was {type(board).__name__}"
        )
    quotes = board.fit_quotes
    refusal: list[str] = []
    active: list[int] = []
    thin: list[int] = []
    listed = zip(
        board.expiry_years.tolist(), board.forward.tolist(),
        *_two_sided_counts(quotes.offsets, quotes.k, quotes.kind).tolist(),
        strict=True,
    )  # fmt: skip
    for i, (years, forward, puts, calls) in enumerate(listed):
        reason = _refusal(board, quotes, i, years, forward, puts + calls)
        if active and not reason and not years > board.expiry_years[active[-1]]:
            reason = f"{years:g} years to delivery, no more than the expiry before it"
        refusal.append(reason)
        if not reason:
            active.append(i)
            thin.append(_quote_class(puts, calls, config))
    n = len(active)
    classes = np.array(thin, dtype=np.int64)
    rows = np.zeros((n, ROW))
    start = np.full(n, COLD, dtype=np.int64)
    fingerprints = _fingerprints(board, active)
    earlier = _earlier(board, previous, active)
    for j, at in enumerate(earlier):
        if at >= 0 and previous is not None:
            rows[j] = previous.rows[at]
            before = previous.fit.fingerprints[at] if previous.fit is not None else b""
            start[j] = KEEP if before == fingerprints[j] else WARM
    g_minimum, gap_minimum, repaired = np.zeros(n), np.full(n, np.inf), np.zeros(n)
    problem, steps = None, 0
    butterfly_weight, calendar_weight = np.zeros(n), np.zeros(n)
    if n:
        problem = _problem_of(board, quotes, active, config)
        if previous is not None and previous.fit is not None:
            _take_over_weights(problem, earlier, previous.fit)
        if RICH not in thin:
            # No slice can lend the others its shape: what all quotes have in common can.
            problem = problem._replace(template=essvi_target(problem, "ssvi")[:, :5])
        if config.model == "svi":
            settings = config.roughness, config.residual, config.rounds
            calibration = Calibration.of(rows, problem, classes, start, *settings)
            if previous is not None and previous.fit is not None:
                _take_over_checks(calibration.state, earlier, previous.fit)
            warm = bool((start != COLD).any())
            clean = calibration.run()
            if not clean and warm:
                # The earlier surface led astray: begin again from the quotes alone.
                calibration = Calibration.of(
                    np.zeros((n, ROW)), fresh_constraints(problem), classes, np.full(n, COLD),
                    *settings,
                )  # fmt: skip
                clean = calibration.run()
            if clean:
                calibration = look_again(calibration)
            else:
                target = essvi_target(problem)
                blended = guarantee(calibration.rows, target)
                plain = _from_chain(target, problem, classes, config)
                clean = plain.run() and bool(
                    mean_miss(plain.rows, problem).sum() < mean_miss(blended[0], problem).sum()
                )
                calibration = plain if clean else calibration
            problem, state, steps = calibration.problem, calibration.state, calibration.steps
            rows, g_minimum, gap_minimum = state.rows, state.g_minimum, state.gap_minimum
            if not clean:
                rows, repaired, g_minimum, gap_minimum = blended
        else:
            rows = essvi_target(problem, config.model)
            g_minimum, gap_minimum = check_rows(rows)
        butterfly_weight, calendar_weight = problem.butterfly_weight, problem.calendar_weight
    return ChainFit(
        active=np.array(active, dtype=np.int64),
        rows=rows,
        thin=classes,
        repaired_lambda=repaired,
        refusal=tuple(refusal),
        g_minimum=g_minimum,
        gap_minimum=gap_minimum,
        fingerprints=fingerprints,
        butterfly_weight=butterfly_weight,
        calendar_weight=calendar_weight,
        steps=int(steps),
        problem=problem,
    )
