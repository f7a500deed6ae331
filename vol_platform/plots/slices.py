"""What the pictures draw: fitted slices and the vols of their quotes, as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vol_platform.quant import implied
from vol_platform.quant.surface import Surface

__all__ = ["DELTAS", "QuoteBars", "Slice", "quote_bars", "slices"]

Array = NDArray[np.float64]

DELTAS: tuple[float, ...] = (-0.05, -0.10, -0.15, -0.25, -0.35, 0.5, 0.35, 0.25, 0.15, 0.10, 0.05)
"""Columns of the surface picture: put deltas are negative; 0.5 stands for at the money (k = 0)."""

_ROW_COLUMNS = (
    "expiry_ts",
    "expiry_years",
    "forward",
    "status",
    "reason",
    "in_spread_share",
    "atm_vol",
    "k_minimum",
    "k_maximum",
)


@dataclass(frozen=True, slots=True)
class Slice:
    """One expiry of a surface: its row, and the surface when the expiry is fitted."""

    surface: Surface | None
    expiry_ts: datetime
    expiry_years: float
    forward: float | None
    status: str
    reason: str
    in_spread_share: float | None
    atm_vol: float | None
    k_minimum: float | None
    k_maximum: float | None

    @property
    def is_fitted(self) -> bool:
        """Whether there is a smile to draw."""
        return self.surface is not None

    @property
    def days(self) -> float:
        """Days to expiry, ACT/365."""
        return 365.0 * self.expiry_years

    def vol(self, k: Array) -> Array:
        """Fitted volatility, decimal, at log-moneyness `k`; NaN everywhere when refused."""
        if self.surface is None:
            return np.full_like(k, np.nan)
        variance = self.surface.total_variance(k, self.expiry_years)
        return np.asarray(np.sqrt(variance / self.expiry_years))

    def vol_at_deltas(self, deltas: Sequence[float]) -> Array:
        """Volatility at forward deltas; 0.5 is at the money; NaN where no strike has the delta."""
        if self.surface is None:
            return np.full(len(deltas), np.nan)
        wanted = np.asarray(deltas, dtype=np.float64)
        strikes = self.surface.delta_strike(self.expiry_years, wanted)
        vols = self.surface.iv(self.expiry_years, strikes)
        return np.where(wanted == 0.5, self.vol(np.zeros(1)), vols)


@dataclass(frozen=True, slots=True)
class QuoteBars:
    """Out-of-the-money quotes of one expiry: log-moneyness and vols (decimal, NaN when absent)."""

    k: Array
    bid_vol: Array
    ask_vol: Array


def slices(surface_frame: pl.DataFrame) -> list[Slice]:
    """Read rows of table ``surfaces`` of one currency and snapshot, in order of expiry."""
    if surface_frame.is_empty():
        return []
    surface = Surface.from_frame(surface_frame)
    return [
        Slice(
            surface=None if row["status"] == "refused" else surface,
            **{name: row[name] for name in _ROW_COLUMNS},
        )
        for row in surface_frame.sort("expiry_ts").iter_rows(named=True)
    ]


def quote_bars(quotes_frame: pl.DataFrame | None, part: Slice) -> QuoteBars:
    """Vols of the out-of-the-money bids and asks of one expiry, in order of strike.

    Parameters
    ----------
    quotes_frame
        Rows of table ``quotes_clean`` of the snapshot; None gives empty arrays.
    part
        The expiry; without a forward there are no bars.
    """
    forward = part.forward
    if quotes_frame is None or forward is None:
        nothing = np.empty(0)
        return QuoteBars(nothing, nothing, nothing)
    rows = quotes_frame.filter(
        (pl.col("expiry_ts") == part.expiry_ts)
        & (pl.col("is_call") == (pl.col("strike") >= forward))
    ).sort("strike")
    strike = rows["strike"].to_numpy()
    is_call = rows["is_call"].to_numpy()
    is_inverse = rows["is_inverse"].to_numpy()

    def vols(column: str) -> Array:
        premium = rows[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
        price_usd = np.where(is_inverse, premium * forward, premium)
        return np.asarray(
            implied.implied_vol(price_usd, forward, strike, part.expiry_years, is_call)
        )

    return QuoteBars(np.log(strike / forward), vols("bid_price"), vols("ask_price"))
