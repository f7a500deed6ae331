"""The surface on fixed points: for heat tables, comparison through time, and readers of SQL."""

from __future__ import annotations

import numpy as np
import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames
from vol_platform.derivations.surfaces.restore import CONSTANT_MATURITY_DAYS, smiles_at_maturities

__all__ = [
    "CONSTANT_MATURITY_DAYS",
    "GRID_COLUMNS",
    "GRID_DELTAS",
    "GRID_LOG_MONEYNESS",
    "surface_grid",
]

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


def surface_grid(frames: Frames, context: DerivationContext) -> pl.DataFrame:
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
    maturities, smiles = smiles_at_maturities(frames["surfaces"])
    count = len(smiles)
    k = np.hstack(
        [
            np.broadcast_to(GRID_LOG_MONEYNESS, (count, len(GRID_LOG_MONEYNESS))),
            smiles.delta_log_moneyness(GRID_DELTAS),
        ]
    )
    variance = smiles.total_variance(k)
    vol = np.sqrt(variance / smiles.expiry_years[:, None])
    strike = smiles.forward[:, None] * np.exp(k)
    axes = ["log_moneyness"] * len(GRID_LOG_MONEYNESS) + ["delta"] * len(GRID_DELTAS)
    points = pl.DataFrame({"axis": axes, "coordinate": (*GRID_LOG_MONEYNESS, *GRID_DELTAS)})
    return maturities.join(points, how="cross", maintain_order="left_right").with_columns(
        log_moneyness=pl.Series(k.ravel()),
        strike=pl.Series(strike.ravel()),
        vol=pl.Series(vol.ravel()),
        total_variance=pl.Series(variance.ravel()),
    )
