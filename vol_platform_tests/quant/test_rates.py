"""Discount curves: instruments are repriced at par, interpolation as stated, QuantLib agrees."""

from __future__ import annotations

import math

import numpy as np
import pytest
import QuantLib

from vol_platform.quant import rates
from vol_platform.quant.errors import QuantError


def test_zero_is_the_default_and_discounts_nothing() -> None:
    assert rates.flat().discount_factor([0.0, 1.0, 30.0]).tolist() == [1.0, 1.0, 1.0]


def test_a_flat_curve_has_one_rate_everywhere() -> None:
    curve = rates.flat(0.04)
    assert curve.zero_rate([0.1, 1.0, 9.0]) == pytest.approx([0.04] * 3)
    assert float(curve.forward_rate(0.3, 2.0)) == pytest.approx(0.04)
    assert float(curve.discount_factor(2.0)) == pytest.approx(math.exp(-0.08))


@pytest.mark.parametrize("method", rates.METHODS)
def test_treasury_bonds_are_repriced_at_par(method: str) -> None:
    years = np.array([0.25, 0.5, 1.0, 2.0, 3.0, 5.0])
    yields = np.array([0.045, 0.044, 0.042, 0.039, 0.038, 0.040])
    curve = rates.from_treasury_par_yields(years, yields, "log_linear")
    smooth = rates.from_treasury_par_yields(years, yields, method)
    assert smooth.zero_rate(years) == pytest.approx(curve.zero_rate(years), abs=1e-14)
    for maturity, par in zip(years[1:], yields[1:], strict=True):
        times = np.arange(0.5, maturity + 1e-9, 0.5)
        value = par / 2 * np.sum(curve.discount_factor(times)) + curve.discount_factor(maturity)
        assert float(value) == pytest.approx(1.0, abs=1e-12)
    bill = 1.0 / (1.0 + 0.045 * 0.25)
    assert float(curve.discount_factor(0.25)) == pytest.approx(bill, abs=1e-14)


def test_sofr_swaps_are_repriced_at_par_with_their_day_count() -> None:
    years = np.array([1 / 12, 0.5, 1.0, 2.0, 3.0, 5.0])
    quotes = np.array([0.0431, 0.0425, 0.041, 0.038, 0.0371, 0.0369])
    curve = rates.from_sofr_swaps(years, quotes)
    for maturity, rate in zip(years[2:], quotes[2:], strict=True):
        factors = curve.discount_factor(np.arange(1.0, maturity + 0.5))
        fixed = rate * 365 / 360 * float(np.sum(factors))
        assert fixed + float(factors[-1]) == pytest.approx(1.0, abs=1e-12)
    assert float(curve.discount_factor(0.5)) == pytest.approx(
        1.0 / (1.0 + 0.0425 * 365 / 360 * 0.5), abs=1e-14
    )


def test_log_linear_interpolation_has_flat_forward_rates() -> None:
    curve = rates.DiscountCurve(np.array([1.0, 2.0, 4.0]), np.array([0.03, 0.04, 0.035]))
    inner = [float(curve.forward_rate(a, a + 0.1)) for a in (1.0, 1.4, 1.9)]
    assert inner == pytest.approx([inner[0]] * 3)
    date = QuantLib.Date(22, 11, 2026)
    theirs = QuantLib.DiscountCurve(
        [date, date + 365, date + 730, date + 1460],
        [1.0, *(math.exp(-r * t) for t, r in ((1, 0.03), (2, 0.04), (4, 0.035)))],
        QuantLib.Actual365Fixed(),
    )
    for years in (0.5, 1.0, 1.7, 3.3):
        assert float(curve.discount_factor(years)) == pytest.approx(
            theirs.discount(years), rel=1e-12
        )


def test_a_cubic_curve_goes_through_its_nodes_and_stays_flat_outside() -> None:
    nodes = np.array([0.5, 1.0, 2.0, 5.0])
    zero = np.array([0.04, 0.039, 0.037, 0.041])
    curve = rates.DiscountCurve(nodes, zero, "cubic")
    assert curve.zero_rate(nodes) == pytest.approx(zero)
    assert float(curve.zero_rate(0.01)) == pytest.approx(0.04)
    assert float(curve.zero_rate(30.0)) == pytest.approx(0.041)
    assert np.isnan(curve.zero_rate(-1.0))
    assert np.isnan(curve.forward_rate(2.0, 1.0))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: rates.DiscountCurve(np.array([2.0, 1.0]), np.zeros(2)), "increasing"),
        (lambda: rates.DiscountCurve(np.array([1.0]), np.zeros(2)), "equally long"),
        (lambda: rates.DiscountCurve(np.array([1.0]), np.zeros(1), "linear"), "was 'linear'"),
        (lambda: rates.from_treasury_par_yields([1.0, 2.0], [0.04]), "equally long"),
        (lambda: rates.from_sofr_swaps([2.0, 1.0], [0.04, 0.04]), "increasing"),
    ],
)
def test_impossible_curves_raise_with_their_value(make, text: str) -> None:
    with pytest.raises(QuantError, match=text):
        make()
