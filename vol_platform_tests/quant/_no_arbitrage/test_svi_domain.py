"""Martini and Mingone's domain against the proof by branch and bound, and against the papers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vol_platform.quant import arbitrage, svi
from vol_platform.quant._no_arbitrage.exact import BUTTERFLY_PROOF
from vol_platform.quant.errors import QuantError

VOGT = (-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)
RawTuple = tuple[float, float, float, float, float]


@st.composite
def raw_slices(draw: st.DrawFn) -> RawTuple:
    """Slices of any size, both sides of the border, wings up to Lee's bound and beyond."""
    rho = draw(st.floats(-0.999, 0.999))
    b = math.exp(draw(st.floats(-8.0, 0.7)))
    sigma = math.exp(draw(st.floats(-8.0, 1.5)))
    floor = math.exp(draw(st.floats(-7.0, 4.0))) - math.sqrt(1 - rho * rho)
    return b * sigma * floor, b, rho, sigma * draw(st.floats(-5.0, 5.0)), sigma


@settings(max_examples=400, deadline=None)
@given(raw_slices())
def test_the_domain_and_the_proof_agree_on_every_slice(raw: RawTuple) -> None:
    domain = arbitrage.butterfly_domain(*raw)
    _, smallest = arbitrage.slice_minimum(*raw)
    if smallest >= BUTTERFLY_PROOF:
        assert domain.is_free
    elif smallest <= 0.0:
        assert not domain.is_free
    # between the two the branch and bound does not decide, and the domain does


@settings(max_examples=100, deadline=None)
@given(raw_slices())
def test_the_smallest_sigma_is_where_the_density_first_touches_zero(raw: RawTuple) -> None:
    domain = arbitrage.butterfly_domain(*raw)
    if not (0.0 < domain.sigma_minimum < math.inf):
        return
    a, b, rho, m, sigma = raw
    for factor, free in ((1.01, True), (0.99, False)):
        scale = factor * domain.sigma_minimum / sigma
        k = np.sinh(np.linspace(-12.0, 12.0, 20_001)) * sigma * scale
        g = arbitrage.butterfly(k, a * scale, b, rho, m * scale, sigma * scale)
        if free:
            assert g.min() > 0.0
            assert arbitrage.butterfly_domain(a * scale, b, rho, m * scale, sigma * scale).is_free
        else:
            _, smallest = arbitrage.slice_minimum(a * scale, b, rho, m * scale, sigma * scale)
            assert smallest < BUTTERFLY_PROOF
            assert g.min() < 1e-6


@settings(max_examples=200, deadline=None)
@given(raw_slices())
def test_outside_the_shift_interval_fukasawas_monotonicity_fails(raw: RawTuple) -> None:
    """-d1 and -d2 rise with k on every free smile: the interval is where both do."""
    domain = arbitrage.butterfly_domain(*raw)
    if math.isnan(domain.shift_low):
        return
    a, b, rho, _, sigma = raw
    width = domain.shift_high - domain.shift_low
    inside = domain.shift_low + width * np.array([1e-3, 0.5, 1 - 1e-3])
    outside = np.array([domain.shift_low - 1e-3 * width, domain.shift_high + 1e-3 * width])
    # so steep a smile with so low a minimum is free nowhere: the bounds have crossed
    for shifts, rises in ((inside, width > 0), (outside, False)):
        for m in shifts * sigma:
            k = np.sinh(np.linspace(-9.0, 9.0, 40_001)) * sigma + m
            w, slope, _ = svi.total_variance_derivatives(k, a, b, rho, float(m), sigma)
            factors = [1 - slope * (k / (2 * w) + sign / 4) for sign in (1.0, -1.0)]
            assert bool(min(f.min() for f in factors) > 0) is rises


def test_vogts_slice_is_outside_and_both_repairs_of_the_paper_are_inside() -> None:
    """Gatheral and Jacquier (2014), section 5.1: the closed form, and the closest free slice."""
    assert not arbitrage.butterfly_domain(*VOGT).is_free
    v, psi, p, _, _ = svi.raw_to_jw(*VOGT, expiry_years=1.0)
    c = p + 2 * psi
    v_tilde = v * 4 * p * c / (p + c) ** 2
    assert (c, v_tilde) == pytest.approx((0.3493158, 0.01548182), rel=1e-6)
    for wings in ((v, psi, p, c, v_tilde), (v, psi, p, 0.8564763, 0.0116249)):
        raw = svi.jw_to_raw(*wings, expiry_years=1.0)
        assert arbitrage.butterfly_domain(*raw).is_free
        assert arbitrage.slice_minimum(*raw)[1] > 0


def test_no_variance_too_steep_wings_and_a_flat_smile_have_their_own_verdicts() -> None:
    assert not arbitrage.butterfly_domain(-0.1, 0.1, 0.0, 0.0, 0.2).is_positive
    steep = arbitrage.butterfly_domain(0.1, 1.5, 0.5, 0.0, 0.2)
    assert not steep.wings_free
    assert not steep.is_free
    assert math.isnan(steep.sigma_minimum)
    assert arbitrage.butterfly_domain(0.04, 0.0, 0.3, 9.0, 0.2).is_free


@pytest.mark.parametrize(
    "raw",
    [
        (0.04, -0.1, 0.0, 0.0, 0.1), (0.04, 0.1, 1.0, 0.0, 0.1), (0.04, 0.1, 0.0, 0.0, 0.0),
        (math.nan, 0.1, 0.0, 0.0, 0.1), (0.04, 0.1, 0.0, math.inf, 0.1),
    ],
)  # fmt: skip
def test_a_slice_that_is_none_is_an_error_with_its_values(raw: RawTuple) -> None:
    with pytest.raises(QuantError, match="raw SVI needs b >= 0"):
        arbitrage.butterfly_domain(*raw)
