"""Ranks and labels, realised volatility, and sums over positions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vol_platform.quant import black76, portfolio, realised, regimes
from vol_platform.quant.errors import QuantError
from vol_platform.quant.greeks import coin_greeks, greeks
from vol_platform.quant.regimes import Regime

SECONDS_PER_YEAR = 365 * 86_400


def test_ties_count_half_in_a_percentile_rank() -> None:
    assert regimes.percentile_rank([1, 2, 2, 3], 2) == 50.0
    assert regimes.percentile_rank([1, 2, 3, np.nan], 9) == 100.0
    assert math.isnan(regimes.percentile_rank([], 1))
    assert math.isnan(regimes.percentile_rank([1.0], math.nan))


def test_the_rank_between_extremes_is_clipped() -> None:
    assert regimes.iv_rank([0.2, 0.6], 0.8) == 100.0
    assert regimes.iv_rank([0.2, 0.6], 0.3) == 25.0
    assert math.isnan(regimes.iv_rank([0.3, 0.3], 0.3))
    assert math.isnan(regimes.iv_rank([np.nan], 0.3))


def test_rolling_ranks_wait_for_history_and_look_only_back() -> None:
    days = np.arange(0.0, 100.0)
    rising = regimes.rolling_rank(days, days, window_days=40, minimum_days=30)
    assert np.isnan(rising[:30]).all()
    assert np.all(rising[30:] > 98.0)
    changed = days.copy()
    changed[60:] = -1.0
    assert np.array_equal(
        regimes.rolling_rank(days, changed, 40, 30)[:60], rising[:60], equal_nan=True
    )
    holes = days.copy()
    holes[50] = np.nan
    assert np.isnan(regimes.rolling_rank(days, holes, 40, 30)[50])
    assert np.isnan(regimes.rolling_rank(days, np.full(100, np.nan))).all()


def test_a_value_trembling_on_the_border_does_not_flip_the_label() -> None:
    labels = regimes.classify([50, 79, 81, 79, 81, 84, 79, 81])
    assert set(labels.tolist()) == {Regime.NORMAL}


def test_a_label_changes_after_confirmation_and_is_left_with_hysteresis() -> None:
    ranks = [50, 90, 50, 90, 90, 76, 76, 74, 74, 10, 10, 22, 26, 26]
    names = [Regime(code).name for code in regimes.classify(ranks)]
    assert names == [
        "NORMAL", "NORMAL", "NORMAL", "NORMAL", "HIGH", "HIGH", "HIGH", "HIGH", "NORMAL",
        "NORMAL", "LOW", "LOW", "LOW", "NORMAL",
    ]  # fmt: skip


def test_unknown_ranks_keep_the_label_and_start_unknown() -> None:
    labels = regimes.classify([np.nan, 10.0, np.nan, 10.0])
    assert labels.tolist() == [Regime.UNKNOWN, Regime.LOW, Regime.LOW, Regime.LOW]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: regimes.rolling_rank([1.0, 1.0], [1.0, 2.0]), "must increase"),
        (lambda: regimes.rolling_rank([1.0], [1.0, 2.0]), "equally long"),
        (lambda: regimes.rolling_rank([1.0], [1.0], -3.0), "window_days must be > 0, was -3"),
        (lambda: regimes.classify([1.0], regimes.RegimeRules(low=90.0)), "0 < low < high"),
        (lambda: realised.realised_vol([1.0, 1.0], [1.0, 1.0]), "must increase"),
        (lambda: realised.resample([1.0], [1.0, 2.0], 60.0), "equally long"),
        (lambda: realised.resample([1.0], [1.0], 0.0), "step_seconds must be > 0, was 0"),
        (lambda: realised.rolling_vol([1.0], [1.0], 1.0, 60.0), "window_seconds must be"),
        (lambda: realised.parkinson([1.0, 2.0], [1.0], 60.0), "equally long"),
        (lambda: realised.parkinson([2.0], [1.0], -60.0), "bar_seconds must be > 0, was -60"),
        (lambda: portfolio.scenarios(1, 1, 1, 1, True, [1.0], [-1.0]), "must be > -1"),
    ],
)
def test_impossible_arguments_raise_with_their_value(call, text: str) -> None:
    with pytest.raises(QuantError, match=text):
        call()


def path(seed: int, vol: float, count: int, step_seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw a seeded geometric Brownian path."""
    print("seed", seed)  # noqa: T201 - so that a failure can be repeated
    deviation = vol * math.sqrt(step_seconds / SECONDS_PER_YEAR)
    steps = np.random.default_rng(seed).normal(0.0, deviation, count - 1)
    logs = np.concatenate(([0.0], np.cumsum(steps)))
    return np.arange(count) * step_seconds, 60_000.0 * np.exp(logs)


def test_close_to_close_finds_the_volatility_of_a_path_on_any_sampling() -> None:
    times, prices = path(5, 0.65, 50_000, 60.0)
    assert realised.realised_vol(times, prices) == pytest.approx(0.65, rel=0.02)
    assert realised.realised_vol(times, prices, 300.0) == pytest.approx(0.65, rel=0.04)
    keep = np.sort(np.random.default_rng(6).choice(50_000, 30_000, replace=False))
    assert realised.realised_vol(times[keep], prices[keep]) == pytest.approx(0.65, rel=0.03)


