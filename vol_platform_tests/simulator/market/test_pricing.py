"""The simulator prices with its own code, so that it is an independent check of `quant`."""

import numpy as np

from vol_platform.quant import black76, greeks, implied
from vol_platform.simulator.market import pricing


def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    moneyness, years, vol, calls = np.meshgrid(
        np.linspace(-0.6, 0.6, 25), [0.002, 0.02, 0.1, 0.9], [0.25, 0.6, 1.4], [0, 1]
    )
    forward = np.full(moneyness.size, 78_000.0)
    strike = forward * np.exp(moneyness.ravel())
    return forward, strike, years.ravel(), vol.ravel(), calls.ravel().astype(bool)


def test_prices_agree_with_quant() -> None:
    grid = _grid()
    np.testing.assert_allclose(
        pricing.coin_price(*grid), black76.price_coin(*grid), rtol=1e-10, atol=1e-14
    )


def test_greeks_agree_with_quant_in_the_exchanges_units() -> None:
    grid = _grid()
    years = grid[2]
    ours, theirs = pricing.greeks(*grid), greeks.greeks(*grid)
    np.testing.assert_allclose(ours.delta, theirs.delta, atol=1e-12)
    np.testing.assert_allclose(ours.gamma, theirs.gamma, rtol=1e-9, atol=1e-18)
    np.testing.assert_allclose(ours.vega, theirs.vega / 100, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.rho, theirs.rho / 100, rtol=1e-9, atol=1e-7)
    value = black76.price(*grid)
    daily = -theirs.theta / 365 * np.minimum(1, years * 365)
    np.testing.assert_allclose(ours.theta, -np.minimum(daily, value), rtol=1e-6, atol=1e-6)


def test_implied_volatility_comes_back_and_agrees_with_quant() -> None:
    forward, strike, years, vol, is_call = _grid()
    price = pricing.coin_price(forward, strike, years, vol, is_call)
    intrinsic = np.maximum(np.where(is_call, 1, -1) * (1 - strike / forward), 0)
    usable = price - intrinsic > 1e-5
    ours = pricing.implied_volatility(
        price, forward, strike, years, is_call, np.full(price.size, 0.5)
    )
    theirs = implied.implied_vol_coin(price, forward, strike, years, is_call)
    np.testing.assert_allclose(ours[usable], vol[usable], atol=2e-5)
    np.testing.assert_allclose(ours[usable], theirs[usable], atol=2e-5)


def test_quotes_below_intrinsic_have_zero_and_those_beyond_the_cap_have_five() -> None:
    one = np.ones(2)
    found = pricing.implied_volatility(
        np.array([0.2499, 0.9]),
        80_000.0 * one,
        60_000.0 * one,
        0.01 * one,
        np.array([True, True]),
        0.6 * one,
    )
    assert found.tolist() == [0.0, 5.0]
