"""Which quotes count, and why the others do not."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from vol_platform.derivations.contracts import DerivationContext
from vol_platform.derivations.quotes.checks import bid_not_above_ask, every_row_accounted_for
from vol_platform.derivations.quotes.cleaning import quotes_clean, quotes_rejected, tick_size_at
from vol_platform.quant.cleaning import QuoteRules
from vol_platform_tests.derivations.boards import EXPIRIES, MOMENT, chain

CONTEXT = DerivationContext()
RULES = QuoteRules()


def one_changed(**changes: object) -> dict[str, pl.DataFrame]:
    """Give a board whose first row is changed."""
    board = chain(expiries=EXPIRIES[1:2])
    first = pl.int_range(pl.len()) == 0
    return {
        "chain": board.with_columns(
            pl.when(first).then(pl.lit(value, board.schema[name])).otherwise(name).alias(name)
            for name, value in changes.items()
        )
    }


def rejection(frames: dict[str, pl.DataFrame]) -> tuple[str, str]:
    rejected = quotes_rejected(frames, CONTEXT)
    assert rejected.height == 1
    return rejected["reason"][0], rejected["detail"][0]


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"expiry_ts": None}, "unknown_instrument", "options_metadata"),
        ({"expiry_ts": MOMENT}, "expired", "0 s before"),
        ({"expiry_ts": MOMENT + timedelta(minutes=30)}, "settlement", "1800 s to delivery"),
        ({"underlying_index": "SYN.EXPIRY"}, "settlement", "s to delivery"),
        ({"exchange_ts": None, "age_seconds": None}, "stale", "no update in 60 s"),
        ({"state": "closed"}, "not_open", "state closed"),
        ({"bid_price": None, "ask_price": None}, "no_quote", "neither bid nor ask"),
        ({"bid_price": 0.0, "ask_price": 0.0}, "no_quote", "neither bid nor ask"),
        ({"bid_price": 0.03, "ask_price": 0.02}, "crossed", "above ask"),
        ({"bid_price": 0.02, "ask_price": 0.02}, "locked", "0.02"),
    ],
)
def test_a_quote_that_says_nothing_is_rejected_with_its_reason(
    changes: dict[str, object], reason: str, detail: str
) -> None:
    found, text = rejection(one_changed(**changes))
    assert found == reason
    assert detail in text


@pytest.mark.parametrize(
    "changes",
    [
        {"bid_price": None},
        {"ask_price": None},
        {"bid_price": 0.01, "ask_price": 0.0101 * RULES.maximum_ask_to_bid},
        {
            "bid_price": 0.99e-4 * RULES.minimum_bid_ticks,
            "ask_price": 1e-4 * RULES.minimum_bid_ticks,
            "tick_size": 1e-4,
        },
    ],
)
def test_a_quote_of_which_one_side_speaks_is_a_bound(changes: dict[str, object]) -> None:
    frames = one_changed(**changes)
    clean = quotes_clean(frames, CONTEXT)
    assert clean.height == frames["chain"].height
    assert clean.filter(usage="bound").height == 1


def test_an_empty_state_is_an_open_book_because_boards_do_not_say() -> None:
    assert quotes_rejected(one_changed(state=""), CONTEXT).is_empty()


def test_the_tick_is_that_of_the_step_at_or_below_the_price() -> None:
    prices = [0.0049, 0.005, 0.3]
    board = pl.DataFrame(
        {
            "tick_size": [0.0001] * 3,
            "tick_step_above": [[0.005, 0.2]] * 3,
            "tick_step_size": [[0.0005, 0.001]] * 3,
            "price": prices,
        }
    )
    assert tick_size_at(board, pl.col("price"))["tick_size"].to_list() == [0.0001, 0.0005, 0.001]


def test_every_row_is_clean_or_rejected() -> None:
    frames = one_changed(state="closed")
    frames |= {
        "quotes_clean": quotes_clean(frames, CONTEXT),
        "quotes_rejected": quotes_rejected(frames, CONTEXT),
    }
    outcome = every_row_accounted_for(frames, CONTEXT)
    assert outcome.passed
    assert outcome.numbers["rejected_not_open"] == 1
    lost = every_row_accounted_for(
        frames | {"quotes_clean": frames["quotes_clean"].head(-2)}, CONTEXT
    )
    assert not lost.passed
    assert lost.failed == 2
    assert lost.sample.height == 2
    twice = every_row_accounted_for(
        frames | {"quotes_clean": pl.concat([frames["quotes_clean"]] * 2)}, CONTEXT
    )
    assert not twice.passed


def test_a_crossed_clean_quote_fails_the_check() -> None:
    clean = quotes_clean({"chain": chain(expiries=EXPIRIES[:1])}, CONTEXT)
    assert bid_not_above_ask({"quotes_clean": clean}, CONTEXT).passed
    crossed = clean.with_columns(bid_price=pl.col("ask_price"))
    outcome = bid_not_above_ask({"quotes_clean": crossed}, CONTEXT)
    assert outcome.failed == clean.height
