"""What the pictures draw: fitted slices and the vols of their quotes, as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from vol_platform.quant import implied, svi

__all__ = ["DELTAS", "QuoteBars", "Slice", "quote_bars", "slices"]

Array = NDArray[np.float64]

DELTAS: tuple[float, ...] = (-0.05, -0.10, -0.15, -0.25, -0.35, 0.5, 0.35, 0.25, 0.15, 0.10, 0.05)
"""Columns of the surface picture: put deltas are negative; 0.5 stands for at the money (k = 0)."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One expiry of a surface: its row, with the parameters of raw SVI or None when refused."""

    expiry_ts: datetime
    expiry_years: float
    forward: float | None
    parameters: tuple[float, float, float, float, float] | None
    status: str
    reason: str
    in_spread_share: float | None
    atm_vol: float | None
    k_minimum: float | None
    k_maximum: float | None

    @property
    def days(self) -> float:
        """Days to expiry, ACT/365."""
        return 365.0 * self.expiry_years

    def vol(self, k: Array) -> Array:
        """Fitted volatility, decimal, at log-moneyness `k`; NaN everywhere when refused."""
        if self.parameters is None:
            return np.full_like(k, np.nan)
        variance = svi.total_variance(k, *self.parameters)
        return np.asarray(np.sqrt(variance / self.expiry_years))

    def vol_at_deltas(self, deltas: Sequence[float]) -> Array:
        """Volatility at forward deltas; NaN where the smile does not reach a delta.

        The delta of a smile with steep wings turns back far out, so the search goes outwards from
        the forward only as far as delta is monotone, on a grid fine enough for a picture (not for
        a metric).
        """
        if self.parameters is None:
            return np.full(len(deltas), np.nan)
        atm = self.vol(np.zeros(1))[0]
        width = 8.0 * atm * np.sqrt(self.expiry_years)
        k = np.linspace(-width, width, 1601)
        vol = self.vol(k)
        deviation = vol * np.sqrt(self.expiry_years)
        call_delta = ndtr(-k / deviation + 0.5 * deviation)
        turns = np.flatnonzero(np.diff(call_delta) >= 0)
        first = turns[turns < k.size // 2].max(initial=-1) + 1
        last = turns[turns >= k.size // 2].min(initial=k.size - 1)
        call_delta, vol = call_delta[first : last + 1], vol[first : last + 1]
        wanted = np.array([delta if delta > 0 else 1.0 + delta for delta in deltas])
        found = np.interp(wanted, call_delta[::-1], vol[::-1], left=np.nan, right=np.nan)
        return np.asarray(np.where(np.asarray(deltas) == 0.5, atm, found))


@dataclass(frozen=True, slots=True)
class QuoteBars:
    """Out-of-the-money quotes of one expiry: log-moneyness and vols (decimal, NaN when absent)."""

    k: Array
    bid_vol: Array
    ask_vol: Array


def slices(surface_frame: pl.DataFrame) -> list[Slice]:
    """Read rows of table ``surfaces`` in order of expiry."""
    return [_slice(row) for row in surface_frame.sort("expiry_ts").iter_rows(named=True)]


def _slice(row: dict[str, Any]) -> Slice:
    parameters = tuple(row[name] for name in ("a", "b", "rho", "m", "sigma"))
    usable = all(value is not None and np.isfinite(value) for value in parameters)
    return Slice(
        expiry_ts=row["expiry_ts"],
        expiry_years=row["expiry_years"],
        forward=row["forward"],
        parameters=parameters if usable and row["forward"] is not None else None,
        status=row["status"],
        reason=row["reason"],
        in_spread_share=row["in_spread_share"],
        atm_vol=row["atm_vol"],
        k_minimum=row["k_minimum"],
        k_maximum=row["k_maximum"],
    )


def quote_bars(quotes_frame: pl.DataFrame | None, part: Slice) -> QuoteBars:
    """Vols of the out-of-the-money bids and asks of one expiry, in order of strike.

    Parameters
    ----------
    quotes_frame
        Rows of table ``quotes_clean`` of the snapshot; None gives empty arrays.
    part
        The expiry; without a forward there are no bars.
    """
    if quotes_frame is None or part.forward is None:
        nothing = np.empty(0)
        return QuoteBars(nothing, nothing, nothing)
    rows = quotes_frame.filter(
        (pl.col("expiry_ts") == part.expiry_ts)
        & (pl.col("is_call") == (pl.col("strike") >= part.forward))
    ).sort("strike")
    strike = rows["strike"].to_numpy()
    is_call = rows["is_call"].to_numpy()
    is_inverse = rows["is_inverse"].to_numpy()

    def vols(column: str) -> Array:
        premium = rows[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
        price_usd = np.where(is_inverse, premium * part.forward, premium)
        return np.asarray(
            implied.implied_vol(price_usd, part.forward, strike, part.expiry_years, is_call)
        )

    return QuoteBars(np.log(strike / part.forward), vols("bid_price"), vols("ask_price"))
