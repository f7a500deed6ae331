"""Drive the compiled fit of a board: what each expiry allows, warm starts, the guarantee."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vol_platform.quant._board import Board, FitQuotes
from vol_platform.quant._calibrate import COLD, KEEP, WARM, Calibration, at_money_error
from vol_platform.quant._config import SurfaceConfig
from vol_platform.quant._guarantee import check_rows, essvi_target, guarantee
from vol_platform.quant._problem import Problem, fresh_constraints, new_problem
from vol_platform.quant._second_look import look_again
from vol_platform.quant._slices import ROW
from vol_platform.quant._start import ESSVI, PRIOR, RICH, SHIFTED

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
    vol_error
        Standard error of the at-the-money volatility, decimal.
    fingerprints
        Forward and quotes each slice was fitted to.
    butterfly_weight, calendar_weight
        Weights of the constraints at the end: a warm start takes them over.
    steps
        Levenberg-Marquardt steps spent.
    """

    active: IntArray
    rows: FloatArray
    thin: IntArray
    repaired_lambda: FloatArray
    refusal: tuple[str, ...]
    g_minimum: FloatArray
    gap_minimum: FloatArray
    vol_error: FloatArray
    fingerprints: tuple[bytes, ...]
    butterfly_weight: FloatArray
    calendar_weight: FloatArray
    steps: int


def _refusal(board: Board, quotes: FitQuotes, i: int, count: int) -> str:
    seconds = float(board.expiry_years[i]) * _SECONDS_PER_YEAR
    forward = float(board.forward[i])
    if not seconds > board.rules.settlement_window_seconds:
        return f"{seconds:.0f} s to delivery, inside the settlement window"
    if not (np.isfinite(forward) and forward > 0):
        return "no forward"
    if count == 0:
        bounds = int(quotes.offsets[i + 1] - quotes.offsets[i])
        return f"no two-sided out-of-the-money quote ({bounds} bounds)"
    return ""


def _quote_class(k: FloatArray, config: SurfaceConfig) -> int:
    puts = int(np.count_nonzero(k < 0))
    if k.size >= config.rich_quotes and min(puts, k.size - puts) >= 2:
        return RICH
    if k.size >= 5:
        return PRIOR
    return ESSVI if k.size >= 3 else SHIFTED


def _fingerprint(board: Board, i: int) -> bytes:
    part = slice(int(board.offsets[i]), int(board.offsets[i + 1]))
    columns = (board.strike, board.bid_price, board.ask_price, board.age_seconds)
    return b"".join(
        (board.forward[i].tobytes(), *(values[part].tobytes() for values in columns))
    )  # fmt: skip


def _earlier(board: Board, previous: PreviousSurface | None, active: list[int]) -> list[int]:
    """Return the place of each expiry among the earlier surface's fitted ones, -1 for none.

    A market that has moved far is another market: there a cold start fits better.
    """
    if previous is None:
        return [-1] * len(active)
    known = {previous.expiry_ts[at]: j for j, at in enumerate(previous.active.tolist())}
    return [
        at
        if at >= 0
        and abs(math.log(board.forward[i] / previous.forward_usd[previous.active[at]])) < _MOVED
        else -1
        for i, at in ((i, known.get(board.expiry_ts[i], -1)) for i in active)
    ]


def _take_over_weights(problem: Problem, earlier: list[int], fit: ChainFit) -> None:
    """Start from the constraint weights that the earlier surface ended with."""
    for j, at in enumerate(earlier):
        if at < 0:
            continue
        problem.butterfly_weight[j] = fit.butterfly_weight[at]
        if j + 1 < len(earlier) and earlier[j + 1] == at + 1:
            problem.calendar_weight[j] = fit.calendar_weight[at]


def _take_over_checks(calibration: Calibration, earlier: list[int], fit: ChainFit) -> None:
    """Keep the verdicts on slices that did not change, where their next neighbour is the same."""
    for j, at in enumerate(earlier):
        if calibration.start[j] != KEEP:
            continue
        last = j + 1 == len(earlier)
        if math.isinf(fit.gap_minimum[at]) if last else earlier[j + 1] == at + 1:
            calibration.g_minimum[j] = fit.g_minimum[at]
            calibration.gap_minimum[j] = fit.gap_minimum[at]
            calibration.stale[j] = False


