"""Black-76 prices: exact values, no-arbitrage bounds, limits, bad cells and shapes."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
import QuantLib
from hypothesis import given, settings
from hypothesis import strategies as st

from vol_platform.quant import black76
from vol_platform.quant.errors import QuantError
from vol_platform_tests.quant import reference

UNIT = 2.0**-53
forwards = st.floats(1e-2, 1e6)
scores = st.floats(-6.0, 6.0)
times = st.floats(1e-4, 3.0)
vols = st.floats(0.02, 4.0)


@pytest.fixture(scope="module")
def grid() -> reference.Grid:
    return reference.hard_grid()


def strike_at(forward: float, score: float, years: float, vol: float) -> float:
    return forward * math.exp(score * vol * math.sqrt(years))


def test_prices_agree_with_60_digit_values_into_the_deepest_wings(grid: reference.Grid) -> None:
    ours = black76.price(grid.forward, grid.strike, grid.expiry_years, grid.vol, grid.is_call)
    total_vol = grid.vol * np.sqrt(grid.expiry_years)
    score = np.log(grid.strike / grid.forward) / total_vol
    # a relative error u in vol or moneyness moves a price by (1 + score**2) u: the yardstick
    allowed = UNIT * (20.0 + 5.0 * score**2)
    assert np.all(np.abs(ours / grid.price - 1.0) < allowed)


def test_prices_agree_with_quantlib(grid: reference.Grid) -> None:
    chosen = np.flatnonzero(np.abs(grid.price) > 1e-3)[::7]
    for at in chosen:
        kind = QuantLib.Option.Call if grid.is_call[at] else QuantLib.Option.Put
        deviation = float(grid.vol[at] * math.sqrt(grid.expiry_years[at]))
        theirs = QuantLib.blackFormula(
            kind, float(grid.strike[at]), float(grid.forward[at]), deviation
        )
        ours = float(
            black76.price(
                grid.forward[at], grid.strike[at], grid.expiry_years[at], grid.vol[at],
                bool(grid.is_call[at]),
            )
        )  # fmt: skip
        # QuantLib subtracts two large terms, so only its absolute accuracy can be asked for
        assert ours == pytest.approx(theirs, abs=1e-10 * float(grid.forward[at]))


@given(forwards, scores, times, vols)
def test_put_call_parity_holds(forward: float, score: float, years: float, vol: float) -> None:
    strike = strike_at(forward, score, years, vol)
    call = float(black76.price(forward, strike, years, vol, True))
    put = float(black76.price(forward, strike, years, vol, False))
    assert call - put == pytest.approx(forward - strike, abs=8 * UNIT * (forward + strike))


@given(forwards, scores, times, vols, st.booleans())
def test_prices_stay_between_intrinsic_value_and_their_maximum(
    forward: float, score: float, years: float, vol: float, is_call: bool
) -> None:
    strike = strike_at(forward, score, years, vol)
    value = float(black76.price(forward, strike, years, vol, is_call))
    sign = 1.0 if is_call else -1.0
    assert max(sign * (forward - strike), 0.0) <= value <= (forward if is_call else strike)


@given(forwards, scores, times, vols, st.booleans(), st.floats(0.01, 100.0))
def test_prices_scale_with_forward_and_strike(
    forward: float, score: float, years: float, vol: float, is_call: bool, factor: float
) -> None:
    strike = strike_at(forward, score, years, vol)
    value = float(black76.price(forward, strike, years, vol, is_call))
    scaled = float(black76.price(factor * forward, factor * strike, years, vol, is_call))
    # rounding the two products moves the moneyness by an ulp, the price by ulp × delta × forward
    assert scaled == pytest.approx(factor * value, rel=1e-12, abs=4 * UNIT * factor * forward)


@given(forwards, scores, times, vols, st.booleans(), st.floats(1e-3, 1.0))
def test_prices_rise_with_volatility_and_with_time(
    forward: float, score: float, years: float, vol: float, is_call: bool, more: float
) -> None:
    strike = strike_at(forward, score, years, vol)
    value = float(black76.price(forward, strike, years, vol, is_call))
    slack = 1.0 + 1e-13
    assert float(black76.price(forward, strike, years, vol * (1 + more), is_call)) * slack >= value
    assert float(black76.price(forward, strike, years * (1 + more), vol, is_call)) * slack >= value


@given(forwards, times, vols)
@settings(max_examples=50)
def test_calls_fall_and_bend_upwards_in_strike(forward: float, years: float, vol: float) -> None:
    strikes = forward * np.exp(np.linspace(-3, 3, 61) * vol * math.sqrt(years))
    values = black76.price(forward, strikes, years, vol, True)
    slopes = np.diff(values) / np.diff(strikes)
    assert np.all(slopes <= 1e-9)
    assert np.all(slopes >= -1.0 - 1e-9)
    assert np.all(np.diff(slopes) >= -1e-7)


@pytest.mark.parametrize("is_call", [True, False])
@pytest.mark.parametrize(("years", "vol"), [(0.0, 0.5), (0.5, 0.0), (0.0, 0.0)])
def test_no_time_or_no_volatility_leaves_the_intrinsic_value(
    is_call: bool, years: float, vol: float
) -> None:
    strikes = np.array([50.0, 100.0, 150.0])
    sign = 1.0 if is_call else -1.0
    expected = np.maximum(sign * (100.0 - strikes), 0.0)
    assert np.array_equal(black76.price(100.0, strikes, years, vol, is_call), expected)


def test_an_endless_volatility_reaches_the_maximum() -> None:
    assert float(black76.price(100.0, 120.0, 100.0, 1000.0, True)) == 100.0
    assert float(black76.price(100.0, 120.0, 100.0, 1000.0, False)) == 120.0


def test_jaeckels_extreme_wings_are_positive_and_right() -> None:
    for score in (20.0, 30.0, 37.0):
        exact = reference.price(1.0, math.exp(score * 0.1), 1.0, 0.1, is_call=True)
        ours = float(black76.price(1.0, math.exp(score * 0.1), 1.0, 0.1, True))
        assert abs(float((mp.mpf(ours) - exact) / exact)) < UNIT * (20 + 5 * score**2)


def test_coin_prices_are_usd_prices_over_the_forward() -> None:
    strikes = np.linspace(30_000, 120_000, 37)
    usd = black76.price(60_000.0, strikes, 0.2, 0.7, True)
    coin = black76.price_coin(60_000.0, strikes, 0.2, 0.7, True)
    assert np.max(np.abs(coin * 60_000.0 / usd - 1.0)) <= 4 * UNIT


@pytest.mark.parametrize(
    "bad",
    [
        {"forward": -1.0}, {"forward": 0.0}, {"strike": 0.0}, {"strike": -5.0},
        {"expiry_years": -0.1}, {"vol": -0.1}, {"forward": math.nan}, {"strike": math.nan},
        {"expiry_years": math.nan}, {"vol": math.nan}, {"forward": math.inf},
        {"strike": math.inf}, {"expiry_years": math.inf}, {"vol": math.inf},
    ],
)  # fmt: skip
def test_a_bad_cell_is_nan_and_leaves_its_neighbours_alone(bad: dict[str, float]) -> None:
    good = {"forward": 100.0, "strike": 110.0, "expiry_years": 0.5, "vol": 0.6}
    columns = {name: np.full(11, value) for name, value in good.items()}
    for name, value in bad.items():
        columns[name][5] = value
    result = black76.price(**columns, is_call=True)
    expected = float(black76.price(**good, is_call=True))
    assert np.isnan(result[5])
    assert np.array_equal(np.delete(result, 5), np.full(10, expected))


def test_arguments_broadcast_like_numpy() -> None:
    strikes = np.array([90.0, 100.0, 110.0])
    times_column = np.array([[0.1], [0.5]])
    table = black76.price(100.0, strikes, times_column, 0.5, True)
    assert table.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            one = black76.price(100.0, strikes[j], times_column[i, 0], 0.5, True)
            assert one.shape == ()
            assert table[i, j] == one
    assert black76.price(np.empty(0), 1.0, 1.0, 1.0, True).shape == (0,)


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 127, 128, 129, 1000])
def test_every_batch_size_gives_what_single_calls_give(size: int) -> None:
    generator = np.random.default_rng(size)
    strikes = generator.uniform(50, 200, size)
    flags = generator.random(size) < 0.5
    batch = black76.price(100.0, strikes, 0.3, 0.8, flags)
    single = [
        float(black76.price(100.0, strike, 0.3, 0.8, bool(flag)))
        for strike, flag in zip(strikes, flags, strict=True)
    ]
    assert batch.tolist() == single


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a[::2], lambda a: a[::-1], np.asfortranarray, lambda a: a.astype(np.float32),
        list, lambda a: a.astype(object),
    ],
)  # fmt: skip
def test_strided_reversed_single_precision_and_lists_are_read_correctly(make) -> None:
    strikes = make(np.linspace(50.0, 200.0, 16))
    dense = np.array([float(x) for x in strikes])
    expected = black76.price(100.0, dense, 0.3, 0.8, True)
    assert np.array_equal(black76.price(100.0, strikes, 0.3, 0.8, True), expected)


def test_read_only_arrays_are_accepted_and_inputs_never_change() -> None:
    strikes = np.linspace(50.0, 200.0, 16)
    strikes.setflags(write=False)
    copy = strikes.copy()
    black76.price(100.0, strikes, 0.3, 0.8, np.ones(16, dtype=bool))
    assert np.array_equal(strikes, copy)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("abc", 1.0, 1.0, 1.0, True), "forward must be a number"),
        ((1.0, [[1.0], [1.0, 2.0]], 1.0, 1.0, True), "strike must be a number"),
        ((np.ones(3), np.ones(4), 1.0, 1.0, True), r"forward \(3,\), strike \(4,\)"),
        ((1.0, 1.0, 1.0, 1.0, "call"), "is_call must be True"),
        ((1.0, 1.0, 1.0, 1.0, 2), "is_call must be True"),
    ],
)
def test_a_bad_argument_raises_with_its_value(arguments, text: str) -> None:
    with pytest.raises(QuantError, match=text):
        black76.price(*arguments)
