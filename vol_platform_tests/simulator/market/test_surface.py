"""The surface everything is priced from is free of arbitrage at every moment of the simulation."""

import numpy as np
import pytest

from vol_platform.quant import black76
from vol_platform.simulator import Market
from vol_platform.simulator.market.surface import SurfaceParameters
from vol_platform_tests.simulator.conftest import START_MS

_MONEYNESS = np.linspace(-2.5, 2.5, 2001)
_YEARS = np.array([0.5, 1, 2, 4, 8, 15, 30, 60, 120, 240, 400]) / 365


def _butterfly(parameters: SurfaceParameters, years: float) -> np.ndarray:
    """Return g(k); negative is a negative density (Gatheral and Jacquier 2014, eq. 2.1)."""
    step = 1e-4
    k = _MONEYNESS
    low, mid, high = (parameters.total_variance(k + shift, years) for shift in (-step, 0.0, step))
    first = (high - low) / (2 * step)
    second = (high - 2 * mid + low) / step**2
    return (1 - k * first / (2 * mid)) ** 2 - first**2 / 4 * (1 / mid + 0.25) + second / 2


def _moments() -> np.ndarray:
    random = np.random.default_rng(20261122)
    return START_MS + random.integers(-400, 400, 60) * 86_400_000 + random.integers(0, 86_400_000)


@pytest.mark.parametrize("currency", ["BTC", "ETH"])
def test_no_butterfly_arbitrage_at_random_moments(currency: str) -> None:
    market = Market(7, currency)
    for moment in _moments():
        parameters = market.surface(int(moment))
        for years in _YEARS:
            assert _butterfly(parameters, float(years)).min() > -1e-6, (moment, years)


@pytest.mark.parametrize("currency", ["BTC", "ETH"])
def test_total_variance_rises_with_expiry_at_every_moneyness(currency: str) -> None:
    market = Market(7, currency)
    for moment in _moments():
        variance = market.surface(int(moment)).total_variance(_MONEYNESS[:, None], _YEARS)
        assert np.diff(variance, axis=1).min() > 0, moment


def test_the_parameters_keep_to_the_bound_that_proves_it_for_all_strikes() -> None:
    times = START_MS + np.arange(-5_000, 5_000, dtype=np.int64) * 7_200_000
    for seed in (1, 7, 99):
        surface = Market(seed).surface(times)
        assert (surface.eta * (1 + np.abs(surface.rho))).max() < 2.0
        assert surface.short_variance.min() > 0
        assert surface.long_variance.min() > 0


def test_a_surface_that_breaks_the_bound_is_caught_by_these_checks() -> None:
    one = np.ones(1)
    torn = SurfaceParameters(0.2 * one, 0.2 * one, -0.95 * one, 4.0 * one)
    assert _butterfly(torn, 1.0).min() < 0
    falling = SurfaceParameters(0.5 * one, -0.1 * one, -0.2 * one, 1.0 * one)
    assert np.diff(falling.atm_total_variance(np.array([0.5, 1.0, 1.5]))).min() < 0


def test_the_variance_swap_agrees_with_the_strip_of_option_prices() -> None:
    years = 30 / 365
    surface = SurfaceParameters(*(np.array([value]) for value in (0.25, 0.30, -0.25, 0.9)))
    k = np.linspace(-4.0, 4.0, 80_001)
    vol = surface.volatility(k, years)
    forward = 1.0
    price = black76.price(forward, np.exp(k), years, vol, k > 0)
    # 2/T times the strip of out-of-the-money prices over the squared strike (Carr and Madan 1998)
    strip = 2.0 / years * np.trapezoid(price / np.exp(k), k)
    assert surface.swap_variance(years)[0] == pytest.approx(strip, rel=1e-4)
    assert surface.swap_variance(years)[0] > surface.atm_total_variance(years)[0] / years


def test_a_flat_smile_is_its_own_variance_swap() -> None:
    surface = SurfaceParameters(*(np.array([value]) for value in (0.25, 0.25, 0.0, 1e-9)))
    assert surface.swap_variance(0.1)[0] == pytest.approx(0.25, rel=1e-9)
