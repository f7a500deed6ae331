"""Greeks on the points of the surface grid, at constant maturity: comparable through time."""

from __future__ import annotations

import numpy as np
import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames
from vol_platform.quant import black76, greeks

__all__ = ["GREEKS_GRID_COLUMNS", "greeks_grid"]

_GREEKS = ("delta", "gamma", "vega", "theta", "rho", "vanna", "volga", "charm")

GREEKS_GRID_COLUMNS: dict[str, pl.DataType] = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "expiry_years": pl.Float64(),
    "days": pl.Float64(),
    "axis": pl.String(),
    "coordinate": pl.Float64(),
    "is_call": pl.Boolean(),
    "forward": pl.Float64(),
    "strike": pl.Float64(),
    "vol": pl.Float64(),
    "price_usd": pl.Float64(),
    **dict.fromkeys(_GREEKS, pl.Float64()),
}


def greeks_grid(frames: Frames, context: DerivationContext) -> pl.DataFrame:
    """Price the out-of-the-money option at every grid point of constant maturity.

    Parameters
    ----------
    frames
        ``surface_grid``.
    context
        Not used.

    Returns
    -------
    polars.DataFrame
        `GREEKS_GRID_COLUMNS`.  On the delta axis the side is the one that the delta names.
    """
    points = frames["surface_grid"].filter("is_constant_maturity")
    on_delta_axis = pl.col("axis") == "delta"
    points = points.with_columns(
        days=(pl.col("expiry_years") * 365.0).round(6),
        forward=pl.col("strike") * (-pl.col("log_moneyness")).exp(),
        is_call=pl.when(on_delta_axis)
        .then(pl.col("coordinate") > 0)
        .otherwise(pl.col("log_moneyness") >= 0),
    )
    forward, strike, years, vol = (
        points[name].to_numpy() for name in ("forward", "strike", "expiry_years", "vol")
    )
    is_call = points["is_call"].to_numpy()
    values = greeks.greeks(forward, strike, years, vol, is_call)
    price = np.asarray(black76.price(forward, strike, years, vol, is_call))
    return points.with_columns(
        price_usd=pl.Series(price, dtype=pl.Float64),
        **{name: pl.Series(getattr(values, name), dtype=pl.Float64) for name in _GREEKS},
    )
