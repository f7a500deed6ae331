"""Model-free variance: exact on flat and SVI smiles, tails reported, interpolation as stated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

from vol_platform.quant import variance_swap
from vol_platform.quant.errors import QuantError


class Flat:
    """One volatility everywhere."""

    def __init__(self, vol: float = 0.6, days: tuple[float, ...] = (20.0, 45.0)) -> None:
        self.expiry_years = np.array(days) / 365.0
        self.vol = vol

    def total_variance(self, k, expiry_years):
        return self.vol**2 * np.broadcast_to(np.asarray(expiry_years), np.shape(k))


class Skewed(Flat):
    """SVI in total variance, scaled with time."""

    def total_variance(self, k, expiry_years):
        k = np.asarray(k, dtype=float)
        bend = 0.36 + 0.3 * (-0.4 * k + np.sqrt(k * k + 0.04)) - 0.06
        return np.asarray(expiry_years) * bend


@dataclass
class Item:
    """Part of a surface's report."""

    expiry_years: float
    k_minimum: float
    k_maximum: float


@pytest.mark.parametrize("vol", [0.1, 0.6, 2.5])
@pytest.mark.parametrize("days", [0.1, 30.0, 365.0])
def test_a_flat_smile_gives_its_own_volatility(vol: float, days: float) -> None:
    result = variance_swap.expiry_variance(Flat(vol, (days,)), days / 365)
    assert result.vol == pytest.approx(vol, rel=1e-11)
    assert result.tail_share == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("days", [1.0, 30.0, 300.0])
def test_a_skewed_smile_agrees_with_adaptive_quadrature_over_strikes(days: float) -> None:
    surface, years = Skewed(), days / 365

    def over_strike(k: float) -> float:
        s = math.sqrt(float(surface.total_variance(np.array(k), years)))
        d1 = -k / s + s / 2
        sign = 1.0 if k > 0 else -1.0
        value = sign * (ndtr(sign * d1) - math.exp(k) * ndtr(sign * (d1 - s)))
        return 2.0 * value * math.exp(-k)

    exact = sum(
        quad(over_strike, a, b, epsabs=1e-14, epsrel=1e-11, limit=400)[0]
        for a, b in ((-60, -6), (-6, -0.3), (-0.3, 0.0), (0.0, 0.3), (0.3, 6), (6, 60))
    )
    ours = variance_swap.expiry_variance(surface, years)
    assert ours.total_variance == pytest.approx(exact, rel=1e-7)


def test_the_part_beyond_the_quoted_strikes_is_reported() -> None:
    surface, years = Skewed(), 30 / 365
    narrow = variance_swap.expiry_variance(surface, years, (-0.1, 0.1))
    wide = variance_swap.expiry_variance(surface, years, (-0.6, 0.6))
    assert narrow.total_variance == pytest.approx(wide.total_variance, rel=1e-9)
    assert 0.0 < wide.tail_share < narrow.tail_share < 1.0
    assert narrow.quoted_vol < wide.quoted_vol < wide.vol


def test_the_quoted_range_comes_from_the_report_of_the_surface() -> None:
    surface = Skewed()
    surface.report = (Item(20 / 365, -0.1, 0.1), Item(45 / 365, -0.2, 0.2))  # type: ignore[attr-defined]  # as calibrated surfaces have
    given = variance_swap.expiry_variance(surface, 20 / 365, (-0.1, 0.1))
    assert variance_swap.expiry_variance(surface, 20 / 365) == given
    index = variance_swap.index(surface)
    assert index.quoted_vol < index.vol
    assert index.tail_share == pytest.approx(1.0 - (index.quoted_vol / index.vol) ** 2)


def test_between_two_expiries_total_variance_is_linear_in_time() -> None:
    surface = Flat(0.5)
    assert variance_swap.index(surface, 30.0).vol == pytest.approx(0.5, rel=1e-10)

    class Steep(Flat):
        def total_variance(self, k, expiry_years):
            return np.broadcast_to(0.2 * np.asarray(expiry_years) ** 2, np.shape(k))

    near, far, years = 20 / 365, 45 / 365, 30 / 365
    index = variance_swap.index(Steep(), 30.0)
    weight = (years - near) / (far - near)
    expected = (1 - weight) * 0.2 * near**2 + weight * 0.2 * far**2
    assert index.vol == pytest.approx(math.sqrt(expected / years), rel=1e-9)
    assert not index.is_extrapolated
    assert [item.expiry_years for item in index.expiries] == [near, far]


@pytest.mark.parametrize(("days", "extrapolated"), [(10.0, True), (20.0, False), (90.0, True)])
def test_outside_the_listed_expiries_the_nearest_volatility_is_used_and_said_so(
    days: float, extrapolated: bool
) -> None:
    index = variance_swap.index(Flat(0.7), days)
    assert index.vol == pytest.approx(0.7, rel=1e-10)
    assert index.is_extrapolated is extrapolated
    assert len(index.expiries) == 1


def test_a_surface_without_expiries_has_no_index() -> None:
    index = variance_swap.index(Flat(0.7, ()), 30.0)
    assert math.isnan(index.vol)
    assert index.expiries == ()


@pytest.mark.slow
def test_a_board_is_calibrated_first() -> None:
    from vol_platform.quant._board import synthetic_board
    from vol_platform.quant.surface import calibrate

    board = synthetic_board()
    assert variance_swap.index(board, 30.0).vol == variance_swap.index(calibrate(board), 30.0).vol


def test_impossible_maturities_raise_with_their_value() -> None:
    with pytest.raises(QuantError, match="days must be > 0, was -30"):
        variance_swap.index(Flat(), -30.0)
    with pytest.raises(QuantError, match="expiry_years must be > 0, was 0"):
        variance_swap.expiry_variance(Flat(), 0.0)
