"""Every quote rule gives its verdict and its reason."""

import math

import numpy as np
import pytest

from vol_platform.quant import cleaning
from vol_platform.quant.cleaning import QuoteRules

NAN = math.nan
MONTH = 30 / 365


@pytest.mark.parametrize(
    ("bid", "ask", "tick", "age", "years", "usage", "reason"),
    [
        (0.010, 0.011, 0.0005, 1.0, MONTH, "two_sided", ""),
        (NAN, NAN, 0.0005, 1.0, MONTH, "rejected", "no_quote"),
        (0.0, 0.0, 0.0005, 1.0, MONTH, "rejected", "no_quote"),
        (0.011, 0.010, 0.0005, 1.0, MONTH, "rejected", "crossed"),
        (0.010, 0.010, 0.0005, 1.0, MONTH, "rejected", "locked"),
        (0.010, 0.011, 0.0005, 61.0, MONTH, "rejected", "stale"),
        (0.010, 0.011, 0.0005, NAN, MONTH, "rejected", "stale"),
        (0.010, 0.011, 0.0005, 1.0, 1700 / 31_536_000, "rejected", "settlement"),
        (0.010, 0.011, 0.0005, 1.0, -0.1, "rejected", "settlement"),
        (0.010, 0.011, 0.0005, 1.0, NAN, "rejected", "unknown_time"),
        (NAN, 0.011, 0.0005, 1.0, MONTH, "bound", "no_bid"),
        (0.010, NAN, 0.0005, 1.0, MONTH, "bound", "no_ask"),
        (0.0004, 0.001, 0.0005, 1.0, MONTH, "bound", "small_bid"),
        (0.001, 0.0061, 0.0005, 1.0, MONTH, "bound", "wide"),
        (0.001, 0.006, 0.0005, 1.0, MONTH, "two_sided", ""),
        (0.010, 0.011, NAN, 1.0, MONTH, "two_sided", ""),
    ],
)
def test_each_rule_gives_its_verdict_and_its_reason(
    bid: float, ask: float, tick: float, age: float, years: float, usage: str, reason: str
) -> None:
    result = cleaning.classify([bid], [ask], [tick], [age], [years])
    assert (result.usage[0], result.reason[0]) == (usage, reason)
    assert bool(result.detail[0]) == bool(reason)


def test_the_retained_share_counts_quotes_with_both_sides_only() -> None:
    result = cleaning.classify(
        [0.01, 0.001, NAN, NAN], [0.011, 0.02, 0.01, NAN], 0.0005, 1.0, MONTH
    )
    assert result.retained_share == pytest.approx(0.5)
    assert math.isnan(cleaning.classify([NAN], [NAN], 0.0005, 1.0, MONTH).retained_share)


def test_limits_can_be_set() -> None:
    rules = QuoteRules(minimum_bid_ticks=2.0, maximum_age_seconds=5.0)
    result = cleaning.classify([0.0005, 0.01], [0.001, 0.011], 0.0005, [1.0, 6.0], MONTH, rules)
    assert result.reason.tolist() == ["small_bid", "stale"]


def test_a_scalar_tick_and_age_broadcast_over_the_quotes() -> None:
    result = cleaning.classify(np.array([0.01, 0.02]), np.array([0.011, 0.021]), 0.0005, 1.0, 0.1)
    assert result.usage.tolist() == ["two_sided", "two_sided"]
