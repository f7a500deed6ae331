"""Parity intervals, torn quotes, priors and synthetic forwards."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vol_platform.quant import black76, forwards
from vol_platform.quant.errors import QuantError

F, T = 70_000.0, 30 / 365
STRIKES = np.arange(50_000.0, 92_000.0, 2_000.0)


def quoted(forward: float, half_spread: float, *, is_inverse: bool = True) -> list[np.ndarray]:
    """Call bid, call ask, put bid, put ask around the prices of a flat smile."""
    sides = []
    for is_call in (True, False):
        price = black76.price(forward, STRIKES, T, 0.5, is_call)
        price = price / forward if is_inverse else price
        sides += [price - half_spread, price + half_spread]
    return sides


def test_every_interval_contains_the_true_forward_of_inverse_and_linear_contracts() -> None:
    for is_inverse, half in ((True, 0.0005), (False, 35.0)):
        sides = quoted(F, half, is_inverse=is_inverse)
        lower, upper = forwards.parity_intervals(STRIKES, *sides, is_inverse=is_inverse)
        known = np.isfinite(lower) & np.isfinite(upper)
        assert known.sum() > 10
        assert (lower[known] <= F).all()
        assert (upper[known] >= F).all()


def test_a_tight_board_gives_the_forward_without_any_prior() -> None:
    estimate = forwards.implied_forward(STRIKES, *quoted(F, 1e-7))
    assert estimate.forward == pytest.approx(F, rel=1e-6)
    assert estimate.source == "parity"
    assert estimate.status == "ok"
    assert estimate.uncertainty_basis_points < 0.01


def test_a_prior_inside_the_interval_is_kept_to_the_last_bit() -> None:
    prior = F * (1 + 2e-5)
    estimate = forwards.implied_forward(STRIKES, *quoted(F, 0.0005), prior=prior)
    assert estimate.forward == prior
    assert estimate.source == "exchange"
    assert estimate.lower <= prior <= estimate.upper


def test_a_prior_outside_is_moved_to_the_interval_and_raises_an_alarm_that_says_by_how_much() -> (
    None
):
    estimate = forwards.implied_forward(STRIKES, *quoted(F, 0.0005), prior=F * 1.02)
    assert estimate.status == "alarm"
    assert estimate.source == "parity"
    assert estimate.forward == estimate.upper
    assert "basis points outside" in estimate.reason


def test_one_torn_pair_does_not_move_the_forward() -> None:
    sides = quoted(F, 0.0005)
    clean = forwards.implied_forward(STRIKES, *sides)
    for side in sides[:2]:
        side[7] *= 1.3  # a call that the market has long left
    torn = forwards.implied_forward(STRIKES, *sides)
    assert torn.forward == pytest.approx(clean.forward, rel=2e-4)
    assert torn.pairs < clean.pairs
    assert torn.status == "ok"


def test_a_board_torn_in_half_says_so() -> None:
    sides = quoted(F, 1e-5)
    moved = quoted(F * 1.01, 1e-5)
    mixed = [np.where(np.arange(STRIKES.size) % 2, a, b) for a, b in zip(sides, moved, strict=True)]
    estimate = forwards.implied_forward(STRIKES, *mixed)
    assert estimate.status == "alarm"
    assert "call-put pairs exclude" in estimate.reason


def test_without_pairs_the_prior_stands_and_without_a_prior_nothing_does() -> None:
    empty = np.full(STRIKES.size, np.nan)
    alone = forwards.implied_forward(STRIKES, empty, empty, empty, empty, prior=F)
    assert (alone.forward, alone.source, alone.pairs) == (F, "exchange", 0)
    nothing = forwards.implied_forward(STRIKES, empty, empty, empty, empty)
    assert math.isnan(nothing.forward)
    assert nothing.status == "none"
    assert nothing.reason


def test_a_chain_in_any_order_pairs_its_calls_and_puts_by_strike() -> None:
    c_bid, c_ask, p_bid, p_ask = quoted(F, 0.0003)
    order = np.random.default_rng(3).permutation(2 * STRIKES.size)
    estimate = forwards.implied_forward_of_chain(
        np.tile(STRIKES, 2)[order],
        np.repeat([True, False], STRIKES.size)[order],
        np.concatenate([c_bid, p_bid])[order],
        np.concatenate([c_ask, p_ask])[order],
    )
    of_pairs = forwards.implied_forward(STRIKES, c_bid, c_ask, p_bid, p_ask)
    assert repr(estimate) == repr(of_pairs)  # the absent prior is NaN, which equals nothing


@given(
    st.lists(st.tuples(*[st.floats(-1, 2) | st.just(math.nan)] * 4), min_size=1, max_size=12),
    st.floats(1.0, 1e6) | st.just(math.nan),
)
def test_no_quotes_make_it_raise_and_the_forward_lies_in_its_interval(
    sides: list[tuple[float, float, float, float]], prior: float
) -> None:
    columns = np.array(sides).T
    estimate = forwards.implied_forward(np.linspace(50, 150, len(sides)), *columns, prior=prior)
    assert estimate.status in ("ok", "alarm", "none")
    if estimate.pairs:
        assert estimate.lower <= estimate.forward <= estimate.upper


def test_synthetic_forwards_are_linear_in_time_and_keep_the_basis_beyond_the_last_future() -> None:
    result = forwards.synthetic_forward([0.05, 0.15, 0.2, 0.4], [0.1, 0.2], [101.0, 103.0], 100.0)
    assert result[:3] == pytest.approx([100.5, 102.0, 103.0])
    assert result[3] == pytest.approx(103.0 * (103.0 / 100.0) ** 1.0)
    assert np.isnan(forwards.synthetic_forward([0.1], [], [])).all()
    assert forwards.synthetic_forward([0.1], [], [], spot=90.0) == pytest.approx([90.0])


def test_futures_of_different_length_are_an_error_with_both_counts() -> None:
    with pytest.raises(QuantError, match="were 2 and 1"):
        forwards.synthetic_forward([0.1], [0.1, 0.2], [100.0])


def test_bases_are_logarithmic_for_futures_and_simple_for_the_perpetual() -> None:
    assert forwards.annualised_basis(103.0, 100.0, 0.5) == pytest.approx(math.log(1.03) / 0.5)
    assert forwards.perpetual_basis(100.2, 100.0) == pytest.approx(0.002)
    assert np.isnan(forwards.annualised_basis(-1.0, 100.0, 0.5))
    assert np.isnan(forwards.perpetual_basis(100.0, 0.0))
