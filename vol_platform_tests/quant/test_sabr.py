"""SABR: Hagan's values from QuantLib, Obłój's order, limits, and fits that find their way back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import QuantLib
from hypothesis import given
from hypothesis import strategies as st

from vol_platform.quant import sabr
from vol_platform.quant.errors import QuantError


@pytest.mark.parametrize("years", [0.02, 0.5, 2.0])
@pytest.mark.parametrize("strike", [60.0, 90.0, 99.999999, 100.0, 100.1, 140.0, 200.0])
def test_the_lognormal_model_gives_hagans_values(strike: float, years: float) -> None:
    theirs = QuantLib.sabrVolatility(strike, 100.0, years, 0.6, 1.0, 1.3, -0.35)
    assert float(sabr.vol(100.0, strike, years, 0.6, -0.35, 1.3)) == pytest.approx(theirs, rel=1e-7)


def test_the_money_value_is_hagans_for_any_beta() -> None:
    for beta in (0.0, 0.3, 0.7, 1.0):
        alpha = 0.6 * 100.0 ** (1.0 - beta)
        theirs = QuantLib.sabrVolatility(100.0, 100.0, 0.5, alpha, beta, 0.9, 0.2)
        ours = float(sabr.vol(100.0, 100.0, 0.5, alpha, 0.2, 0.9, beta))
        assert ours == pytest.approx(theirs, rel=1e-12)


def test_without_volatility_of_volatility_the_leading_order_is_the_cev_one() -> None:
    # Obłój (2008): at nu = 0 and T -> 0 the volatility is alpha (1-b) ln(F/K) / (F^(1-b) - K^(1-b))
    for beta in (0.0, 0.5, 0.9):
        for strike in (20.0, 80.0, 130.0):
            power = 1.0 - beta
            exact = 3.0 * power * math.log(100.0 / strike) / (100.0**power - strike**power)
            ours = float(sabr.vol(100.0, strike, 0.0, 3.0, -0.2, 0.0, beta))
            assert ours == pytest.approx(exact, rel=1e-10)


def test_a_normal_backbone_matches_the_exact_normal_leading_order() -> None:
    # beta = 0: ln(F/K) nu / chi(nu (F - K) / alpha), the geodesic distance of Obłój's correction
    alpha, rho, nu = 50.0, -0.3, 0.8
    for strike in (40.0, 160.0):
        z = nu / alpha * (100.0 - strike)
        chi = math.log((math.sqrt(1 - 2 * rho * z + z * z) + z - rho) / (1 - rho))
        exact = math.log(100.0 / strike) * nu / chi
        ours = float(sabr.vol(100.0, strike, 0.0, alpha, rho, nu, 0.0))
        assert ours == pytest.approx(exact, rel=1e-12)


@given(
    st.floats(0.1, 2.0), st.floats(-0.9, 0.9), st.floats(0.0, 3.0), st.floats(0.0, 1.0),
    st.floats(-1e-6, 1e-6),
)  # fmt: skip
def test_the_smile_is_smooth_through_the_money(
    alpha: float, rho: float, nu: float, beta: float, shift: float
) -> None:
    at = float(sabr.vol(1.0, 1.0, 0.1, alpha, rho, nu, beta))
    beside = float(sabr.vol(1.0, math.exp(shift), 0.1, alpha, rho, nu, beta))
    assert beside == pytest.approx(at, rel=1e-4 * (1 + nu / alpha))


@pytest.mark.parametrize(
    "truth",
    [sabr.Sabr(0.5, -0.3, 1.2), sabr.Sabr(0.9, 0.4, 2.5), sabr.Sabr(0.35, 0.0, 0.4),
     sabr.Sabr(0.6, -0.7, 1.8)],
)  # fmt: skip
@pytest.mark.parametrize("years", [7 / 365, 0.25])
def test_a_fit_finds_the_parameters_that_made_the_smile(truth: sabr.Sabr, years: float) -> None:
    k = np.linspace(-2.5, 2.5, 21) * truth.alpha * math.sqrt(years)
    smile = sabr.vol(1.0, np.exp(k), years, *truth)
    found = sabr.fit(k, smile, smile, years)
    assert found == pytest.approx(truth, abs=1e-4)
    again = np.sqrt(sabr.total_variance(k, years, found) / years)
    assert again == pytest.approx(smile, abs=1e-6)


def test_a_fit_stays_inside_bid_and_ask_and_shrugs_off_one_wild_quote() -> None:
    generator = np.random.default_rng(8)
    years = 30 / 365
    k = np.linspace(-0.4, 0.4, 25)
    mid = sabr.vol(1.0, np.exp(k), years, 0.55, -0.25, 1.6) + generator.normal(0, 1e-3, 25)
    bid, ask = mid - 0.01, mid + 0.01
    bid[3], ask[3] = 1.4, 1.42
    bid[5] = np.nan
    found = sabr.fit(k, bid, ask, years)
    model = np.sqrt(sabr.total_variance(k, years, found) / years)
    good = np.delete(np.arange(25), [3, 5])
    assert np.all((model[good] > bid[good]) & (model[good] < ask[good]))


def test_bad_cells_are_nan_and_bad_parameters_raise() -> None:
    vols = sabr.vol([100.0, -1.0, 100.0], [100.0, 100.0, 0.0], 0.5, 0.6, -0.3, 1.2)
    assert np.isnan(vols).tolist() == [False, True, True]
    # an expansion whose correction turns negative is refused, not returned
    assert np.isnan(sabr.vol(100.0, 100.0, 200.0, 0.6, -0.99, 1.2))
    with pytest.raises(QuantError, match=r"alpha 0\.6, rho 1, nu 1"):
        sabr.vol(1.0, 1.0, 1.0, 0.6, 1.0, 1.0)
    with pytest.raises(QuantError, match="three usable points"):
        sabr.fit([0.0, 0.1], [0.5, 0.5], [0.5, 0.5], 0.5)
    with pytest.raises(QuantError, match="one length"):
        sabr.fit([0.0, 0.1, 0.2], [0.5, 0.5], [0.5, 0.5, 0.5], 0.5)
    with pytest.raises(QuantError, match="expiry_years must be > 0, was 0"):
        sabr.fit([0.0, 0.1, 0.2], [0.5] * 3, [0.5] * 3, 0.0)
