"""The variance spline: through its nodes, smooth when asked, tame outside."""

from __future__ import annotations

import numpy as np
import pytest

from vol_platform.quant import spline
from vol_platform.quant.errors import QuantError

K = np.linspace(-0.5, 0.5, 15)
SMILE = 0.6 - 0.2 * K + 0.8 * K**2


def test_without_smoothing_it_goes_through_every_mid() -> None:
    fitted = spline.fit(K, SMILE - 0.01, SMILE + 0.01, 0.1, smoothing=0.0)
    assert np.sqrt(fitted.total_variance(K) / 0.1) == pytest.approx(SMILE, abs=1e-14)
    between = np.sqrt(fitted.total_variance(0.5 * (K[:-1] + K[1:])) / 0.1)
    middle = 0.5 * (K[:-1] + K[1:])
    assert between == pytest.approx(0.6 - 0.2 * middle + 0.8 * middle**2, abs=1e-3)


def test_smoothing_takes_out_noise() -> None:
    k = np.linspace(-0.5, 0.5, 61)
    truth = 0.6 - 0.2 * k + 0.8 * k**2
    noisy = truth + np.random.default_rng(4).normal(0, 0.01, k.size)
    through = spline.fit(k, noisy - 0.02, noisy + 0.02, 0.1, smoothing=0.0)
    smooth = spline.fit(k, noisy - 0.02, noisy + 0.02, 0.1)

    def error(fitted: spline.VarianceSpline) -> float:
        return float(np.sqrt(np.mean((np.sqrt(fitted.total_variance(k) / 0.1) - truth) ** 2)))

    assert error(smooth) < 0.7 * error(through)


def test_wings_are_straight_rise_outwards_and_keep_lees_bound() -> None:
    steep = spline.VarianceSpline(np.array([-0.1, 0.0, 0.1]), np.array([0.9, 0.1, 0.9]))
    far = np.array([-50.0, -20.0, -5.0, 5.0, 20.0, 50.0])
    wings = steep.total_variance(far)
    slopes = np.diff(wings) / np.diff(far)
    assert slopes[:2] == pytest.approx([-1.95, -1.95])
    assert slopes[-2:] == pytest.approx([1.95, 1.95])
    falling = spline.VarianceSpline(np.array([-0.1, 0.0, 0.1]), np.array([0.3, 0.2, 0.1]))
    assert float(falling.total_variance(9.0)) == pytest.approx(0.1)
    assert float(falling.total_variance(-9.0)) > 0.3


def test_repeated_strikes_are_averaged_and_missing_ones_left_out() -> None:
    k = np.concatenate((K, K[:1]))
    mid = np.concatenate((SMILE, SMILE[:1] + 0.02))
    bid = mid.copy()
    bid[4] = np.nan
    fitted = spline.fit(k, bid, mid, 0.1, smoothing=0.0)
    assert fitted.k.size == K.size - 1
    assert np.sqrt(fitted.variance[0] / 0.1) == pytest.approx(SMILE[0] + 0.01)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((K[:2], SMILE[:2], SMILE[:2], 0.1), "three different usable points are needed"),
        ((K, SMILE[:3], SMILE, 0.1), "one length"),
        ((K, SMILE, SMILE, -1.0), "expiry_years must be > 0, was -1"),
        ((K, SMILE, SMILE, 0.1, -2.0), "smoothing must be >= 0 or None, was -2"),
    ],
)
def test_impossible_arguments_raise_with_their_value(arguments, text: str) -> None:
    with pytest.raises(QuantError, match=text):
        spline.fit(*arguments)


def test_nodes_must_be_ordered_and_positive() -> None:
    with pytest.raises(QuantError, match="must increase"):
        spline.VarianceSpline(np.array([0.0, 0.0, 1.0]), np.ones(3))
    with pytest.raises(QuantError, match="three nodes or more"):
        spline.VarianceSpline(np.array([0.0, 1.0]), np.ones(2))
