"""Greeks of all that is open, by expiry."""

from __future__ import annotations

import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames

__all__ = ["GREEKS_BY_EXPIRY_COLUMNS", "greeks_by_expiry"]

_SUMMED = ("delta", "gamma", "vega", "theta", "vanna", "volga", "charm")

GREEKS_BY_EXPIRY_COLUMNS: dict[str, pl.DataType] = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "expiry_ts": INSTANT,
    "expiry_years": pl.Float64(),
    "forward": pl.Float64(),
    "options": pl.UInt32(),
    "call_open_interest": pl.Float64(),
    "put_open_interest": pl.Float64(),
    "unpriced_open_interest": pl.Float64(),
    "delta": pl.Float64(),
    "gamma": pl.Float64(),
    "gamma_usd_per_percent": pl.Float64(),
    "vega": pl.Float64(),
    "theta": pl.Float64(),
    "vanna": pl.Float64(),
    "volga": pl.Float64(),
    "charm": pl.Float64(),
}

_KEY = ("snapshot_ts", "currency", "expiry_ts")


def greeks_by_expiry(frames: Frames, context: DerivationContext) -> pl.DataFrame:
    """Weight the greeks of every option by its open interest and add them up by expiry.

    An option without greeks (settlement, no fit) or without a known open interest is left out of
    the sums; the open interest without greeks is a column of its own.

    Parameters
    ----------
    frames
        ``options_greeks``.
    context
        Not used.

    Returns
    -------
    polars.DataFrame
        `GREEKS_BY_EXPIRY_COLUMNS`.
    """
    options = frames["options_greeks"].sort(*_KEY, "strike", "is_call", "instrument_name")
    open_interest = pl.col("open_interest").fill_null(0.0)
    priced = pl.col("delta").is_not_null()
    sums = options.group_by(*_KEY, maintain_order=True).agg(
        pl.col("expiry_years").first(),
        pl.col("forward").first(),
        options=pl.len().cast(pl.UInt32),
        call_open_interest=open_interest.filter("is_call").sum(),
        put_open_interest=open_interest.filter(~pl.col("is_call")).sum(),
        unpriced_open_interest=open_interest.filter(~priced).sum(),
        **{name: (open_interest * pl.col(name)).sum() for name in _SUMMED},
    )
    return sums.with_columns(gamma_usd_per_percent=pl.col("gamma") * pl.col("forward") ** 2 / 100.0)
