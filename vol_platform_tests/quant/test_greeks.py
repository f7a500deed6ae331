"""Greeks: 60-digit values, derivatives of the price, QuantLib, limits and coin versions."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
import QuantLib
from hypothesis import given
from hypothesis import strategies as st

from vol_platform.quant import black76
from vol_platform.quant.errors import QuantError
from vol_platform.quant.greeks import Greeks, coin_greeks, greeks, sticky_moneyness_delta
from vol_platform_tests.quant import reference

UNIT = 2.0**-53


@pytest.fixture(scope="module")
def grid() -> reference.Grid:
    return reference.hard_grid(scores=(0.05, 1.3, 4.0, 12.0))


def natural_scale(values: list, forward: float, strike: float, years: float, vol: float) -> list:
    """Size of each greek with d1 and d2 replaced by the sum of their parts.

    A greek such as vanna crosses zero where d2 = ln(F/K)/s - s/2 does; next to that point its error
    can only be measured against what is subtracted.
    """
    s = mp.mpf(vol) * mp.sqrt(mp.mpf(years))
    reach = abs(mp.log(mp.mpf(forward) / mp.mpf(strike))) / s + s / 2
    n = reference.normal_density(mp.log(mp.mpf(forward) / mp.mpf(strike)) / s + s / 2)
    gamma, vega = values[1], values[2]
    product = reach * reach
    scales = [abs(value) for value in values]
    scales[5] = n * reach / vol
    scales[6] = vega * product / vol
    scales[7] = n * reach / (2 * years)
    scales[8] = vega * (1 + product) / (2 * years)
    scales[9] = gamma / forward * (1 + reach / s)
    scales[10] = gamma * (product + 1) / vol
    scales[11] = gamma * (product + 1) / (2 * years)
    scales[12] = vega / vol**2 * (product * (1 + product) + 2 * product)
    return scales


def test_every_greek_is_right_to_1e_13_on_the_hard_grid(grid: reference.Grid) -> None:
    ours = greeks(grid.forward, grid.strike, grid.expiry_years, grid.vol, grid.is_call)
    worst = dict.fromkeys(Greeks._fields, 0.0)
    for at in range(len(grid)):
        row = (grid.forward[at], grid.strike[at], grid.expiry_years[at], grid.vol[at])
        row = tuple(float(x) for x in row)
        exact = reference.greeks(*row, bool(grid.is_call[at]))
        scales = natural_scale(exact, *row)
        for name, value, column, scale in zip(Greeks._fields, exact, ours, scales, strict=True):
            if float(scale) < 1e-290:
                continue
            error = abs(float((mp.mpf(float(column[at])) - value) / scale))
            worst[name] = max(worst[name], error)
    assert max(worst.values()) < 1e-13, worst


def test_the_reference_formulas_are_the_derivatives_of_the_price() -> None:
    row = (61_803.39, 66_000.0, 0.21, 0.63)

    def price(f, k, t, v, is_call):
        return reference.price(f, k, t, v, is_call)

    f, k, t, v = (mp.mpf(x) for x in row)

    def check(is_call: bool) -> None:
        expected = [
            mp.diff(lambda x: price(x, k, t, v, is_call), f),
            mp.diff(lambda x: price(x, k, t, v, is_call), f, 2),
            mp.diff(lambda x: price(f, k, t, x, is_call), v),
            -mp.diff(lambda x: price(f, k, x, v, is_call), t),
            # spot fixed, r = 0: the forward grows by exp(r T), the value is discounted
            mp.diff(lambda r: mp.exp(-r * t) * price(f * mp.exp(r * t), k, t, v, is_call), 0),
            mp.diff(lambda x, y: price(x, k, t, y, is_call), (f, v), (1, 1)),
            mp.diff(lambda x: price(f, k, t, x, is_call), v, 2),
            -mp.diff(lambda x, y: price(x, k, y, v, is_call), (f, t), (1, 1)),
            -mp.diff(lambda x, y: price(f, k, y, x, is_call), (v, t), (1, 1)),
            mp.diff(lambda x: price(x, k, t, v, is_call), f, 3),
            mp.diff(lambda x, y: price(x, k, t, y, is_call), (f, v), (2, 1)),
            -mp.diff(lambda x, y: price(x, k, y, v, is_call), (f, t), (2, 1)),
            mp.diff(lambda x: price(f, k, t, x, is_call), v, 3),
            mp.diff(lambda x: price(f, x, t, v, is_call), k),
        ]
        formulas = reference.greeks(*row, is_call)
        for name, left, right in zip(Greeks._fields, formulas, expected, strict=True):
            assert abs(left / right - 1) < mp.mpf("1e-12"), name

    check(is_call=True)
    check(is_call=False)


@given(
    st.floats(1e3, 1e5), st.floats(-3.0, 3.0), st.floats(5e-3, 2.0), st.floats(0.1, 2.0),
    st.booleans(),
)  # fmt: skip
def test_first_order_greeks_agree_with_finite_differences(
    forward: float, score: float, years: float, vol: float, is_call: bool
) -> None:
    strike = forward * math.exp(score * vol * math.sqrt(years))
    ours = greeks(forward, strike, years, vol, is_call)

    def slope(step: float, make) -> float:
        up, down = (float(black76.price(*make(x), is_call)) for x in (1.0 + step, 1.0 - step))
        return (up - down) / (2.0 * step)

    def close(ours_value: float, theirs: float, scale: float) -> bool:
        return abs(ours_value - theirs) <= 2e-5 * scale

    h = 1e-3 * min(vol * math.sqrt(years), 1.0)
    assert close(
        float(ours.delta) * forward,
        slope(h, lambda x: (forward * x, strike, years, vol)),
        forward,
    )
    assert close(
        float(ours.vega) * vol,
        slope(1e-3, lambda x: (forward, strike, years, vol * x)),
        forward * vol * math.sqrt(years),
    )
    assert close(
        -float(ours.theta) * years,
        slope(1e-3, lambda x: (forward, strike, years * x, vol)),
        forward * vol * math.sqrt(years),
    )
    assert close(
        float(ours.dual_delta) * strike,
        slope(h, lambda x: (forward, strike * x, years, vol)),
        strike,
    )


@given(
    st.floats(1e3, 1e5), st.floats(-5.0, 5.0), st.floats(1e-3, 2.0), st.floats(0.1, 3.0),
)  # fmt: skip
def test_bounds_signs_parity_and_homogeneity(
    forward: float, score: float, years: float, vol: float
) -> None:
    strike = forward * math.exp(score * vol * math.sqrt(years))
    call = greeks(forward, strike, years, vol, True)
    put = greeks(forward, strike, years, vol, False)
    assert 0.0 <= call.delta <= 1.0
    assert -1.0 <= put.delta <= 0.0
    assert float(call.delta - put.delta) == pytest.approx(1.0, abs=4 * UNIT)
    assert float(call.dual_delta - put.dual_delta) == pytest.approx(-1.0, abs=4 * UNIT)
    assert call.gamma >= 0.0
    assert call.vega >= 0.0
    assert call.theta <= 0.0
    for name in ("gamma", "vega", "theta", "vanna", "volga", "charm", "veta", "speed"):
        assert getattr(call, name) == getattr(put, name)
    value = float(black76.price(forward, strike, years, vol, True))
    euler = forward * float(call.delta) + strike * float(call.dual_delta)
    assert value == pytest.approx(euler, abs=20 * UNIT * (forward + strike) * (1 + score**2))


def test_quantlib_computes_the_same_greeks() -> None:
    for strike, years, vol, is_call in [
        (54_000.0, 0.08, 0.55, False), (60_000.0, 0.25, 0.6, True), (90_000.0, 1.0, 0.8, True),
        (30_000.0, 0.5, 0.9, False),
    ]:  # fmt: skip
        forward = 60_000.0
        kind = QuantLib.Option.Call if is_call else QuantLib.Option.Put
        payoff = QuantLib.PlainVanillaPayoff(kind, strike)
        theirs = QuantLib.BlackCalculator(payoff, forward, vol * math.sqrt(years), 1.0)
        ours = greeks(forward, strike, years, vol, is_call)
        assert float(ours.delta) == pytest.approx(theirs.deltaForward(), rel=1e-12)
        assert float(ours.gamma) == pytest.approx(theirs.gammaForward(), rel=1e-11)
        assert float(ours.vega) == pytest.approx(theirs.vega(years), rel=1e-12)
        assert float(ours.dual_delta) == pytest.approx(theirs.strikeSensitivity(), rel=1e-12)


@pytest.mark.parametrize(("years", "vol"), [(0.0, 0.5), (0.5, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize("is_call", [True, False])
def test_without_time_or_volatility_greeks_are_those_of_the_intrinsic_value(
    years: float, vol: float, is_call: bool
) -> None:
    result = greeks(100.0, [80.0, 100.0, 120.0], years, vol, is_call)
    in_the_money = np.array([1.0, 0.5, 0.0]) if is_call else np.array([0.0, 0.5, 1.0])
    sign = 1.0 if is_call else -1.0
    assert result.delta == pytest.approx(sign * in_the_money, abs=4 * UNIT)
    assert result.dual_delta == pytest.approx(-sign * in_the_money, abs=4 * UNIT)
    for name in set(Greeks._fields) - {"delta", "dual_delta", "rho"}:
        column = getattr(result, name)
        assert np.isnan(column[1]), name
        assert np.array_equal(column[[0, 2]], [0.0, 0.0]), name


@pytest.mark.parametrize(
    "bad",
    [{"forward": 0.0}, {"strike": -1.0}, {"expiry_years": -1.0}, {"vol": -1.0},
     {"forward": math.nan}, {"strike": math.inf}, {"expiry_years": math.nan}, {"vol": math.inf}],
)  # fmt: skip
def test_a_bad_cell_is_nan_in_every_greek_and_leaves_its_neighbours_alone(
    bad: dict[str, float],
) -> None:
    good = {"forward": 100.0, "strike": 110.0, "expiry_years": 0.5, "vol": 0.6}
    columns = {name: np.full(9, value) for name, value in good.items()}
    for name, value in bad.items():
        columns[name][4] = value
    result = greeks(**columns, is_call=True)
    alone = greeks(**good, is_call=True)
    for column, expected in zip(result, alone, strict=True):
        assert np.isnan(column[4])
        assert np.array_equal(np.delete(column, 4), np.full(8, float(expected)))


def test_results_take_the_broadcast_shape_and_can_go_to_given_memory() -> None:
    table = greeks(100.0, np.array([90.0, 110.0]), np.array([[0.1], [0.2], [0.3]]), 0.5, True)
    assert table.vega.shape == (3, 2)
    memory = np.full((14, 2), -7.0)
    given_back = greeks(100.0, np.array([90.0, 110.0]), 0.1, 0.5, True, out=memory)
    assert np.shares_memory(given_back.ultima, memory)
    assert np.array_equal(memory[2], table.vega[0])
    with pytest.raises(QuantError, match=r"out must be a C-contiguous float array of shape"):
        greeks(100.0, np.array([90.0, 110.0]), 0.1, 0.5, True, out=np.empty((14, 3)))


@pytest.mark.parametrize("is_call", [True, False])
def test_coin_greeks_are_derivatives_of_the_coin_value(is_call: bool) -> None:
    f, k, t, v = 60_000.0, 66_000.0, 0.2, 0.7
    ours = coin_greeks(f, k, t, v, is_call)

    def coin(x, y, z):
        return reference.price(x, k, z, y, is_call) / x

    def delta(x, y, z):
        return x * mp.diff(lambda u: coin(u, y, z), x)

    exact = {
        "delta_coin": delta(mp.mpf(f), mp.mpf(v), mp.mpf(t)),
        "gamma_coin": mp.diff(lambda x: delta(x, mp.mpf(v), mp.mpf(t)), mp.mpf(f)),
        "vega_coin": mp.diff(lambda y: coin(mp.mpf(f), y, mp.mpf(t)), mp.mpf(v)),
        "theta_coin": -mp.diff(lambda z: coin(mp.mpf(f), mp.mpf(v), z), mp.mpf(t)),
        "vanna_coin": mp.diff(lambda y: delta(mp.mpf(f), y, mp.mpf(t)), mp.mpf(v)),
        "volga_coin": mp.diff(lambda y: coin(mp.mpf(f), y, mp.mpf(t)), mp.mpf(v), 2),
        "charm_coin": -mp.diff(lambda z: delta(mp.mpf(f), mp.mpf(v), z), mp.mpf(t)),
    }
    for name, value in exact.items():
        assert float(getattr(ours, name)) == pytest.approx(float(value), rel=1e-9), name
    usd = greeks(f, k, t, v, is_call)
    assert float(ours.rho_coin) == float(usd.rho) / f
    premium = float(black76.price_coin(f, k, t, v, is_call))
    assert float(ours.delta_coin) == pytest.approx(float(usd.delta) - premium, abs=1e-15)


def test_the_sticky_moneyness_delta_is_the_total_derivative_when_the_smile_rides_along() -> None:
    forward, strike, years = 60_000.0, 66_000.0, 0.2

    def smile(k: float) -> float:
        return 0.6 - 0.2 * k + 0.5 * k * k

    def value(f: float) -> float:
        return float(black76.price(f, strike, years, smile(math.log(strike / f)), True))

    k = math.log(strike / forward)
    usd = greeks(forward, strike, years, smile(k), True)
    ours = float(sticky_moneyness_delta(usd.delta, usd.vega, forward, -0.2 + 1.0 * k))
    step = 1.0
    assert ours == pytest.approx((value(forward + step) - value(forward - step)) / 2, rel=1e-7)
