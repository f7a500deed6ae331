"""Sort every row of the chain into a usable quote or a rejection with its reason.

The rules that look at one quote are `vol_platform.quant.cleaning`'s.  Before them come those that
need the instrument, the book's state or the whole of the row; the first that applies decides:

==================== ==============================================================================
unknown_instrument   no specification is known for the name
expired              the expiry is at or before the snapshot
settlement           the exchange says that it averages the index (``SYN.EXPIRY``), or by time
stale                listed, but without a quote younger than the maximum age
not_open             the book of the option is not open
==================== ==============================================================================
"""

from __future__ import annotations

import numpy as np
import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames
from vol_platform.derivations.newest_answer import keeps_newest_answer
from vol_platform.quant import cleaning

__all__ = [
    "CLEAN_COLUMNS",
    "REJECTED_COLUMNS",
    "SECONDS_PER_YEAR",
    "classify",
    "expiry_years",
    "quotes_clean",
    "quotes_rejected",
    "tick_size_at",
]

SECONDS_PER_YEAR = 365 * 86_400

CLEAN_COLUMNS = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "expiry_ts": INSTANT,
    "expiry_years": pl.Float64(),
    "instrument_name": pl.String(),
    "strike": pl.Float64(),
    "is_call": pl.Boolean(),
    "is_inverse": pl.Boolean(),
    "premium_currency": pl.String(),
    "bid_price": pl.Float64(),
    "ask_price": pl.Float64(),
    "mark_price": pl.Float64(),
    "mark_iv": pl.Float64(),
    "underlying_price": pl.Float64(),
    "index_price": pl.Float64(),
    "open_interest": pl.Float64(),
    "tick_size": pl.Float64(),
    "age_seconds": pl.Float64(),
    "usage": pl.String(),
    "source": pl.String(),
}

REJECTED_COLUMNS = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "expiry_ts": INSTANT,
    "instrument_name": pl.String(),
    "reason": pl.String(),
    "detail": pl.String(),
    "bid_price": pl.Float64(),
    "ask_price": pl.Float64(),
    "age_seconds": pl.Float64(),
}


def expiry_years() -> pl.Expr:
    """Years from ``snapshot_ts`` to ``expiry_ts``, ACT/365, both to the millisecond."""
    remaining = pl.col("expiry_ts") - pl.col("snapshot_ts")
    return remaining.dt.total_milliseconds() / (1000.0 * SECONDS_PER_YEAR)


def tick_size_at(chain: pl.DataFrame, price: pl.Expr) -> pl.DataFrame:
    """Replace the lowest tick of each row by the tick that holds at a price.

    Parameters
    ----------
    chain
        With ``tick_size`` and the ladder ``tick_step_above``, ``tick_step_size``.
    price
        Premium at which the tick is wanted; at a step's own price the step holds.

    Returns
    -------
    polars.DataFrame
        The same rows with ``tick_size`` replaced.
    """
    steps = int(chain.select(pl.col("tick_step_above").list.len().max()).item() or 0)
    tick = pl.col("tick_size")
    for step in range(steps):
        above = pl.col("tick_step_above").list.get(step, null_on_oob=True)
        size = pl.col("tick_step_size").list.get(step, null_on_oob=True)
        tick = pl.when(price >= above).then(size).otherwise(tick)
    return chain.with_columns(tick_size=tick)


@keeps_newest_answer
def classify(chain: pl.DataFrame, context: DerivationContext) -> pl.DataFrame:
    """Add to every row of the chain why it is rejected, or how it may be used.

    Returns
    -------
    polars.DataFrame
        The chain with ``expiry_years``, ``tick_size`` at the bid (at the ask without a bid),
        ``usage`` (``two_sided``, ``bound`` or ``rejected``), ``reason`` and ``detail``.
    """
    chain = chain.with_columns(expiry_years=expiry_years())
    chain = tick_size_at(chain, pl.coalesce("bid_price", "ask_price"))
    remaining = pl.col("expiry_ts") - pl.col("snapshot_ts")
    rules_of_row: tuple[tuple[str, pl.Expr, pl.Expr], ...] = (
        (
            "unknown_instrument",
            pl.col("expiry_ts").is_null() | pl.col("strike").is_null(),
            pl.lit("no row in options_metadata"),
        ),
        (
            "expired",
            remaining.dt.total_milliseconds() <= 0,
            pl.format("expired {} s before", -remaining.dt.total_seconds()),
        ),
        (
            "settlement",
            (remaining <= context.settlement_window) | (pl.col("underlying_index") == "SYN.EXPIRY"),
            pl.format("{} s to delivery", remaining.dt.total_seconds()),
        ),
        (
            "stale",
            pl.col("exchange_ts").is_null(),
            pl.lit(f"no update in {context.max_quote_age_seconds:g} s"),
        ),
        (
            "not_open",
            ~pl.col("state").is_in(["open", ""]),
            pl.format("state {}", pl.col("state")),
        ),
    )
    reason, detail = pl.lit(None, pl.String()), pl.lit(None, pl.String())
    for name, broken, text in reversed(rules_of_row):
        applies = broken.fill_null(value=False)
        reason = pl.when(applies).then(pl.lit(name)).otherwise(reason)
        detail = pl.when(applies).then(text).otherwise(detail)
    bid, ask, tick, age, years = (
        chain[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        for name in ("bid_price", "ask_price", "tick_size", "age_seconds", "expiry_years")
    )
    rules = cleaning.QuoteRules(
        maximum_age_seconds=context.max_quote_age_seconds,
        settlement_window_seconds=context.settlement_window_seconds,
    )
    verdict = cleaning.classify(bid, ask, tick, age, years, rules)
    return (
        chain.with_columns(reason=reason, detail=detail)
        .with_columns(
            usage=pl.when(pl.col("reason").is_not_null())
            .then(pl.lit(cleaning.REJECTED))
            .otherwise(pl.Series(verdict.usage.tolist(), dtype=pl.String)),
            reason=pl.coalesce("reason", pl.Series(verdict.reason.tolist(), dtype=pl.String)),
            detail=pl.coalesce("detail", pl.Series(verdict.detail.tolist(), dtype=pl.String)),
        )
        .with_columns(
            # A price of zero or less is how some sources spell "no quote".
            bid_price=pl.when(pl.col("bid_price") > 0).then(pl.col("bid_price")),
            ask_price=pl.when(pl.col("ask_price") > 0).then(pl.col("ask_price")),
        )
    )


def quotes_clean(frames: Frames, context: DerivationContext) -> pl.DataFrame:
    """Return the usable quotes (`CLEAN_COLUMNS`) of the ``chain``."""
    return classify(frames["chain"], context).filter(pl.col("usage") != cleaning.REJECTED)


def quotes_rejected(frames: Frames, context: DerivationContext) -> pl.DataFrame:
    """Return the rejected rows (`REJECTED_COLUMNS`) of the ``chain``, each with its reason."""
    return classify(frames["chain"], context).filter(pl.col("usage") == cleaning.REJECTED)
