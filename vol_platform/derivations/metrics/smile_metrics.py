"""Term structure and skew of every surface, by expiry and at constant maturity."""

from __future__ import annotations

import numpy as np
import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames
from vol_platform.derivations.surfaces.restore import smiles_at_maturities
from vol_platform.quant import term_structure as measures

__all__ = ["SKEW_COLUMNS", "TERM_COLUMNS", "skew_metrics", "term_structure"]

_MATURITY: dict[str, pl.DataType] = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "expiry_ts": INSTANT,
    "expiry_years": pl.Float64(),
    "days": pl.Float64(),
    "is_constant_maturity": pl.Boolean(),
}

TERM_COLUMNS: dict[str, pl.DataType] = {
    **_MATURITY,
    "forward": pl.Float64(),
    "atm_vol": pl.Float64(),
    "atm_total_variance": pl.Float64(),
    "forward_vol": pl.Float64(),
}

SKEW_COLUMNS: dict[str, pl.DataType] = {
    **_MATURITY,
    "atm_vol": pl.Float64(),
    "risk_reversal_25": pl.Float64(),
    "butterfly_25": pl.Float64(),
    "risk_reversal_10": pl.Float64(),
    "butterfly_10": pl.Float64(),
    "risk_reversal_25_pa": pl.Float64(),
    "butterfly_25_pa": pl.Float64(),
    "skew_slope": pl.Float64(),
    "skew_curvature": pl.Float64(),
}


def term_structure(frames: Frames, context: DerivationContext) -> pl.DataFrame:
    """Read at-the-money volatility and forward volatility along the maturities.

    Parameters
    ----------
    frames
        ``surfaces``.
    context
        Not used.

    Returns
    -------
    polars.DataFrame
        `TERM_COLUMNS`: the fitted expiries and, flagged, `CONSTANT_MATURITY_DAYS` between them.
        ``forward_vol`` is between a maturity and the one before of the same kind.
    """
    maturities, smiles = smiles_at_maturities(frames["surfaces"])
    variance = smiles.total_variance(np.zeros((len(smiles), 1)))[:, 0]
    along = ["snapshot_ts", "currency", "is_constant_maturity"]
    before = maturities.with_columns(variance=pl.Series(variance)).select(
        pl.col("expiry_years", "variance").shift(1, fill_value=0.0).over(along)
    )
    forward_vol = measures.forward_vol_between(
        before["variance"].to_numpy(),
        variance,
        before["expiry_years"].to_numpy(),
        smiles.expiry_years,
    )
    return maturities.with_columns(
        forward=pl.Series(smiles.forward),
        atm_vol=pl.Series(np.sqrt(variance / smiles.expiry_years)),
        atm_total_variance=pl.Series(variance),
        forward_vol=pl.Series(forward_vol),
    )


def skew_metrics(frames: Frames, context: DerivationContext) -> pl.DataFrame:
    """Read risk reversals, butterflies, slope and curvature along the maturities.

    Parameters
    ----------
    frames
        ``surfaces``.
    context
        Not used.

    Returns
    -------
    polars.DataFrame
        `SKEW_COLUMNS`, at the maturities of `term_structure`.
    """
    maturities, smiles = smiles_at_maturities(frames["surfaces"])
    found = measures.skew_metrics_of_smiles(smiles.total_variance, smiles.expiry_years)._asdict()
    del found["expiry_years"]
    return maturities.with_columns(pl.Series(name, values) for name, values in found.items())
