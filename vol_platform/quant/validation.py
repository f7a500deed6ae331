"""How good a surface is on its board, judged from outside.

Nothing here uses what the fit believes about itself: the share inside the spread compares *prices*
with quoted bids and asks, and the finite-difference check knows the surface only as a function of
log-moneyness and time.  The exact verdicts stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vol_platform.quant import arbitrage, black76
from vol_platform.quant._no_arbitrage.finite_checks import (
    checked_range,
    has_butterfly,
    has_calendar,
)
from vol_platform.quant.surface import Board, Surface

__all__ = ["BoardReport", "pool", "validate_board"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BoardReport:
    """Figures of one board; volatilities in vol points (percent), shares as decimals.

    Attributes
    ----------
    snapshot_ts, currency
        Which board.
    expiries, fitted, ok, thin, repaired, refused
        Number of expiries on the board, fitted, and by status.
    quotes
        Retained two-sided out-of-the-money quotes of the fitted expiries.
    eligible
        Two-sided out-of-the-money quotes of the fitted expiries before the quote rules.
    retained_share
        ``quotes / eligible``.
    in_spread
        Retained quotes whose bid and ask contain the surface's price.
    in_spread_share
        ``in_spread / quotes``.
    rmse_vol_points, max_error_vol_points
        Surface against mid volatility.
    butterfly_exact, calendar_exact, wings_exact
        Slices or pairs that fail the exact checks (whole line).
    butterfly_finite, calendar_finite
        Slices or pairs that fail finite differences on 1.6 times the quoted range.
    largest_repair
        Largest blend towards the arbitrage-free eSSVI chain, 0 when none.
    """

    snapshot_ts: datetime | None
    currency: str
    expiries: int
    fitted: int
    ok: int
    thin: int
    repaired: int
    refused: int
    quotes: int
    eligible: int
    retained_share: float
    in_spread: int
    in_spread_share: float
    rmse_vol_points: float
    max_error_vol_points: float
    butterfly_exact: int
    calendar_exact: int
    wings_exact: int
    butterfly_finite: int
    calendar_finite: int
    largest_repair: float

    @property
    def violations(self) -> int:
        """Violations of any kind, by either check."""
        return (
            self.butterfly_exact
            + self.calendar_exact
            + self.wings_exact
            + self.butterfly_finite
            + self.calendar_finite
        )

    def to_row(self) -> dict[str, object]:
        """Return the fields by name, for a table."""
        return asdict(self)


def validate_board(board: Board, surface: Surface) -> BoardReport:
    """Judge a surface by the board it was calibrated to.

    Parameters
    ----------
    board
        The quotes.
    surface
        The surface; its expiries must be the board's.

    Returns
    -------
    BoardReport
        Shares and errors are NaN when no quote was retained.
    """
    quotes = board.fit_quotes
    errors: list[FloatArray] = []
    inside = 0
    ranges: list[tuple[float, float, float]] = []
    for i in surface.active.tolist():
        used = quotes.two_sided(i)
        rows = quotes.row[used]
        years = float(board.expiry_years[i])
        strike = board.strike[rows]
        vol = surface.iv(years, strike)
        price = black76.price(board.forward[i], strike, years, vol, board.is_call[rows])
        unit = board.forward[i] if board.is_inverse else 1.0
        inside += int(
            np.count_nonzero(
                (price >= board.bid_price[rows] * unit) & (price <= board.ask_price[rows] * unit)
            )
        )
        errors.append(vol - quotes.mid[used])
        at_money = float(surface.total_variance(0.0, years))
        ranges.append((years, *checked_range(quotes.k[used], at_money)))
    error = np.concatenate(errors) if errors else np.empty(0)
    exact = arbitrage.check(surface)
    statuses = [item.status for item in surface.report]
    eligible = int(quotes.eligible[surface.active].sum())
    repairs = [item.repaired_lambda for item in surface.report if item.row is not None]
    return BoardReport(
        snapshot_ts=board.snapshot_ts,
        currency=board.currency,
        expiries=len(board.expiry_ts),
        fitted=int(surface.active.size),
        ok=statuses.count("ok"),
        thin=statuses.count("thin"),
        repaired=statuses.count("repaired"),
        refused=statuses.count("refused"),
        quotes=int(error.size),
        eligible=eligible,
        retained_share=error.size / eligible if eligible else math.nan,
        in_spread=inside,
        in_spread_share=inside / error.size if error.size else math.nan,
        rmse_vol_points=100.0 * float(np.sqrt(np.mean(error**2))) if error.size else math.nan,
        max_error_vol_points=100.0 * float(np.abs(error).max()) if error.size else math.nan,
        butterfly_exact=exact.butterfly_violations,
        calendar_exact=exact.calendar_violations,
        wings_exact=exact.wing_violations,
        butterfly_finite=sum(_finite_butterfly(surface, *item) for item in ranges),
        calendar_finite=sum(_finite_calendar(surface, near, far) for near, far in pairwise(ranges)),
        largest_repair=max((value for value in repairs if math.isfinite(value)), default=0.0),
    )


def _finite_butterfly(surface: Surface, years: float, low: float, high: float) -> bool:
    return has_butterfly(lambda k: surface.total_variance(k, years), low, high)


def _finite_calendar(
    surface: Surface, near: tuple[float, float, float], far: tuple[float, float, float]
) -> bool:
    return has_calendar(
        lambda k: surface.total_variance(k, near[0]),
        lambda k: surface.total_variance(k, far[0]),
        min(near[1], far[1]),
        max(near[2], far[2]),
    )


def pool(reports: Sequence[BoardReport]) -> dict[str, float]:
    """Figures of many boards together; boards without quotes count for nothing.

    Parameters
    ----------
    reports
        One per board.

    Returns
    -------
    dict
        boards, quotes, pooled and worst in-spread and retained share, median and worst RMSE,
        violations by the exact and by the finite-difference check, repaired and thin slices.
    """
    judged = [item for item in reports if item.quotes]
    if not judged:
        return {"boards": 0.0}
    quotes = sum(item.quotes for item in judged)
    errors = [item.rmse_vol_points for item in judged]
    return {
        "boards": float(len(judged)),
        "quotes": float(quotes),
        "in_spread_pooled": sum(item.in_spread for item in judged) / quotes,
        "in_spread_worst": min(item.in_spread_share for item in judged),
        "retained_pooled": quotes / sum(item.eligible for item in judged),
        "retained_worst": min(item.retained_share for item in judged),
        "rmse_vol_points_median": float(np.median(errors)),
        "rmse_vol_points_worst": max(errors),
        "violations_exact": float(
            sum(item.butterfly_exact + item.calendar_exact + item.wings_exact for item in judged)
        ),
        "violations_finite": float(
            sum(item.butterfly_finite + item.calendar_finite for item in judged)
        ),
        "repaired_slices": float(sum(item.repaired for item in judged)),
        "thin_slices": float(sum(item.thin for item in judged)),
    }
