"""Rules on the interest rates of an hour."""

from __future__ import annotations

import polars as pl

from vol_platform.derivations.contracts import (
    Check,
    CheckOutcome,
    DerivationContext,
    Frames,
    as_float,
)

__all__ = ["INTEREST_RATE_CHECKS"]

_SAMPLE_ROWS = 10
_EXPIRY = ["snapshot_ts", "currency", "expiry_ts"]
_LARGEST = 0.25


def rates_plausible(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find expiries without a rate, or with one that looks like per cent taken for decimals."""
    rows = frames["interest_rates"]
    missing = frames["forward_curve"].join(rows, on=_EXPIRY, how="anti").select(_EXPIRY)
    absurd = rows.filter(~(pl.col("zero_rate").abs() <= _LARGEST).fill_null(value=False))
    wrong = pl.concat([missing, absurd.select(_EXPIRY)])
    return CheckOutcome(
        failed=wrong.height,
        examined=frames["forward_curve"].height,
        numbers={
            "limit_rate": _LARGEST,
            "largest_rate": as_float(rows["zero_rate"].max()),
            "by_default": float((rows["rate_source"] == "default").sum()),
        },
        sample=wrong.head(_SAMPLE_ROWS),
    )


INTEREST_RATE_CHECKS = (
    Check(
        "rates_plausible",
        f"Every listed expiry has a rate, between {-_LARGEST:.0%} and {_LARGEST:.0%} a year.",
        ("interest_rates", "forward_curve"),
        rates_plausible,
    ),
)
