"""Which slices fit worst, and what their own quotes say about why.

A diagnosis states only what was computed: the quotes missed and by how much, whether any
arbitrage-free curve could meet them, and which constraint stands between the slice and them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from vol_platform.quant import arbitrage, black76
from vol_platform.quant._board import Board
from vol_platform.quant._slices import butterfly
from vol_platform.quant.errors import QuantError
from vol_platform.quant.surface import Surface

__all__ = ["SliceDiagnosis", "diagnose", "worst_slices"]

FloatArray = npt.NDArray[np.float64]

_DENSITY_FLOOR = 0.01
"""Below this g the butterfly constraint (g >= 0.002) is taken to bind."""

_SMOOTHER = (
    "an arbitrage-free curve within all bids and asks of this expiry exists, and no constraint "
    "binds at the missed quotes: the slice is smoother than they are"
)


@dataclass(frozen=True, slots=True)
class SliceDiagnosis:
    """What the data says about the quotes that one slice misses.

    Attributes
    ----------
    quotes, missed
        Two-sided out-of-the-money quotes used, and those whose bid and ask exclude the fit.
    largest_miss_ticks, largest_miss_vol_points
        Largest distance of the fit from the nearer side, in ticks of the price and in vol points;
        0 when nothing is missed, ticks NaN where the tick is unknown.
    must_leave
        Quotes that the cheapest repair without a model moves out of their spread
        (`arbitrage.quote_repairs`): above 0, no arbitrage-free curve passes within all of them.
    parity_breaches, parity_basis_points
        Strikes whose call and put exclude the forward, and by how much at most.
    behind_previous, behind_next
        Missed quotes that lie beyond the neighbouring slice: to reach one, total variance would
        have to fall from an expiry to the next.
    at_density_floor
        Missed quotes where the density is nearly 0, so that the smile cannot bend further.
    fit_note
        What the fit itself reported: few quotes, or a repair; empty otherwise.
    """

    quotes: int
    missed: int
    largest_miss_ticks: float
    largest_miss_vol_points: float
    must_leave: int
    parity_breaches: int
    parity_basis_points: float
    behind_previous: int
    behind_next: int
    at_density_floor: int
    fit_note: str

    @property
    def text(self) -> str:
        """One line for a reader."""
        if not self.missed:
            return f"all {self.quotes} quotes met"
        ticks = self.largest_miss_ticks
        in_ticks = f"{ticks:.1f} ticks, " if np.isfinite(ticks) else ""
        size = f"by up to {in_ticks}{self.largest_miss_vol_points:.2f} vol points"
        if ticks <= 1.0:
            size += " (every miss within one tick)"
        return "; ".join([f"{self.missed} of {self.quotes} quotes missed, {size}", *self._causes()])

    def _causes(self) -> list[str]:
        causes = []
        if self.must_leave:
            causes.append(
                "the quotes contradict each other: no arbitrage-free curve passes within all bids "
                f"and asks (the cheapest repair moves {self.must_leave})"
            )
        if self.parity_breaches:
            causes.append(
                f"calls and puts exclude the forward, strikes: {self.parity_breaches}, by up to "
                f"{self.parity_basis_points:.1f} bp"
            )
        if self.behind_previous:
            causes.append(f"{self.behind_previous} of them below the previous expiry's variance")
        if self.behind_next:
            causes.append(f"{self.behind_next} of them above the next expiry's variance")
        if self.at_density_floor:
            causes.append(f"{self.at_density_floor} of them where the density is near 0")
        if self.fit_note:
            causes.append(self.fit_note)
        return causes or [_SMOOTHER]


def worst_slices(expiries: pl.DataFrame, count: int, minimum_quotes: int = 5) -> pl.DataFrame:
    """Rank fitted slices: smallest share inside the spread first, then largest RMSE.

    Parameters
    ----------
    expiries
        Rows of table `surfaces` of any number of boards; other columns are kept.
    count
        How many rows to give at most.
    minimum_quotes
        Slices with fewer two-sided quotes are left out: one quote of two says little.

    Returns
    -------
    polars.DataFrame
        Rows of `expiries`, worst first; refused slices have no fit and are never among them.

    Raises
    ------
    QuantError
        `count` is negative.
    """
    if count < 0:
        msg = f"count must be >= 0, was {count}"
        raise QuantError(msg)
    judged = expiries.filter(
        (pl.col("quotes") >= minimum_quotes) & pl.col("in_spread_share").is_not_null()
    )
    ties = [name for name in ("snapshot_ts", "currency", "expiry_ts") if name in judged.columns]
    return judged.sort(
        "in_spread_share", "rmse", *ties, descending=[False, True, *(False for _ in ties)]
    ).head(count)


def diagnose(board: Board, surface: Surface, expiry_ts: datetime) -> SliceDiagnosis:
    """Say what stands between a slice and the quotes it misses.

    Parameters
    ----------
    board
        The quotes.
    surface
        Fitted to them; its expiries are the board's.
    expiry_ts
        A fitted expiry, UTC.

    Raises
    ------
    QuantError
        The expiry is not on the board or was not fitted.
    """
    active = surface.active.tolist()
    if expiry_ts not in board.expiry_ts or board.expiry_ts.index(expiry_ts) not in active:
        msg = f"{expiry_ts:%Y-%m-%d %H:%M} is not a fitted expiry of the board"
        raise QuantError(msg)
    i = board.expiry_ts.index(expiry_ts)
    at = active.index(i)
    quotes, years = board.fit_quotes, float(board.expiry_years[i])
    used = quotes.two_sided(i)
    k, bid, ask = quotes.k[used], quotes.bid_vol[used], quotes.ask_vol[used]
    rows = quotes.row[used]
    fit = np.sqrt(surface.total_variance(k, years) / years)
    missed = (fit < bid) | (fit > ask)
    nearer = np.clip(fit, bid, ask)
    wanted = nearer**2 * years  # total variance of the side that the fit should reach
    previous, following = (
        surface.total_variance(k, float(board.expiry_years[active[j]]))
        if 0 <= j < len(active)
        else np.full(k.shape, limit)
        for j, limit in ((at - 1, -np.inf), (at + 1, np.inf))
    )
    breaches = [x for x in arbitrage.parity_breaches(board) if x.expiry_ts == expiry_ts]
    repairs = {x.expiry_ts: x.must_leave for x in arbitrage.quote_repairs(board)}
    report = surface.report[i]
    density = butterfly(surface.rows[at], np.ascontiguousarray(k))
    return SliceDiagnosis(
        quotes=int(k.size),
        missed=int(missed.sum()),
        largest_miss_ticks=_largest(_ticks(board, i, rows, fit, nearer)[missed]),
        largest_miss_vol_points=100.0 * _largest(np.abs(fit - nearer)[missed]),
        must_leave=repairs.get(expiry_ts, 0),
        parity_breaches=len(breaches),
        parity_basis_points=max((x.distance_basis_points for x in breaches), default=0.0),
        behind_previous=int((missed & (wanted < previous)).sum()),
        behind_next=int((missed & (wanted > following)).sum()),
        at_density_floor=int((missed & (density < _DENSITY_FLOOR)).sum()),
        fit_note="" if report.status == "ok" else f"{report.status}: {report.reason}",
    )


def _largest(values: FloatArray) -> float:
    return float(values.max()) if values.size else 0.0


def _ticks(
    board: Board, i: int, rows: npt.NDArray[np.int64], fit: FloatArray, nearer: FloatArray
) -> FloatArray:
    """Distance between two volatilities of each quote, in ticks of its price."""
    forward, years = float(board.forward[i]), float(board.expiry_years[i])
    of_fit, of_quote = (
        black76.price(forward, board.strike[rows], years, vol, board.is_call[rows])
        for vol in (fit, nearer)
    )
    tick = board.tick_size[rows] * (forward if board.is_inverse else 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.abs(of_fit - of_quote) / np.where(tick > 0, tick, np.nan))
