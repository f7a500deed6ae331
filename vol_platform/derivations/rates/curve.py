"""The USD rate to every expiry, from the newest curve that was known.

Nothing else of the record uses it: Black-76 on the expiry's own forward needs no rate.  It is for
readers who discount, and for comparing the futures basis with money.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames
from vol_platform.quant import rates

__all__ = ["INTEREST_RATE_COLUMNS", "interest_rates"]

INTEREST_RATE_COLUMNS: dict[str, pl.DataType] = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "expiry_ts": INSTANT,
    "expiry_years": pl.Float64(),
    "zero_rate": pl.Float64(),
    "discount_factor": pl.Float64(),
    "rate_source": pl.String(),
    "curve_date": pl.Date(),
}

_DEFAULT = "default"
_PREFERENCE = ("zero", "sofr", "treasury")
"""Of two curves of one day: a curve made by hand is meant, a swap curve is nearer to funding."""


def _build(kind: str, quotes: pl.DataFrame) -> rates.DiscountCurve:
    years, values = quotes["maturity_years"].to_numpy(), quotes["quote"].to_numpy()
    if kind == "treasury":
        return rates.from_treasury_par_yields(years, values)
    if kind == "sofr":
        return rates.from_sofr_swaps(years, values)
    return rates.DiscountCurve(years, values)


def _known_on(quotes: pl.DataFrame, day: date) -> tuple[date | None, str, rates.DiscountCurve]:
    """Return the newest curve of a day before `day`: it is published when its day ends."""
    before = quotes.filter(pl.col("curve_date") < day)
    if before.is_empty():
        return None, _DEFAULT, rates.flat()
    newest = before.filter(pl.col("curve_date") == pl.col("curve_date").max())
    kind = min(newest["kind"].unique(), key=_PREFERENCE.index)
    chosen = newest.filter(pl.col("kind") == kind).sort("maturity_years")
    return chosen["curve_date"][0], kind, _build(kind, chosen)


def interest_rates(frames: Frames, context: DerivationContext) -> pl.DataFrame:
    """Read the zero rate to every listed expiry.

    Parameters
    ----------
    frames
        ``forward_curve`` (for the expiries) and ``rates``; without a curve the rate is 0.
    context
        Not used.

    Returns
    -------
    polars.DataFrame
        `INTEREST_RATE_COLUMNS`, one row per snapshot, market and listed expiry.

    Raises
    ------
    QuantError
        A curve has a maturity twice or a rate of -100 % or less.
    """
    expiries = frames["forward_curve"].select(
        "snapshot_ts", "currency", "expiry_ts", "expiry_years"
    )
    parts = []
    for (day,), rows in expiries.group_by(pl.col("snapshot_ts").dt.date(), maintain_order=True):
        curve_date, source, curve = _known_on(frames["rates"], day)
        years = rows["expiry_years"].to_numpy()
        rate = np.asarray(curve.zero_rate(years))
        parts.append(
            rows.with_columns(
                zero_rate=pl.Series(rate, dtype=pl.Float64),
                discount_factor=pl.Series(np.exp(-rate * years), dtype=pl.Float64),
                rate_source=pl.lit(source),
                curve_date=pl.lit(curve_date, pl.Date),
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame(schema=INTEREST_RATE_COLUMNS)