def test_bad_prices_are_left_out_and_too_few_give_nan() -> None:
    times, prices = path(7, 0.5, 100, 60.0)
    broken = prices.copy()
    broken[[10, 20]] = [np.nan, -1.0]
    good = np.delete(np.arange(100), [10, 20])
    assert realised.realised_vol(times, broken) == realised.realised_vol(times[good], prices[good])
    assert math.isnan(realised.realised_vol([], []))
    assert math.isnan(realised.realised_vol([1.0], [100.0]))
    assert math.isnan(realised.parkinson([], [], 60.0))
    assert math.isnan(realised.garman_klass([], [], [], [], 60.0))
    assert math.isnan(realised.rogers_satchell([], [], [], [], 60.0))
    assert math.isnan(realised.yang_zhang([1.0], [1.0], [1.0], [1.0], 60.0))


def test_resampling_takes_the_newest_price_at_or_before_the_grid() -> None:
    times, prices = realised.resample([5.0, 59.0, 61.0, 130.0], [1.0, 2.0, 3.0, 4.0], 60.0)
    assert times.tolist() == [60.0, 120.0]
    assert prices.tolist() == [2.0, 3.0]
    assert realised.resample([], [], 60.0)[0].size == 0


def test_a_rolling_window_equals_the_estimate_of_its_window() -> None:
    times, prices = path(9, 0.8, 500, 60.0)
    grid, vols = realised.rolling_vol(times, prices, 3_600.0, 60.0)
    assert np.isnan(vols[:48]).all()
    at = 321
    assert vols[at] == pytest.approx(
        realised.realised_vol(grid[at - 60 : at + 1], prices[at - 60 : at + 1])
    )
    assert realised.rolling_vol([], [], 3_600.0, 60.0)[1].size == 0


def test_bar_estimators_find_the_volatility_and_range_ones_with_less_noise() -> None:
    times, prices = path(12, 0.6, 60 * 24 * 40 * 4 + 1, 15.0)
    bars = prices[:-1].reshape(-1, 240 * 4)
    seconds = float(times[1] - times[0]) * bars.shape[1]
    open_, close = bars[:, 0], bars[:, -1]
    high, low = bars.max(axis=1), bars.min(axis=1)
    for estimate in (
        realised.parkinson(high, low, seconds),
        realised.garman_klass(open_, high, low, close, seconds),
        realised.rogers_satchell(open_, high, low, close, seconds),
        realised.yang_zhang(open_, high, low, close, seconds),
    ):
        assert estimate == pytest.approx(0.6, rel=0.08)


BOOK = {
    "forward": np.array([60_000.0, 60_000.0, 61_000.0]),
    "strike": np.array([55_000.0, 65_000.0, 70_000.0]),
    "expiry_years": np.array([0.1, 0.1, 0.3]),
    "vol": np.array([0.6, 0.55, 0.6]),
    "is_call": np.array([False, True, True]),
}


def test_sums_over_positions_and_groups_agree() -> None:
    quantity = np.array([2.0, -1.0, 3.0])
    usd = greeks(**BOOK)
    total = portfolio.aggregate(usd, quantity)
    assert float(total.vega) == pytest.approx(float(usd.vega @ quantity))
    groups, sums = portfolio.aggregate_by(usd, quantity, BOOK["expiry_years"])
    assert groups.tolist() == [0.1, 0.3]
    assert sums.gamma.sum() == pytest.approx(float(total.gamma))
    assert sums.delta[1] == pytest.approx(3.0 * usd.delta[2])
    coin = portfolio.aggregate(coin_greeks(**BOOK), quantity)
    assert float(coin.delta_coin) == pytest.approx(coin_greeks(**BOOK).delta_coin @ quantity)


def test_an_option_that_is_not_held_cannot_spoil_the_sum_and_one_that_is_does() -> None:
    book = dict(BOOK, vol=np.array([0.6, np.nan, 0.6]))
    usd = greeks(**book)
    assert np.isfinite(portfolio.aggregate(usd, [1.0, 0.0, 1.0]).vega)
    assert np.isnan(portfolio.aggregate(usd, [1.0, 1.0, 1.0]).vega)
    _, sums = portfolio.aggregate_by(usd, [1.0, 1.0, 1.0], ["near", "near", "far"])
    assert np.isnan(sums.vega).tolist() == [False, True]


def test_positions_must_match_the_options() -> None:
    usd = greeks(**BOOK)
    with pytest.raises(QuantError, match="one number per option"):
        portfolio.aggregate(usd, [1.0, 2.0])
    with pytest.raises(QuantError, match="one label per option"):
        portfolio.aggregate_by(usd, [1.0, 2.0, 3.0], ["a"])
    with pytest.raises(QuantError, match="one number per option"):
        portfolio.scenarios(**BOOK, quantity=[1.0, 1.0])


def test_scenarios_revalue_the_whole_book() -> None:
    quantity = np.array([1.0, -2.0, 0.5])
    grid = portfolio.scenarios(
        **BOOK, quantity=quantity, forward_moves=[-0.1, 0.0], vol_moves=[0.0, 0.05, -9]
    )
    base = black76.price(**BOOK) @ quantity
    assert grid.value == pytest.approx(base)
    assert grid.profit.shape == (2, 3)
    assert grid.profit[1, 0] == 0.0
    moved = dict(BOOK, forward=BOOK["forward"] * 0.9, vol=BOOK["vol"] + 0.05)
    assert grid.profit[0, 1] == pytest.approx(black76.price(**moved) @ quantity - base)
    calm = dict(BOOK, vol=np.zeros(3))
    assert grid.profit[1, 2] == pytest.approx(black76.price(**calm) @ quantity - base)
