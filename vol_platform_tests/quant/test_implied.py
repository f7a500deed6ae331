"""Implied volatility: accuracy, round trips, statuses, and agreement with Newton and Brent."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import ndtr

from vol_platform.quant import black76, implied
from vol_platform.quant.errors import QuantError
from vol_platform.quant.implied import ImpliedVolStatus
from vol_platform_tests.quant import reference

UNIT = 2.0**-53


@pytest.fixture(scope="module")
def grid() -> reference.Grid:
    return reference.hard_grid()


def information_limit(grid: reference.Grid) -> np.ndarray:
    """Relative volatility error that rounding the price and the volatility already causes."""
    return UNIT * (grid.price / (grid.vega * grid.vol) + 1.0)


def newton_vol(price: float, forward: float, strike: float, years: float, is_call: bool) -> float:
    """Textbook Newton on the price: the cross-check, independent of every kernel."""
    root = math.sqrt(years)
    sign = 1.0 if is_call else -1.0
    vol = math.sqrt(2.0 * abs(math.log(forward / strike)) / years) or 0.5
    for _ in range(200):
        d1 = math.log(forward / strike) / (vol * root) + 0.5 * vol * root
        value = sign * (forward * ndtr(sign * d1) - strike * ndtr(sign * (d1 - vol * root)))
        vega = forward * math.exp(-0.5 * d1 * d1) / math.sqrt(2 * math.pi) * root
        step = (value - price) / vega
        vol -= step
        if abs(step) < 1e-14 * vol:
            break
    return vol


def test_the_hard_grid_is_solved_to_1e_14_without_a_failure(grid: reference.Grid) -> None:
    vol, status = implied.implied_vol_with_status(
        grid.price, grid.forward, grid.strike, grid.expiry_years, grid.is_call
    )
    assert np.all(status == ImpliedVolStatus.OK)
    error = np.abs(vol / grid.vol - 1.0)
    limit = information_limit(grid)
    # where the price itself holds less than 1e-15 of volatility the limit is the yardstick
    assert np.all(error <= np.maximum(1e-14, 6.0 * limit))
    assert np.all(error <= 12.0 * limit)
    assert np.max(error[limit < 1e-15]) < 5e-15


def test_options_of_one_hour_next_to_the_money_keep_full_accuracy() -> None:
    forward, years, vol = 61_803.39, 1 / 8760, 0.6
    strikes = forward + np.array([-25.0, -1.0, -0.01, 0.01, 1.0, 25.0])
    for strike in strikes:
        is_call = bool(strike > forward)
        exact = reference.price(forward, strike, years, vol, is_call)
        ours = float(implied.implied_vol(float(exact), forward, strike, years, is_call))
        assert abs(ours / vol - 1.0) < 3e-15


@pytest.mark.parametrize("score", [15.0, 20.0, 30.0, 36.0])
def test_prices_down_to_the_smallest_floats_are_inverted(score: float) -> None:
    strike = math.exp(score * 0.2)
    exact = reference.price(1.0, strike, 1.0, 0.2, is_call=True)
    assert exact > mp.mpf("1e-300")
    ours = float(implied.implied_vol(float(exact), 1.0, strike, 1.0, True))
    assert ours == pytest.approx(0.2, rel=1e-14)


@pytest.mark.parametrize("x", [0.0, 1e-14, 1e-9, 1e-4, 0.1, 1.0, 5.0, 16.0])
def test_jaeckels_extremes_are_solved_to_the_last_attainable_digit(x: float) -> None:
    """Normalised as in "Let's be rational" (2013): x = ln(K/F), s = sigma sqrt(T)."""
    strike, judged = float(mp.exp(mp.mpf(x))), 0
    for s in (1e-7, 1e-4, 0.01, 0.3, 1.0, 3.0, 7.0, 20.0):
        price = float(reference.price(1.0, strike, 1.0, s, is_call=True))
        d1 = -mp.log(mp.mpf(strike)) / s + mp.mpf(s) / 2
        vega = float(reference.normal_density(d1))
        if price < 1e-300 or price == 1.0 or vega < 1e-300:
            continue  # no double holds this price, or none holds its volatility
        ours = float(implied.implied_vol(price, 1.0, strike, 1.0, True))
        assert abs(ours - s) <= 12 * UNIT * (price / vega + s), f"x {x}, s {s}"
        judged += 1
    assert judged >= 3


@pytest.mark.parametrize("vol", [3.0, 5.0, 8.0, 12.0])
@pytest.mark.parametrize("score", [-2.0, -0.3, 0.0, 0.3, 2.0])
def test_prices_close_to_their_maximum_are_inverted(vol: float, score: float) -> None:
    strike = math.exp(score)
    is_call = score >= 0
    exact = reference.price(1.0, strike, 1.0, vol, is_call)
    price = float(exact)
    s = mp.mpf(vol)
    d1 = mp.log(1 / mp.mpf(strike)) / s + s / 2
    vega = float(reference.normal_density(d1))
    ours = float(implied.implied_vol(price, 1.0, strike, 1.0, is_call))
    assert abs(ours - vol) <= 12 * UNIT * (price / vega + vol)


def test_newton_and_brent_find_the_same_volatilities() -> None:
    generator = np.random.default_rng(11)
    for _ in range(200):
        forward = generator.uniform(2e4, 1e5)
        years = generator.choice([1, 7, 30, 90, 365]) / 365
        vol = generator.uniform(0.2, 1.5)
        strike = forward * math.exp(generator.uniform(-2, 2) * vol * math.sqrt(years))
        is_call = bool(strike > forward)
        price = float(black76.price(forward, strike, years, vol, is_call))
        ours = float(implied.implied_vol(price, forward, strike, years, is_call))
        newton = newton_vol(price, forward, strike, years, is_call)
        brent = brentq(
            lambda v, f=forward, k=strike, t=years, c=is_call, p=price: (
                float(black76.price(f, k, t, v, c)) - p
            ),
            1e-3, 10.0, xtol=1e-14, rtol=1e-14,
        )  # fmt: skip
        assert ours == pytest.approx(newton, rel=1e-10)
        assert ours == pytest.approx(brent, rel=1e-10)


@given(
    st.floats(1e-2, 1e6), st.floats(-8.0, 8.0), st.floats(1e-4, 3.0), st.floats(0.02, 4.0),
    st.booleans(),
)  # fmt: skip
def test_a_price_gives_back_its_volatility(
    forward: float, score: float, years: float, vol: float, is_call: bool
) -> None:
    strike = forward * math.exp(score * vol * math.sqrt(years))
    price = float(black76.price(forward, strike, years, vol, is_call))
    s = vol * math.sqrt(years)
    d1 = math.log(forward / strike) / s + s / 2
    vega = forward * math.exp(-0.5 * d1 * d1) / math.sqrt(2 * math.pi) * math.sqrt(years)
    allowed = 16 * UNIT * (price / vega + vol) if vega > 0.0 else math.inf
    ours, status = implied.implied_vol_with_status(price, forward, strike, years, is_call)
    if status != ImpliedVolStatus.OK:
        # an in-the-money price can lose its whole time value to rounding: it must say so
        assert np.isnan(ours)
        assert status in (ImpliedVolStatus.AT_INTRINSIC, ImpliedVolStatus.ABOVE_MAXIMUM)
        assert allowed > 0.01 * vol
    else:
        # far inside the money the attainable error itself is large; the bound follows it
        assert abs(float(ours) - vol) <= max(allowed, 0.0) * (1 + 100 * (allowed > 1e-3 * vol))


@given(st.floats(1e3, 1e6), st.floats(-3.0, 3.0), st.floats(1e-3, 2.0), st.floats(0.1, 3.0))
def test_a_dearer_option_has_a_higher_volatility(
    forward: float, score: float, years: float, vol: float
) -> None:
    strike = forward * math.exp(score * vol * math.sqrt(years))
    is_call = strike > forward
    price = float(black76.price(forward, strike, years, vol, is_call))
    prices = price * np.array([0.9, 0.95, 1.0, 1.02, 1.05])
    vols = implied.implied_vol(prices, forward, strike, years, is_call)
    known = vols[np.isfinite(vols)]
    assert np.all(np.diff(known) > 0.0)


def test_coin_prices_give_the_same_volatilities(grid: reference.Grid) -> None:
    chosen = slice(None, None, 5)
    coin = grid.price[chosen] / grid.forward[chosen]
    vol = implied.implied_vol_coin(
        coin, grid.forward[chosen], grid.strike[chosen], grid.expiry_years[chosen],
        grid.is_call[chosen],
    )  # fmt: skip
    limit = information_limit(grid)[chosen]
    assert np.all(np.abs(vol / grid.vol[chosen] - 1.0) <= np.maximum(1e-14, 8.0 * limit))
    _, status = implied.implied_vol_coin_with_status([0.02, -0.1, 1.0], 100.0, 110.0, 0.1, True)
    assert status.tolist() == [
        ImpliedVolStatus.OK, ImpliedVolStatus.BELOW_INTRINSIC, ImpliedVolStatus.ABOVE_MAXIMUM,
    ]  # fmt: skip


GOOD = {"price": 5.0, "forward": 100.0, "strike": 90.0, "expiry_years": 0.5, "is_call": False}
BAD = [
    ({"price": math.nan}, ImpliedVolStatus.NON_FINITE),
    ({"price": math.inf}, ImpliedVolStatus.NON_FINITE),
    ({"price": -math.inf}, ImpliedVolStatus.NON_FINITE),
    ({"forward": math.nan}, ImpliedVolStatus.NON_FINITE),
    ({"strike": math.inf}, ImpliedVolStatus.NON_FINITE),
    ({"expiry_years": math.inf}, ImpliedVolStatus.NON_FINITE),
    ({"forward": 0.0}, ImpliedVolStatus.NON_POSITIVE_FORWARD),
    ({"forward": -1.0}, ImpliedVolStatus.NON_POSITIVE_FORWARD),
    ({"strike": 0.0}, ImpliedVolStatus.NON_POSITIVE_STRIKE),
    ({"strike": -3.0}, ImpliedVolStatus.NON_POSITIVE_STRIKE),
    ({"expiry_years": 0.0}, ImpliedVolStatus.NON_POSITIVE_TIME),
    ({"expiry_years": -0.1}, ImpliedVolStatus.NON_POSITIVE_TIME),
    ({"price": -0.01}, ImpliedVolStatus.BELOW_INTRINSIC),
    ({"price": 9.99, "is_call": True}, ImpliedVolStatus.BELOW_INTRINSIC),
    ({"price": 0.0}, ImpliedVolStatus.AT_INTRINSIC),
    ({"price": 10.0, "is_call": True}, ImpliedVolStatus.AT_INTRINSIC),
    ({"price": 90.0}, ImpliedVolStatus.ABOVE_MAXIMUM),
    ({"price": 91.0}, ImpliedVolStatus.ABOVE_MAXIMUM),
    ({"price": 100.0, "is_call": True}, ImpliedVolStatus.ABOVE_MAXIMUM),
]


@pytest.mark.parametrize(("bad", "status"), BAD)
@pytest.mark.parametrize("at", [0, 7, 63])
def test_a_bad_row_is_nan_with_its_reason_and_leaves_its_neighbours_alone(
    bad: dict[str, float], status: ImpliedVolStatus, at: int
) -> None:
    columns = {name: np.full(64, value) for name, value in GOOD.items()}
    expected = float(implied.implied_vol(**GOOD))
    for name, value in bad.items():
        columns[name][at] = value
    vols, statuses = implied.implied_vol_with_status(**columns)
    assert np.isnan(vols[at])
    assert statuses[at] == status
    assert np.array_equal(np.delete(vols, at), np.full(63, expected))
    assert np.all(np.delete(statuses, at) == ImpliedVolStatus.OK)
    assert np.array_equal(vols, implied.implied_vol(**columns), equal_nan=True)


def test_a_slow_row_between_fast_ones_changes_neither() -> None:
    forward, years = 100.0, np.full(5, 1.0)
    vols = np.array([0.5, 9.0, 0.6, 0.01, 0.7])
    strikes = np.array([110.0, 120.0, 90.0, 130.0, 105.0])
    flags = strikes > forward
    prices = black76.price(forward, strikes, years, vols, flags)
    together = implied.implied_vol(prices, forward, strikes, years, flags)
    alone = [
        float(implied.implied_vol(p, forward, k, 1.0, bool(c)))
        for p, k, c in zip(prices, strikes, flags, strict=True)
    ]
    assert together.tolist() == alone
    assert np.isfinite(together[[0, 1, 2, 4]]).all()


def test_random_garbage_never_raises_and_never_gives_a_negative_volatility() -> None:
    seed = 20261122
    print("seed", seed)  # noqa: T201 - so that a failure can be repeated
    generator = np.random.default_rng(seed)
    pool = np.array(
        [0.0, -0.0, 1.0, -1.0, 1e-320, 1e308, -1e308, 1e-308, np.nan, np.inf, -np.inf, 100.0, 99.0]
    )
    for _ in range(50):
        columns = generator.choice(pool, size=(4, 257))
        vols, statuses = implied.implied_vol_with_status(*columns, generator.random(257) < 0.5)
        solved = statuses == ImpliedVolStatus.OK
        assert np.array_equal(solved, np.isfinite(vols))
        assert np.all(vols[solved] >= 0.0)


def test_bad_arguments_raise_with_their_value() -> None:
    with pytest.raises(QuantError, match="price must be a number or an array of numbers, was 'x'"):
        implied.implied_vol("x", 1.0, 1.0, 1.0, True)
    with pytest.raises(QuantError, match="shapes must broadcast"):
        implied.implied_vol_with_status(np.ones(2), np.ones(3), 1.0, 1.0, True)