def _calibration(
    rows: FloatArray, problem: Problem, thin: list[int], start: IntArray, config: SurfaceConfig
) -> Calibration:
    return Calibration(
        rows, problem, np.array(thin, dtype=np.int64), start, config.roughness, config.residual,
        config.rounds,
    )  # fmt: skip


def fit_chain(board: Board, previous: PreviousSurface | None, config: SurfaceConfig) -> ChainFit:
    """Fit every expiry the board allows; see `vol_platform.quant.surface.calibrate`."""
    quotes = board.fit_quotes
    two_sided = quotes.kind == 0
    refusal, active, thin, keep = [], [], [], []
    for i in range(len(board.expiry_ts)):
        part = slice(int(quotes.offsets[i]), int(quotes.offsets[i + 1]))
        k = quotes.k[part][two_sided[part]]
        reason = _refusal(board, quotes, i, k.size)
        refusal.append(reason)
        if not reason:
            active.append(i)
            thin.append(_quote_class(k, config))
            keep.append(part)
    n = len(active)
    rows = np.zeros((n, ROW))
    start = np.full(n, COLD, dtype=np.int64)
    fingerprints = tuple(_fingerprint(board, i) for i in active)
    earlier = _earlier(board, previous, active)
    for j, at in enumerate(earlier):
        if at >= 0 and previous is not None:
            rows[j] = previous.rows[at]
            before = previous.fit.fingerprints[at] if previous.fit is not None else b""
            start[j] = KEEP if before == fingerprints[j] else WARM
    g_minimum, gap_minimum, repaired = np.zeros(n), np.full(n, np.inf), np.zeros(n)
    vol_error, steps = np.zeros(n), 0
    butterfly_weight, calendar_weight = np.zeros(n), np.zeros(n)
    if n:
        chosen = np.concatenate([np.arange(part.start, part.stop) for part in keep])
        offsets = np.cumsum([0, *(part.stop - part.start for part in keep)])
        problem = new_problem(
            offsets.astype(np.int64), quotes.k[chosen], quotes.mid[chosen], quotes.half[chosen],
            quotes.unit[chosen], quotes.kind[chosen], quotes.weight[chosen],
            board.expiry_years[active],
            config.loss,
        )  # fmt: skip
        if previous is not None and previous.fit is not None:
            _take_over_weights(problem, earlier, previous.fit)
        if config.model == "svi":
            calibration = _calibration(rows, problem, thin, start, config)
            if previous is not None and previous.fit is not None:
                _take_over_checks(calibration, earlier, previous.fit)
            clean = calibration.run()
            if not clean and (start != COLD).any():
                # The earlier surface led astray: begin again from the quotes alone.
                calibration = _calibration(
                    np.zeros((n, ROW)), fresh_constraints(problem), thin, np.full(n, COLD), config
                )
                clean = calibration.run()
            if clean:
                calibration = look_again(calibration)
            rows, steps = calibration.rows, calibration.steps
            g_minimum, gap_minimum = calibration.g_minimum, calibration.gap_minimum
            if not clean:
                rows, repaired, g_minimum, gap_minimum = guarantee(rows, essvi_target(problem))
        else:
            rows = essvi_target(problem, config.model)
            g_minimum, gap_minimum = check_rows(rows)
        vol_error = at_money_error(rows, problem)
        butterfly_weight, calendar_weight = problem.butterfly_weight, problem.calendar_weight
    return ChainFit(
        active=np.array(active, dtype=np.int64),
        rows=rows,
        thin=np.array(thin, dtype=np.int64),
        repaired_lambda=repaired,
        refusal=tuple(refusal),
        g_minimum=g_minimum,
        gap_minimum=gap_minimum,
        vol_error=vol_error,
        fingerprints=fingerprints,
        butterfly_weight=butterfly_weight,
        calendar_weight=calendar_weight,
        steps=int(steps),
    )
