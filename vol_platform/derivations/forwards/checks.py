"""Rules on the forward curve of an hour."""

from __future__ import annotations

import polars as pl

from vol_platform.derivations.contracts import (
    Check,
    CheckOutcome,
    DerivationContext,
    Frames,
    as_float,
)

__all__ = ["FORWARD_CURVE_CHECKS"]

_SAMPLE_ROWS = 10
_PARITY_POINTS = 2.0
"""Basis points of the forward that a pair may be off beyond the forward's own error."""
_EXPIRY = ["snapshot_ts", "currency", "expiry_ts"]


def every_quote_has_forward_and_index(
    frames: Frames,
    context: DerivationContext,
) -> CheckOutcome:
    """Find clean quotes whose expiry has no forward, or whose snapshot has no index price."""
    quotes = frames["quotes_clean"]
    known = frames["forward_curve"].filter(pl.col("forward").is_not_null()).select(_EXPIRY)
    index = frames["index"].select("snapshot_ts", "currency")
    no_forward = quotes.join(known, on=_EXPIRY, how="anti")
    no_index = quotes.join(index, on=["snapshot_ts", "currency"], how="anti")
    wrong = pl.concat([no_forward, no_index]).select(*_EXPIRY, "instrument_name").unique()
    return CheckOutcome(
        failed=wrong.height,
        examined=quotes.height,
        numbers={
            "without_forward": float(no_forward.height),
            "without_index": float(no_index.height),
        },
        sample=wrong.sort("snapshot_ts", "instrument_name").head(_SAMPLE_ROWS),
    )


def exchange_forward_within_parity(
    frames: Frames,
    context: DerivationContext,
) -> CheckOutcome:
    """Find expiries whose quotes and exchange forward contradict each other."""
    curve = frames["forward_curve"]
    alarms = curve.filter(pl.col("status") == "alarm")
    distance = ((curve["forward"] / curve["exchange_forward"]) - 1.0).abs() * 1e4
    return CheckOutcome(
        failed=alarms.height,
        examined=curve.height,
        numbers={"largest_move_basis_points": as_float(distance.max())},
        sample=alarms.select(
            *_EXPIRY, "forward", "forward_lower", "forward_upper", "exchange_forward", "reason"
        ).head(_SAMPLE_ROWS),
        # Torn boards of fast markets raise single alarms; one expiry in twenty is more than that.
        tolerated=curve.height // 20,
    )


def put_call_parity(
    frames: Frames,
    context: DerivationContext,
) -> CheckOutcome:
    """Find strikes at which bids and asks of call and put leave no room for the forward."""
    sides = frames["quotes_clean"].filter(pl.col("usage") == "two_sided")
    at = [*_EXPIRY, "strike", "is_inverse"]
    pairs = (
        sides.filter("is_call")
        .select(*at, call_bid="bid_price", call_ask="ask_price")
        .join(
            sides.filter(~pl.col("is_call")).select(*at, put_bid="bid_price", put_ask="ask_price"),
            on=at,
        )
        .join(
            frames["forward_curve"].select(*_EXPIRY, "forward", "uncertainty_basis_points"),
            on=_EXPIRY,
        )
        .filter(pl.col("forward") > 0)
    )
    gap = pl.col("forward") - pl.col("strike")
    parity = pl.when("is_inverse").then(gap / pl.col("forward")).otherwise(gap)
    unit = pl.when("is_inverse").then(1.0).otherwise("forward")
    slack = unit * (pl.col("uncertainty_basis_points").fill_null(0.0) + _PARITY_POINTS) * 1e-4
    pairs = pairs.with_columns(parity=parity).with_columns(
        beyond=pl.max_horizontal(
            pl.col("call_bid") - pl.col("put_ask") - pl.col("parity"),
            pl.col("parity") - pl.col("call_ask") + pl.col("put_bid"),
        )
        - slack
    )
    wrong = pairs.filter(pl.col("beyond") > 0)
    return CheckOutcome(
        failed=wrong.height,
        examined=pairs.height,
        numbers={"slack_basis_points": _PARITY_POINTS},
        sample=wrong.sort("beyond", descending=True)
        .select(*_EXPIRY, "strike", "forward", "parity", "call_bid", "put_ask", "beyond")
        .head(_SAMPLE_ROWS),
        # Torn boards of fast markets hold a few such strikes; one in twenty is more than that.
        tolerated=pairs.height // 20,
    )


FORWARD_CURVE_CHECKS = (
    Check(
        "every_quote_has_forward_and_index",
        "Every clean quote has a forward of its expiry and an index price of its snapshot.",
        ("quotes_clean", "forward_curve", "index"),
        every_quote_has_forward_and_index,
    ),
    Check(
        "exchange_forward_within_parity",
        "The exchange's forward lies where put-call parity of the quotes allows it.",
        ("forward_curve",),
        exchange_forward_within_parity,
    ),
    Check(
        "put_call_parity",
        "Bid and ask of call and put leave room for the forward at every strike.",
        ("quotes_clean", "forward_curve"),
        put_call_parity,
    ),
)
