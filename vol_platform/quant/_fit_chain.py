"""Drive the compiled fit of a board: what each expiry allows, warm starts, the guarantee."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vol_platform.quant._board import Board, FitQuotes
from vol_platform.quant._calibrate import (
    ESSVI,
    PRIOR,
    RICH,
    SHIFTED,
    at_money_error,
    calibrate_rows,
)
from vol_platform.quant._config import SurfaceConfig
from vol_platform.quant._guarantee import guarantee
from vol_platform.quant._slices import ROW

__all__ = ["ChainFit", "PreviousSurface", "fit_chain"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_SECONDS_PER_YEAR = 365.0 * 86_400.0


class PreviousSurface(Protocol):
    """What a warm start reads from an earlier surface."""

    @property
    def expiry_ts(self) -> tuple[datetime, ...]:
        """Deliveries of all its expiries."""

    @property
    def active(self) -> IntArray:
        """Indices of its fitted expiries."""

    @property
    def rows(self) -> FloatArray:
        """Slice rows of the fitted expiries."""


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
        Smallest g of each slice; smallest distance to the next slice in total variance (inf for
        the last).
    vol_error
        Standard error of the at-the-money volatility, decimal.
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
    steps: int


def _refusals(board: Board, quotes: FitQuotes, counts: IntArray) -> tuple[str, ...]:
    window = board.rules.settlement_window_seconds
    reasons = []
    for i in range(len(board.expiry_ts)):
        seconds = float(board.expiry_years[i]) * _SECONDS_PER_YEAR
        forward = float(board.forward[i])
        if not seconds > window:
            reasons.append(f"{seconds:.0f} s to delivery, inside the settlement window")
        elif not (np.isfinite(forward) and forward > 0):
            reasons.append("no forward")
        elif counts[i] == 0:
            one_sided = int(quotes.offsets[i + 1] - quotes.offsets[i])
            reasons.append(f"no two-sided out-of-the-money quote ({one_sided} bounds)")
        else:
            reasons.append("")
    return tuple(reasons)


def fit_chain(board: Board, previous: PreviousSurface | None, config: SurfaceConfig) -> ChainFit:
    """Fit every expiry the board allows; see `vol_platform.quant.surface.calibrate`."""
    quotes = board.fit_quotes
    n_all = len(board.expiry_ts)
    two_sided = np.zeros(n_all, dtype=np.int64)
    thin_all = np.full(n_all, SHIFTED, dtype=np.int64)
    for i in range(n_all):
        part = slice(quotes.offsets[i], quotes.offsets[i + 1])
        fitted = quotes.kind[part] == 0
        k = quotes.k[part][fitted]
        two_sided[i] = k.size
        wings = min(int((k < 0).sum()), int((k > 0).sum()))
        if k.size >= config.rich_quotes and wings >= 2:
            thin_all[i] = RICH
        elif k.size >= 5:
            thin_all[i] = PRIOR
        elif k.size >= 3:
            thin_all[i] = ESSVI
    refusal = _refusals(board, quotes, two_sided)
    active = np.array([i for i in range(n_all) if not refusal[i]], dtype=np.int64)
    n = active.size
    rows = np.zeros((n, ROW))
    warm = np.zeros(n, dtype=np.bool_)
    if previous is not None:
        known = {
            previous.expiry_ts[at]: row
            for at, row in zip(previous.active, previous.rows, strict=True)
        }
        for j, i in enumerate(active):
            row = known.get(board.expiry_ts[i])
            if row is not None:
                rows[j], warm[j] = row, True
    if not n:
        empty = np.empty(0)
        return ChainFit(active, rows, np.empty(0, dtype=np.int64), empty, refusal, empty, empty,
                        empty, 0)  # fmt: skip
    keep = np.zeros(quotes.k.size, dtype=np.bool_)
    offsets = np.zeros(n + 1, dtype=np.int64)
    for j, i in enumerate(active):
        keep[quotes.offsets[i] : quotes.offsets[i + 1]] = True
        offsets[j + 1] = offsets[j] + quotes.offsets[i + 1] - quotes.offsets[i]
    thin = thin_all[active]
    years = board.expiry_years[active]
    k, unit, kind, weight = (
        values[keep] for values in (quotes.k, quotes.unit, quotes.kind, quotes.weight)
    )
    steps = calibrate_rows(
        offsets, k, quotes.mid[keep], quotes.half[keep], unit, kind, weight, years, thin, rows,
        warm, config.roughness, config.residual, config.rounds,
    )  # fmt: skip
    rows, repaired, g_min, gap_min = guarantee(rows)
    vol_error = at_money_error(offsets, k, unit, kind, weight, years, rows)
    return ChainFit(
        active, rows, thin, repaired, refusal, g_min, gap_min, vol_error, int(steps)
    )  # fmt: skip
