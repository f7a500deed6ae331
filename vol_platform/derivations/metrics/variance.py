"""Our own volatility index: model-free variance at thirty days, like DVOL."""

from __future__ import annotations

import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames
from vol_platform.derivations.surfaces.restore import restore
from vol_platform.quant import variance_swap

__all__ = ["INDEX_DAYS", "VARIANCE_INDEX_COLUMNS", "variance_index"]

INDEX_DAYS = 30.0
"""DVOL's maturity."""

VARIANCE_INDEX_COLUMNS: dict[str, pl.DataType] = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "days": pl.Float64(),
    "vol": pl.Float64(),
    "quoted_vol": pl.Float64(),
    "tail_share": pl.Float64(),
    "is_extrapolated": pl.Boolean(),
    "near_expiry_years": pl.Float64(),
    "far_expiry_years": pl.Float64(),
    "near_vol": pl.Float64(),
    "far_vol": pl.Float64(),
}


def variance_index(frames: Frames, context: DerivationContext) -> pl.DataFrame:
    """Integrate every surface to the index at `INDEX_DAYS`.

    Parameters
    ----------
    frames
        ``surfaces``.
    context
        Not used.

    Returns
    -------
    polars.DataFrame
        `VARIANCE_INDEX_COLUMNS`, one row per snapshot and market that has a fitted expiry.
    """
    rows = []
    for (moment, currency), surface in restore(frames["surfaces"]).items():
        found = variance_swap.index(surface, INDEX_DAYS)
        near, far = found.expiries[0], found.expiries[-1]
        rows.append(
            {
                "snapshot_ts": moment,
                "currency": currency,
                "days": found.days,
                "vol": found.vol,
                "quoted_vol": found.quoted_vol,
                "tail_share": found.tail_share,
                "is_extrapolated": found.is_extrapolated,
                "near_expiry_years": near.expiry_years,
                "far_expiry_years": far.expiry_years,
                "near_vol": near.vol,
                "far_vol": far.vol,
            }
        )
    return pl.DataFrame(rows, schema=VARIANCE_INDEX_COLUMNS)
