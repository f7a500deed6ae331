"""Measures of a surface, on flat and curved surfaces whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtri

from vol_platform.quant import greeks, term_structure
from vol_platform.quant.errors import QuantError


class Smile:
    """Volatility ``level + slope k + bend k²`` at every maturity; no calendar weighting."""

    def __init__(self, level: float = 0.5, slope: float = 0.0, bend: float = 0.0) -> None:
        self.expiry_years = np.array([7.0, 30.0, 90.0]) / 365.0
        self.level, self.slope, self.bend = level, slope, bend

    def total_variance(self, k, expiry_years):
        k = np.asarray(k, dtype=float)
        vol = self.level + self.slope * k + self.bend * k * k
        return vol * vol * np.asarray(expiry_years)


class Rising(Smile):
    """At-the-money variance 0.2 T + 0.3 T²."""

    def total_variance(self, k, expiry_years):
        years = np.asarray(expiry_years) + 0.0 * np.asarray(k)
        return 0.2 * years + 0.3 * years**2


def test_a_flat_surface_has_no_skew_of_any_kind() -> None:
    metrics = term_structure.skew_metrics(Smile(0.55))
    assert metrics.atm_vol == pytest.approx(np.full(3, 0.55), abs=1e-14)
    for name in metrics._fields[2:]:
        assert getattr(metrics, name) == pytest.approx(np.zeros(3), abs=1e-9), name


def test_slope_and_curvature_are_the_derivatives_at_the_money() -> None:
    surface = Smile(0.5, -0.2, 0.7)
    assert term_structure.slope(surface) == pytest.approx(np.full(3, -0.2), rel=1e-8)
    assert term_structure.curvature(surface) == pytest.approx(np.full(3, 1.4), rel=1e-6)


@pytest.mark.parametrize("delta", [0.25, 0.10, -0.25, -0.10])
def test_the_delta_volatility_is_that_of_an_option_with_this_delta(delta: float) -> None:
    surface = Smile(0.6, -0.15, 0.3)
    vols = term_structure.delta_vol(surface, delta)
    for years, vol in zip(surface.expiry_years, vols, strict=True):
        s = vol * math.sqrt(years)
        # delta determines d1, and d1 the strike at this volatility
        d1 = ndtri(delta) if delta > 0 else -ndtri(-delta)
        k = -(d1 - 0.5 * s) * s
        assert surface.level + surface.slope * k + surface.bend * k * k == pytest.approx(vol, 1e-9)


def test_the_premium_adjusted_delta_takes_the_right_most_strike() -> None:
    surface = Smile(0.8)
    years = 1.0
    vol = float(term_structure.delta_vol(surface, 0.25, years, premium_adjusted=True))
    assert vol == pytest.approx(0.8)
    curved = Smile(0.8, 0.3)
    adjusted = float(term_structure.delta_vol(curved, 0.25, years, premium_adjusted=True))
    k = (adjusted - 0.8) / 0.3
    coin = greeks.coin_greeks(1.0, math.exp(k), years, adjusted, True)
    assert float(coin.delta_coin) == pytest.approx(0.25, abs=1e-9)
    farther = math.exp(k + 0.2)
    beyond = greeks.coin_greeks(1.0, farther, years, 0.8 + 0.3 * (k + 0.2), True)
    assert float(beyond.delta_coin) < 0.25


def test_risk_reversal_is_call_less_put_and_butterfly_their_mean_less_the_middle() -> None:
    surface = Smile(0.5, -0.2, 0.4)
    call = term_structure.delta_vol(surface, 0.25)
    put = term_structure.delta_vol(surface, -0.25)
    assert np.array_equal(term_structure.risk_reversal(surface, 0.25), call - put)
    assert np.all(call < put)
    middle = 0.5 * (call + put) - term_structure.atm(surface)
    assert np.array_equal(term_structure.butterfly(surface, 0.25), middle)
    metrics = term_structure.skew_metrics(surface)
    assert np.array_equal(metrics.risk_reversal_25, call - put)
    assert np.array_equal(metrics.butterfly_25, middle)
    adjusted = term_structure.risk_reversal(surface, 0.25, premium_adjusted=True)
    assert np.array_equal(metrics.risk_reversal_25_pa, adjusted)
    assert not np.allclose(adjusted, call - put)


def test_forward_volatilities_chain_up_to_the_plain_ones() -> None:
    surface = Rising()
    years = surface.expiry_years
    forward = term_structure.forward_vols(surface)
    variance = np.cumsum(forward**2 * np.diff(years, prepend=0.0))
    assert np.sqrt(variance / years) == pytest.approx(term_structure.atm(surface), rel=1e-12)
    assert float(term_structure.forward_vol(surface, 0.0, 0.5)) == pytest.approx(
        float(term_structure.atm(surface, 0.5))
    )
    assert np.isnan(term_structure.forward_vol(surface, 0.5, 0.5))
    assert np.isnan(term_structure.forward_vol(surface, 0.5, 0.4))


def test_falling_total_variance_gives_no_forward_volatility() -> None:
    class Falling(Smile):
        def total_variance(self, k, expiry_years):
            return np.full(np.broadcast(k, expiry_years).shape, 0.1) / np.asarray(expiry_years)

    assert np.isnan(term_structure.forward_vol(Falling(), 0.1, 0.2))


def test_constant_maturities_take_any_measure_and_any_shape() -> None:
    surface = Rising()
    assert float(term_structure.constant_maturity(surface, 73.0)) == pytest.approx(
        math.sqrt(0.2 + 0.3 * 0.2)
    )
    days = np.array([[7.0, 30.0], [60.0, 180.0]])
    assert term_structure.constant_maturity(surface, days).shape == (2, 2)
    skewed = Smile(0.5, -0.2)
    slopes = term_structure.constant_maturity(skewed, days, term_structure.slope)
    assert slopes == pytest.approx(np.full((2, 2), -0.2), rel=1e-8)
    reversal = term_structure.constant_maturity(
        skewed, [30.0], lambda s, years: term_structure.risk_reversal(s, 0.25, years)
    )
    assert reversal == pytest.approx(term_structure.risk_reversal(skewed, 0.25, [30 / 365]))


def test_refused_expiries_are_left_out_and_an_empty_surface_gives_empty_arrays() -> None:
    surface = Smile()
    surface.active = np.array([0, 2])  # type: ignore[attr-defined]  # as calibrated surfaces have
    assert term_structure.expiries(surface).tolist() == [7 / 365, 90 / 365]
    surface.active = np.array([], dtype=int)  # type: ignore[attr-defined]  # all refused
    assert term_structure.atm(surface).shape == (0,)
    assert term_structure.forward_vols(surface).shape == (0,)
    assert term_structure.skew_metrics(surface).atm_vol.shape == (0,)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda s: term_structure.atm(s, -0.1), "expiry_years must be > 0, was -0.1"),
        (lambda s: term_structure.constant_maturity(s, 0.0), "days must be > 0, was 0"),
        (lambda s: term_structure.delta_vol(s, 1.0), r"delta must be inside \(-1, 1\)"),
        (lambda s: term_structure.delta_vol(s, 0.0), "and not 0, was 0.0"),
        (lambda s: term_structure.forward_vol(s, -1.0, 1.0), "start_years must be >= 0"),
    ],
)
def test_impossible_arguments_raise_with_their_value(call, text: str) -> None:
    with pytest.raises(QuantError, match=text):
        call(Smile())
