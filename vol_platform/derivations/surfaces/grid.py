"""The surface on fixed points: for heat tables, comparison through time, and readers of SQL."""

from __future__ import annotations

import numpy as np
import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames
from vol_platform.derivations.surfaces.restore import restore

__all__ = [
    "CONSTANT_MATURITY_DAYS",
    "GRID_COLUMNS",
    "GRID_DELTAS",
    "GRID_LOG_MONEYNESS",
    "surface_grid",
]

CONSTANT_MATURITY_DAYS = (7, 14, 30, 60, 90, 180, 365)
GRID_LOG_MONEYNESS = tuple(round(0.1 * step, 1) for step in range(-8, 9))
GRID_DELTAS = (-0.05, -0.1, -0.15, -0.25, -0.35, -0.45, 0.45, 0.35, 0.25, 0.15, 0.1, 0.05)

GRID_COLUMNS = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "expiry_ts": INSTANT,
    "expiry_years": pl.Float64(),
    "is_constant_maturity": pl.Boolean(),
    "axis": pl.String(),
    "coordinate": pl.Float64(),
    "log_moneyness": pl.Float64(),
    "strike": pl.Float64(),
    "vol": pl.Float64(),
    "total_variance": pl.Float64(),
}


def surface_grid(frames: Frames, context: DerivationContext) -> pl.DataFrame:  # noqa: ARG001 - one signature for every derivation
    """Evaluate every surface at fixed log-moneyness and fixed delta.

    Maturities are the fitted expiries and `CONSTANT_MATURITY_DAYS` between the first and the last
    of them: outside nothing was quoted.

    Parameters
    ----------
    frames
        ``surfaces``.
    context
        Not used.

    Returns
    -------
    polars.DataFrame
        `GRID_COLUMNS`.
    """
    deltas = np.array(GRID_DELTAS)
    points = np.array(GRID_LOG_MONEYNESS)
    axes = ["log_moneyness"] * points.size + ["delta"] * deltas.size
    coordinates = np.concatenate([points, deltas])
    parts: list[pl.DataFrame] = []
    for (moment, currency), surface in restore(frames["surfaces"]).items():
        fitted = [(surface.expiry_ts[at], float(surface.expiry_years[at])) for at in surface.active]
        first, last = fitted[0][1], fitted[-1][1]
        constant = [
            (None, days / 365.0) for days in CONSTANT_MATURITY_DAYS if first <= days / 365.0 <= last
        ]
        for expiry_ts, years in (*fitted, *constant):
            forward = surface.forward(years)
            strikes = np.concatenate(
                [forward * np.exp(points), surface.delta_strike(years, deltas)]
            )
            k = np.concatenate([points, np.log(strikes[points.size :] / forward)])
            variance = surface.total_variance(k, np.full(k.shape, years))
            parts.append(
                pl.DataFrame(
                    {
                        "axis": axes,
                        "coordinate": coordinates,
                        "log_moneyness": k,
                        "strike": strikes,
                        "vol": np.sqrt(variance / years),
                        "total_variance": variance,
                    }
                ).with_columns(
                    snapshot_ts=pl.lit(moment, INSTANT),
                    currency=pl.lit(currency),
                    expiry_ts=pl.lit(expiry_ts, INSTANT),
                    expiry_years=pl.lit(years),
                    is_constant_maturity=pl.lit(expiry_ts is None),
                )
            )
    return pl.concat(parts) if parts else pl.DataFrame(schema=GRID_COLUMNS)
