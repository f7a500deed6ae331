"""Rules on the quotes of an hour."""

from __future__ import annotations

import polars as pl

from vol_platform.derivations.contracts import (
    Check,
    CheckOutcome,
    DerivationContext,
    Frames,
    as_float,
)

__all__ = ["QUOTES_CLEAN_CHECKS", "QUOTES_REJECTED_CHECKS"]

_SAMPLE_ROWS = 10
_EXTREME_VOL = 3.0
_KEY = ["snapshot_ts", "currency", "instrument_name"]


def bid_not_above_ask(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find clean quotes whose bid is not below their ask."""
    quotes = frames["quotes_clean"]
    wrong = quotes.filter(pl.col("bid_price") >= pl.col("ask_price"))
    return CheckOutcome(
        failed=wrong.height,
        examined=quotes.height,
        numbers={"two_sided": float((quotes["usage"] == "two_sided").sum())},
        sample=wrong.select(*_KEY, "bid_price", "ask_price").head(_SAMPLE_ROWS),
    )


def every_row_accounted_for(frames: Frames, context: DerivationContext) -> CheckOutcome:
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


def extreme_volatility(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find clean quotes whose mark stands above 300 % volatility; they stay where they are."""
    quotes = frames["quotes_clean"].filter(pl.col("mark_iv").is_not_null())
    wrong = quotes.filter(pl.col("mark_iv") > _EXTREME_VOL)
    return CheckOutcome(
        failed=wrong.height,
        examined=quotes.height,
        numbers={"largest_vol": as_float(quotes["mark_iv"].max())},
        sample=wrong.select(*_KEY, "mark_iv", "mark_price").head(_SAMPLE_ROWS),
        # The last hours of far strikes are marked so; one quote in a hundred is more than that.
        tolerated=quotes.height // 100,
    )


def _same_as(columns: list[str], rows_before: int) -> pl.Expr:
    """Tell whether the row so many rows before has the same values."""
    return pl.all_horizontal(pl.col(name) == pl.col(name).shift(rows_before) for name in columns)


def price_spikes(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find mid prices that leave and come back within a minute on each side.

    A spike is further from both neighbours than half of the mid and than five spreads.
    """
    middle = (pl.col("bid_price") + pl.col("ask_price")) / 2
    spread = pl.col("ask_price") - pl.col("bid_price")
    by_option = ["currency", "instrument_name"]
    quotes = (
        frames["quotes_clean"]
        .filter(pl.col("usage") == "two_sided")
        .select(*_KEY, mid=middle, spread=spread)
        .sort(*by_option, "snapshot_ts")
        .with_columns(
            # sorted, so the neighbour is a row above or below, if it is of the same option
            before=pl.when(_same_as(by_option, 1)).then(pl.col("mid").shift(1)),
            after=pl.when(_same_as(by_option, -1)).then(pl.col("mid").shift(-1)),
        )
    )
    least = pl.max_horizontal(pl.col("mid") / 2, 5 * pl.col("spread"))
    rise, fall = pl.col("mid") - pl.col("before"), pl.col("mid") - pl.col("after")
    wrong = quotes.filter(rise.abs() > least, fall.abs() > least, rise * fall > 0)
    return CheckOutcome(
        failed=wrong.height,
        examined=quotes.height,
        sample=wrong.select(*_KEY, "before", "mid", "after").head(_SAMPLE_ROWS),
        tolerated=quotes.height // 1000,
    )


def every_quote_has_instrument(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find quotes of options that no specification describes."""
    rejected = frames["quotes_rejected"]
    wrong = rejected.filter(pl.col("reason") == "unknown_instrument")
    return CheckOutcome(
        failed=wrong.height,
        examined=frames["chain"].height,
        numbers={"instruments": float(wrong["instrument_name"].n_unique())},
        sample=wrong.select(*_KEY, "detail").head(_SAMPLE_ROWS),
    )


QUOTES_CLEAN_CHECKS = (
    Check(
        "bid_not_above_ask",
        "Every clean two-sided quote has its bid below its ask.",
        ("quotes_clean",),
        bid_not_above_ask,
        blocking=True,
    ),
    Check(
        "extreme_volatility",
        f"Marks stay below {_EXTREME_VOL:.0%} volatility; those above are told, not dropped.",
        ("quotes_clean",),
        extreme_volatility,
    ),
    Check(
        "price_spikes",
        "No price leaves its neighbours of the minutes before and after; told, not dropped.",
        ("quotes_clean",),
        price_spikes,
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
    Check(
        "every_quote_has_instrument",
        "Every quoted option has a specification.",
        ("chain", "quotes_rejected"),
        every_quote_has_instrument,
    ),
)
