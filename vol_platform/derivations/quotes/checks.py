"""Rules on the quotes of an hour."""

from __future__ import annotations

import polars as pl

from vol_platform.derivations.contracts import Check, CheckOutcome, DerivationContext, Frames

__all__ = ["QUOTES_CLEAN_CHECKS", "QUOTES_REJECTED_CHECKS"]

_SAMPLE_ROWS = 10
_KEY = ["snapshot_ts", "currency", "instrument_name"]


def bid_not_above_ask(frames: Frames, context: DerivationContext) -> CheckOutcome:  # noqa: ARG001 - one signature for every check
    """Find clean quotes whose bid is not below their ask."""
    quotes = frames["quotes_clean"]
    wrong = quotes.filter(pl.col("bid_price") >= pl.col("ask_price"))
    return CheckOutcome(
        failed=wrong.height,
        examined=quotes.height,
        numbers={"two_sided": float((quotes["usage"] == "two_sided").sum())},
        sample=wrong.select(*_KEY, "bid_price", "ask_price").head(_SAMPLE_ROWS),
    )


def every_row_accounted_for(frames: Frames, context: DerivationContext) -> CheckOutcome:  # noqa: ARG001 - one signature for every check
    """Find rows of the chain that are neither clean nor rejected, or both."""
    chain = frames["chain"].select(_KEY)
    sorted_out = pl.concat(
        [frames["quotes_clean"].select(_KEY), frames["quotes_rejected"].select(_KEY)]
    )
    twice = sorted_out.filter(sorted_out.is_duplicated())
    lost = chain.join(sorted_out, on=_KEY, how="anti")
    wrong = pl.concat([lost, twice])
    reasons = frames["quotes_rejected"]["reason"].value_counts().sort("reason")
    return CheckOutcome(
        failed=wrong.height,
        examined=chain.height,
        numbers={
            "clean": float(frames["quotes_clean"].height),
            **{f"rejected_{reason}": float(count) for reason, count in reasons.iter_rows()},
        },
        sample=wrong.head(_SAMPLE_ROWS),
    )


QUOTES_CLEAN_CHECKS = (
    Check(
        "bid_not_above_ask",
        "Every clean two-sided quote has its bid below its ask.",
        ("quotes_clean",),
        bid_not_above_ask,
        blocking=True,
    ),
)

QUOTES_REJECTED_CHECKS = (
    Check(
        "every_row_accounted_for",
        "Every option of the chain is either clean or rejected with a reason, once.",
        ("chain", "quotes_clean", "quotes_rejected"),
        every_row_accounted_for,
        blocking=True,
    ),
)
