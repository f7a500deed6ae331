"""Rules on the metrics of an hour."""

from __future__ import annotations

import polars as pl

from vol_platform.derivations.contracts import (
    Check,
    CheckOutcome,
    DerivationContext,
    Frames,
    as_float,
)

__all__ = ["SKEW_METRICS_CHECKS", "TERM_STRUCTURE_CHECKS", "VARIANCE_INDEX_CHECKS"]

_SAMPLE_ROWS = 10
_MATURITY = ["snapshot_ts", "currency", "expiry_ts", "days"]


def atm_variance_increases(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find maturities whose at-the-money total variance is below that of a shorter one."""
    rows = frames["term_structure"].sort("snapshot_ts", "currency", "expiry_years")
    steps = rows.with_columns(
        before=pl.col("atm_total_variance").shift(1).over("snapshot_ts", "currency")
    )
    wrong = steps.filter(pl.col("atm_total_variance") < pl.col("before") * (1 - 1e-9))
    return CheckOutcome(
        failed=wrong.height,
        examined=rows.height,
        sample=wrong.select(*_MATURITY, "atm_total_variance", "before").head(_SAMPLE_ROWS),
    )


def agrees_with_term_structure(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find maturities that skew and term structure see differently, or only one of them sees."""
    key = ["snapshot_ts", "currency", "expiry_years", "is_constant_maturity"]
    both = frames["skew_metrics"].join(
        frames["term_structure"].select(*key, term_vol="atm_vol"),
        on=key,
        how="full",
        coalesce=True,
    )
    same = (pl.col("atm_vol") - pl.col("term_vol")).abs() <= 1e-9
    wrong = both.filter(~same.fill_null(value=False))
    return CheckOutcome(
        failed=wrong.height,
        examined=both.height,
        sample=wrong.select(*key, "atm_vol", "term_vol").head(_SAMPLE_ROWS),
    )


def index_between_expiries(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find indices that are no number, exceed both expiries or lie below their quoted part."""
    rows = frames["variance_index"]
    low, high = pl.min_horizontal("near_vol", "far_vol"), pl.max_horizontal("near_vol", "far_vol")
    sound = (
        pl.col("vol").is_finite()
        & (pl.col("vol") >= low * (1 - 1e-9))
        & (pl.col("vol") <= high * (1 + 1e-9))
        & (pl.col("quoted_vol") <= pl.col("vol") * (1 + 1e-9))
    )
    wrong = rows.filter(~sound.fill_null(value=False))
    return CheckOutcome(
        failed=wrong.height,
        examined=rows.height,
        numbers={
            "largest_tail_share": as_float(rows["tail_share"].max()),
            "extrapolated": float(rows["is_extrapolated"].sum()),
        },
        sample=wrong.head(_SAMPLE_ROWS),
    )


TERM_STRUCTURE_CHECKS = (
    Check(
        "atm_variance_increases",
        "At-the-money total variance never falls with maturity.",
        ("term_structure",),
        atm_variance_increases,
    ),
)

SKEW_METRICS_CHECKS = (
    Check(
        "agrees_with_term_structure",
        "Skew metrics and term structure hold the same maturities and at-the-money volatilities.",
        ("skew_metrics", "term_structure"),
        agrees_with_term_structure,
        blocking=True,
    ),
)

VARIANCE_INDEX_CHECKS = (
    Check(
        "index_between_expiries",
        "The index lies between the volatilities of its two expiries and above its quoted part.",
        ("variance_index",),
        index_between_expiries,
    ),
)
