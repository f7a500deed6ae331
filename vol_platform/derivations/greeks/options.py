"""Prices and greeks of every listed option, off the surface."""

from __future__ import annotations

import numpy as np
import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames
from vol_platform.derivations.quotes.cleaning import expiry_years
from vol_platform.derivations.surfaces.restore import listed_smiles
from vol_platform.quant import black76, greeks

__all__ = ["GREEKS_COLUMNS", "options_greeks"]

_GREEKS = (
    "delta",
    "gamma",
    "vega",
    "theta",
    "rho",
    "vanna",
    "volga",
    "charm",
    "veta",
    "speed",
    "zomma",
    "color",
    "ultima",
)

GREEKS_COLUMNS = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "expiry_ts": INSTANT,
    "expiry_years": pl.Float64(),
    "instrument_name": pl.String(),
    "strike": pl.Float64(),
    "is_call": pl.Boolean(),
    "forward": pl.Float64(),
    "vol": pl.Float64(),
    "vol_source": pl.String(),
    "price_usd": pl.Float64(),
    "price_coin": pl.Float64(),
    **dict.fromkeys(_GREEKS, pl.Float64()),
    "delta_coin": pl.Float64(),
    "delta_sticky_moneyness": pl.Float64(),
    "mark_iv": pl.Float64(),
    "mark_price": pl.Float64(),
    "open_interest": pl.Float64(),
}

_EXPIRY = ["snapshot_ts", "currency", "expiry_ts"]
_SLOPE_STEP = 1e-4
"""Half of the interval in log-moneyness over which the slope of the smile is taken."""


def _off_surface(options: pl.DataFrame, surfaces: pl.DataFrame) -> pl.DataFrame:
    """Add volatility and its slope by log-moneyness, NaN where the expiry has no fit."""
    listed, smiles = listed_smiles(surfaces)
    number = options.join(
        listed.with_row_index("smile"), on=_EXPIRY, how="left", maintain_order="left"
    )["smile"]
    has_smile = number.is_not_null().to_numpy()
    which = number.drop_nulls().to_numpy().astype(np.intp)
    strike = options["strike"].to_numpy()[has_smile]
    k = np.log(strike / smiles.forward[which])
    variance = smiles.total_variance(
        np.stack([k, k - _SLOPE_STEP, k + _SLOPE_STEP]), np.stack([which] * 3)
    )
    middle, left, right = np.sqrt(variance / smiles.expiry_years[which])
    vol = np.full(options.height, np.nan)
    slope = np.full(options.height, np.nan)
    vol[has_smile] = middle
    slope[has_smile] = (right - left) / (2 * _SLOPE_STEP)
    return options.with_columns(surface_vol=pl.Series(vol), slope=pl.Series(slope))


def options_greeks(frames: Frames, context: DerivationContext) -> pl.DataFrame:
    """Price every listed option with the surface's volatility and forward.

    Where the expiry has no fit the exchange's own mark volatility serves, and ``vol_source`` says
    so.  In the settlement window the payoff is an average that has begun: no volatility, no greeks.

    Parameters
    ----------
    frames
        ``chain``, ``forward_curve``, ``surfaces``.
    context
        The settlement window.

    Returns
    -------
    polars.DataFrame
        `GREEKS_COLUMNS`, one row per snapshot and listed option with a specification.
    """
    options = (
        frames["chain"]
        .filter(
            pl.col("expiry_ts") > pl.col("snapshot_ts"),
            pl.col("strike") > 0,
            pl.col("is_call").is_not_null(),
        )
        .join(frames["forward_curve"].select(*_EXPIRY, "forward"), on=_EXPIRY, how="left")
        .with_columns(expiry_years=expiry_years())
        .sort(*_EXPIRY, "strike", "is_call")
    )
    options = _off_surface(options, frames["surfaces"])
    settling = (pl.col("expiry_ts") - pl.col("snapshot_ts")) <= context.settlement_window
    has_fit = pl.col("surface_vol").is_not_nan()
    has_mark = pl.col("mark_iv") > 0
    options = options.with_columns(
        vol=pl.when(settling)
        .then(None)
        .when(has_fit)
        .then("surface_vol")
        .when(has_mark)
        .then("mark_iv"),
        vol_source=pl.when(settling)
        .then(pl.lit("none"))
        .when(has_fit)
        .then(pl.lit("surface"))
        .when(has_mark)
        .then(pl.lit("exchange"))
        .otherwise(pl.lit("none")),
    )
    forward, strike, years, vol, slope = (
        options[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        for name in ("forward", "strike", "expiry_years", "vol", "slope")
    )
    is_call = options["is_call"].to_numpy()
    price = black76.price(forward, strike, years, vol, is_call)
    computed = greeks.greeks(forward, strike, years, vol, is_call)
    sticky = greeks.sticky_moneyness_delta(
        computed.delta, computed.vega, forward, np.where(np.isnan(slope), 0.0, slope)
    )
    return options.with_columns(
        price_usd=pl.Series(price),
        price_coin=pl.Series(price / forward),
        **{name: pl.Series(getattr(computed, name)) for name in _GREEKS},
        delta_coin=pl.Series(computed.delta - price / forward),
        # Without a smile of our own there is no slope to ride on.
        delta_sticky_moneyness=pl.when(pl.col("vol_source") == "surface").then(pl.Series(sticky)),
    )
