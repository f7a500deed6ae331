"""Rules on the tables of the whole history."""

from __future__ import annotations

import polars as pl

from vol_platform.derivations.contracts import (
    Check,
    CheckOutcome,
    DerivationContext,
    Frames,
    as_float,
)

__all__ = ["REALISED_CHECKS", "REGIME_CHECKS"]

_SAMPLE_ROWS = 10
_LOWEST, _HIGHEST = 0.02, 5.0


def realised_plausible(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find windows whose realised volatility no market has: a frozen or a broken price."""
    rows = frames["realised_volatility"]
    wrong = rows.filter(~pl.col("realised_vol").is_between(_LOWEST, _HIGHEST))
    return CheckOutcome(
        failed=wrong.height,
        examined=rows.height,
        numbers={
            "smallest_vol": as_float(rows["realised_vol"].min()),
            "largest_vol": as_float(rows["realised_vol"].max()),
        },
        sample=wrong.head(_SAMPLE_ROWS),
    )


def regimes_follow_ranks(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find hours whose label contradicts their rank by more than the hysteresis allows."""
    rows = frames["volatility_regimes"]
    rank = pl.col("percentile")
    regime = pl.col("regime")
    wrong = rows.filter(
        ((regime == "unknown") & rank.is_not_null())
        | ((regime == "low") & (rank > 80))
        | ((regime == "high") & (rank < 20))
        | ~rank.is_between(0, 100)
    )
    counts = rows["regime"].value_counts().sort("regime")
    return CheckOutcome(
        failed=wrong.height,
        examined=rows.height,
        numbers={f"hours_{name}": float(count) for name, count in counts.iter_rows()},
        sample=wrong.head(_SAMPLE_ROWS),
        # A label waits for a second hour before it follows a jump across both borders.
        tolerated=rows.height // 100,
    )


REALISED_CHECKS = (
    Check(
        "realised_plausible",
        f"Realised volatility lies between {_LOWEST:.0%} and {_HIGHEST:.0%}.",
        ("realised_volatility",),
        realised_plausible,
    ),
)

REGIME_CHECKS = (
    Check(
        "regimes_follow_ranks",
        "No hour is called low in the upper fifth of its history, nor high in the lower.",
        ("volatility_regimes",),
        regimes_follow_ranks,
    ),
)
