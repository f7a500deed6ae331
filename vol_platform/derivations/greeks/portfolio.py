"""Greeks of the portfolios that somebody told us, by expiry."""

from __future__ import annotations

import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames

__all__ = ["PORTFOLIO_GREEKS_COLUMNS", "portfolio_greeks"]

_SUMMED = ("delta", "gamma", "vega", "theta", "rho", "vanna", "volga", "charm", "delta_coin")

PORTFOLIO_GREEKS_COLUMNS: dict[str, pl.DataType] = {
    "snapshot_ts": INSTANT,
    "portfolio": pl.String(),
    "currency": pl.String(),
    "expiry_ts": INSTANT,
    "held": pl.UInt32(),
    "unpriced": pl.UInt32(),
    "quantity": pl.Float64(),
    "value_usd": pl.Float64(),
    **dict.fromkeys(_SUMMED, pl.Float64()),
}


def held_positions(snapshots: pl.DataFrame, positions: pl.DataFrame) -> pl.DataFrame:
    """Return what every portfolio holds at every snapshot: its newest rows at or before it.

    Parameters
    ----------
    snapshots
        Column ``snapshot_ts``.
    positions
        Columns ``portfolio``, ``from_ts``, ``instrument_name``, ``quantity``.
    """
    moments = snapshots.select("snapshot_ts").unique().sort("snapshot_ts")
    versions = positions.select("portfolio", "from_ts").unique().sort("portfolio", "from_ts")
    in_force = (
        moments.join(versions, how="cross")
        .filter(pl.col("from_ts") <= pl.col("snapshot_ts"))
        .group_by("snapshot_ts", "portfolio")
        .agg(pl.col("from_ts").max())
    )
    return in_force.join(positions, on=["portfolio", "from_ts"]).filter(pl.col("quantity") != 0)


def portfolio_greeks(frames: Frames, context: DerivationContext) -> pl.DataFrame:
    """Add up the greeks of every portfolio by market and expiry.

    A position in an option without greeks is counted as unpriced and is not in the sums; one in an
    instrument that is not listed at the snapshot (expired, or no option) has no row.

    Parameters
    ----------
    frames
        ``options_greeks``, ``positions``.
    context
        Not used.

    Returns
    -------
    polars.DataFrame
        `PORTFOLIO_GREEKS_COLUMNS`; empty when nobody loaded positions.
    """
    options, positions = frames["options_greeks"], frames["positions"]
    if positions.is_empty() or options.is_empty():
        return pl.DataFrame(schema=PORTFOLIO_GREEKS_COLUMNS)
    book = options.join(held_positions(options, positions), on=["snapshot_ts", "instrument_name"])
    quantity = pl.col("quantity")
    key = ["snapshot_ts", "portfolio", "currency", "expiry_ts"]
    return (
        book.sort(*key, "strike", "is_call", "instrument_name")
        .group_by(key, maintain_order=True)
        .agg(
            held=pl.len().cast(pl.UInt32),
            unpriced=pl.col("delta").null_count().cast(pl.UInt32),
            quantity=quantity.sum(),
            value_usd=(quantity * pl.col("price_usd")).sum(),
            **{name: (quantity * pl.col(name)).sum() for name in _SUMMED},
        )
    )
