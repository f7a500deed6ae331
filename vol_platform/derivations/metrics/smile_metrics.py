"""Term structure and skew of every surface, by expiry and at constant maturity."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames
from vol_platform.derivations.surfaces.grid import CONSTANT_MATURITY_DAYS
from vol_platform.derivations.surfaces.restore import restore
from vol_platform.quant import term_structure as measures
from vol_platform.quant.surface import Surface

__all__ = ["SKEW_COLUMNS", "TERM_COLUMNS", "skew_metrics", "term_structure"]

_DAYS_PER_YEAR = 365.0

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


def _maturities(surface: Surface) -> tuple[list[datetime | None], np.ndarray]:
    """Fitted expiries, then the constant maturities between the first and the last of them."""
    fitted = [surface.expiry_ts[at] for at in surface.active]
    years = surface.expiry_years[surface.active]
    constant = np.array(CONSTANT_MATURITY_DAYS) / _DAYS_PER_YEAR
    constant = constant[(constant >= years[0]) & (constant <= years[-1])]
    return [*fitted, *[None] * constant.size], np.concatenate([years, constant])


def _rows(
    moment: datetime,
    currency: str,
    expiries: list[datetime | None],
    years: np.ndarray,
    values: dict[str, np.ndarray],
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "expiry_ts": pl.Series(expiries, dtype=INSTANT),
            "expiry_years": years,
            "days": years * _DAYS_PER_YEAR,
            "is_constant_maturity": [expiry is None for expiry in expiries],
            **values,
        }
    ).with_columns(snapshot_ts=pl.lit(moment, INSTANT), currency=pl.lit(currency))


def term_structure(frames: Frames, context: DerivationContext) -> pl.DataFrame:  # noqa: ARG001 - one signature for every derivation
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
    parts = []
    for (moment, currency), surface in restore(frames["surfaces"]).items():
        expiries, years = _maturities(surface)
        starts = np.concatenate([[0.0], years[:-1]])
        starts[surface.active.size :][:1] = 0.0
        vol = measures.atm(surface, years)
        values = {
            "forward": np.array([surface.forward(float(one)) for one in years]),
            "atm_vol": vol,
            "atm_total_variance": vol**2 * years,
            "forward_vol": measures.forward_vol(surface, starts, years),
        }
        parts.append(_rows(moment, currency, expiries, years, values))
    return pl.concat(parts) if parts else pl.DataFrame(schema=TERM_COLUMNS)


def skew_metrics(frames: Frames, context: DerivationContext) -> pl.DataFrame:  # noqa: ARG001 - one signature for every derivation
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
    parts = []
    for (moment, currency), surface in restore(frames["surfaces"]).items():
        expiries, years = _maturities(surface)
        found = measures.skew_metrics(surface, years)._asdict()
        del found["expiry_years"]
        parts.append(_rows(moment, currency, expiries, years, found))
    return pl.concat(parts) if parts else pl.DataFrame(schema=SKEW_COLUMNS)
