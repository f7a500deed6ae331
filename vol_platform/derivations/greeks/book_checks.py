"""Rules on the sums and grids of greeks of an hour."""

from __future__ import annotations

import polars as pl

from vol_platform.derivations.contracts import (
    Check,
    CheckOutcome,
    DerivationContext,
    Frames,
    as_float,
)
from vol_platform.derivations.greeks.portfolio import held_positions

__all__ = ["GREEKS_BY_EXPIRY_CHECKS", "GREEKS_GRID_CHECKS", "PORTFOLIO_GREEKS_CHECKS"]

_SAMPLE_ROWS = 10
_EXPIRY = ["snapshot_ts", "currency", "expiry_ts"]
_DELTA_TOLERANCE = 1e-6


def grid_delta_is_its_axis(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find grid points whose delta is not the one on their axis, or whose gamma is not positive."""
    rows = frames["greeks_grid"]
    off = (pl.col("delta") - pl.col("coordinate")).abs()
    sound = (pl.col("gamma") > 0) & ((pl.col("axis") != "delta") | (off <= _DELTA_TOLERANCE))
    wrong = rows.filter(~sound.fill_null(value=False))
    on_axis = rows.filter(pl.col("axis") == "delta")
    return CheckOutcome(
        failed=wrong.height,
        examined=rows.height,
        numbers={"largest_delta_error": as_float(on_axis.select(off).to_series().max())},
        sample=wrong.head(_SAMPLE_ROWS),
    )


def open_interest_adds_up(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find expiries whose open interest or number of options is not that of their options."""
    wanted = (
        frames["options_greeks"]
        .group_by(_EXPIRY)
        .agg(listed=pl.len(), open_interest=pl.col("open_interest").fill_null(0.0).sum())
    )
    both = wanted.join(frames["greeks_by_expiry"], on=_EXPIRY, how="full", coalesce=True)
    summed = pl.col("call_open_interest") + pl.col("put_open_interest")
    same = (pl.col("listed") == pl.col("options")) & (
        (summed - pl.col("open_interest")).abs() <= 1e-6 * (1 + pl.col("open_interest"))
    )
    wrong = both.filter(~same.fill_null(value=False))
    return CheckOutcome(
        failed=wrong.height,
        examined=both.height,
        numbers={
            "unpriced_open_interest": as_float(
                frames["greeks_by_expiry"]["unpriced_open_interest"].sum()
            )
        },
        sample=wrong.select(
            *_EXPIRY, "listed", "options", "open_interest", "call_open_interest"
        ).head(_SAMPLE_ROWS),
    )


def positions_priced(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find positions that are in no sum: not listed, or without greeks."""
    options = frames["options_greeks"]
    held = held_positions(options, frames["positions"])
    priced = options.filter(pl.col("delta").is_not_null())
    wrong = held.join(priced, on=["snapshot_ts", "instrument_name"], how="anti")
    return CheckOutcome(
        failed=wrong.height,
        examined=held.height,
        numbers={
            "portfolios": float(held["portfolio"].n_unique()),
            "value_usd": as_float(frames["portfolio_greeks"]["value_usd"].sum()),
        },
        sample=wrong.sort("snapshot_ts", "portfolio", "instrument_name").head(_SAMPLE_ROWS),
    )


GREEKS_GRID_CHECKS = (
    Check(
        "grid_delta_is_its_axis",
        f"On the delta axis the delta is the coordinate within {_DELTA_TOLERANCE:g}; gamma is > 0.",
        ("greeks_grid",),
        grid_delta_is_its_axis,
    ),
)

GREEKS_BY_EXPIRY_CHECKS = (
    Check(
        "open_interest_adds_up",
        "Every expiry counts all its options and all their open interest.",
        ("greeks_by_expiry", "options_greeks"),
        open_interest_adds_up,
    ),
)

PORTFOLIO_GREEKS_CHECKS = (
    Check(
        "positions_priced",
        "Every position is in a listed option that has greeks.",
        ("portfolio_greeks", "options_greeks", "positions"),
        positions_priced,
    ),
)
