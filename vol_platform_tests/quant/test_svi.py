"""Coordinates, Jacobian and slice fits of SVI; the Vogt example."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vol_platform.quant import arbitrage, svi
from vol_platform.quant._fit.joint_fit import row_gradient
from vol_platform.quant._slices import KNOTS, ROW, derivatives, raw_to_row, row_to_raw
from vol_platform.quant.errors import QuantError
from vol_platform.quant.surface import Board, SurfaceConfig, calibrate
from vol_platform_tests.quant.boards import synthetic_frame

# Axel Vogt's example, Gatheral and Jacquier (2014), Example 3.1: a smile with butterfly arbitrage.
VOGT = (-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)
K = np.linspace(-1.2, 1.2, 49)

slices = st.tuples(
    st.floats(0.0, 0.5),
    st.floats(0.02, 0.8),
    st.floats(-0.9, 0.9),
    st.floats(-0.5, 0.5),
    st.floats(0.02, 1.0),
)


@given(slices, st.floats(0.01, 2.0))
def test_raw_natural_and_jump_wings_describe_the_same_smile(
    raw: tuple[float, float, float, float, float], years: float
) -> None:
    expected = svi.total_variance(K, *raw)
    natural = svi.natural_to_raw(*svi.raw_to_natural(*raw))
    assert svi.total_variance(K, *natural) == pytest.approx(expected, rel=1e-9)
    wings = svi.raw_to_jw(*raw, expiry_years=years)
    assume(wings.v - wings.v_tilde > 1e-6 * wings.v)  # else JW leaves the curvature open
    back = svi.jw_to_raw(*wings, expiry_years=years)
    assert svi.total_variance(K, *back) == pytest.approx(expected, rel=1e-5)


def test_jump_wings_are_what_they_say() -> None:
    a, b, rho, m, sigma = 0.04, 0.3, -0.3, 0.05, 0.2
    wings = svi.raw_to_jw(a, b, rho, m, sigma, expiry_years=0.5)
    w0, slope, _ = svi.total_variance_derivatives(0.0, a, b, rho, m, sigma)
    assert wings.v * 0.5 == pytest.approx(float(w0))
    assert wings.psi == pytest.approx(float(slope / (2 * np.sqrt(w0))))
    far = svi.total_variance(np.array([-1e6, 1e6]), a, b, rho, m, sigma) / 1e6
    assert far / np.sqrt(w0) == pytest.approx([wings.p, wings.c], rel=1e-5)
    grid = svi.total_variance(np.linspace(-2, 2, 400_001), a, b, rho, m, sigma)
    assert wings.v_tilde * 0.5 == pytest.approx(float(grid.min()))


def test_the_vogt_slice_in_jump_wings_has_the_values_of_the_paper() -> None:
    wings = svi.raw_to_jw(*VOGT, expiry_years=1.0)
    published = (0.01742625, -0.1752111, 0.6997381, 1.316798, 0.0116249)
    assert tuple(wings) == pytest.approx(published, rel=2e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: svi.raw_to_jw(0.04, 0.1, 0.0, 0.0, 0.1, expiry_years=0.0), "expiry_years"),
        (lambda: svi.jw_to_raw(-0.1, 0.0, 0.5, 0.5, 0.1, expiry_years=1.0), "need expiry_years"),
        (lambda: svi.jw_to_raw(0.1, 5.0, 0.5, 0.5, 0.1, expiry_years=1.0), "outside what p"),
        (lambda: svi.raw_to_natural(0.04, 0.1, 1.0, 0.0, 0.1), "need sigma"),
        (lambda: svi.natural_to_raw(0.0, 0.0, 0.0, 0.1, 0.0), "need zeta"),
        (lambda: svi.fit([0, 1], [0.5, 0.5], [0.6, 0.6], 0.1), "five usable points"),
        (lambda: svi.fit([0, 1], [0.5], [0.6], 0.1), "one length"),
        (lambda: svi.fit([0.0] * 5, [0.5] * 5, [0.6] * 5, -0.1), "expiry_years must be > 0"),
    ],
)
def test_impossible_arguments_are_errors_that_name_them(call, words: str) -> None:
    with pytest.raises(QuantError, match=words):
        call()


@pytest.mark.parametrize("k", [-0.7, -0.11, 0.0, 0.07, 0.31, 0.9])
def test_the_analytic_jacobian_is_the_derivative_of_all_three_functions(k: float) -> None:
    generator = np.random.default_rng(11)
    row = raw_to_row(0.03, 0.25, -0.3, 0.04, 0.15)
    row[5], row[6] = -0.8, 0.13
    row[7:] = 0.002 * generator.standard_normal(KNOTS)
    index, jac = np.empty(9, dtype=np.int64), np.empty((3, 9))
    count = row_gradient(row, k, 2, index, jac)
    numeric = np.zeros((3, 5 + KNOTS))
    for j in range(5 + KNOTS):
        at, step = (j, 1e-6) if j < 5 else (j + 2, 1e-6)
        up, down = row.copy(), row.copy()
        up[at] += step
        down[at] -= step
        difference = np.subtract(derivatives(up, k), derivatives(down, k))
        numeric[:, j] = difference / (2 * step)
    analytic = np.zeros_like(numeric)
    analytic[:, index[:count]] = jac[:, :count]
    assert analytic == pytest.approx(numeric, rel=2e-6, abs=2e-7)


def test_a_row_without_residual_is_its_raw_slice() -> None:
    row = raw_to_row(*VOGT)
    assert row.size == ROW
    assert row_to_raw(row) == pytest.approx(VOGT)
    w, w1, w2 = derivatives(row, 0.2)
    expected = svi.total_variance_derivatives(0.2, *VOGT)
    assert (w, w1, w2) == pytest.approx(tuple(float(x) for x in expected))


def test_a_fit_to_points_of_a_free_slice_recovers_it() -> None:
    truth = (0.01, 0.12, -0.25, 0.01, 0.12)
    vol = np.sqrt(svi.total_variance(K / 3, *truth) / 0.1)
    found = svi.fit(K / 3, vol - 1e-5, vol + 1e-5, 0.1)
    refit = np.sqrt(svi.total_variance(K / 3, *found) / 0.1)
    assert np.abs(refit - vol).max() < 5e-4


def test_the_vogt_smile_is_found_out_and_repaired() -> None:
    _, smallest = arbitrage.slice_minimum(*VOGT)
    assert smallest < -0.01
    vol = np.sqrt(svi.total_variance(K, *VOGT))
    repaired = svi.fit(K, vol - 0.002, vol + 0.002, 1.0)
    _, after = arbitrage.slice_minimum(*repaired)
    assert after > 0
    refit = np.sqrt(svi.total_variance(K, *repaired))
    assert np.sqrt(np.mean((refit - vol) ** 2)) < 0.02


def test_error_bars_of_a_slice_are_those_of_the_surface_at_the_money() -> None:
    board = Board.from_frame(synthetic_frame((30.0,)))
    surface = calibrate(board, config=SurfaceConfig(residual=False))
    quotes = board.fit_quotes
    errors = svi.standard_errors(
        svi.Raw(*surface.report[0].raw), quotes.k, quotes.bid_vol, quotes.ask_vol, 30 / 365
    )
    assert float(errors.vol(0.0)) == pytest.approx(surface.report[0].vol_error, rel=1e-6)
    assert (np.array(errors.parameters) > 0).all()


def test_error_bars_cover_the_truth_of_noisy_quotes() -> None:
    """Mids drawn uniformly inside their spreads: the error over its bar has size about 1."""
    truth, years = svi.Raw(0.01, 0.12, -0.25, 0.01, 0.12), 0.1
    k = K / 3
    vol = np.sqrt(svi.total_variance(k, *truth) / years)
    half, generator = 0.01, np.random.default_rng(3)
    scores = []
    for _ in range(40):
        mid = vol + generator.uniform(-half, half, k.size)
        found = svi.fit(k, mid - half, mid + half, years)
        bar = svi.standard_errors(found, k, mid - half, mid + half, years).vol(0.0)
        fitted = np.sqrt(svi.total_variance(0.0, *found) / years)
        scores.append(float((fitted - np.sqrt(svi.total_variance(0.0, *truth) / years)) / bar))
    assert 0.5 < np.sqrt(np.mean(np.square(scores))) < 2.0


def test_error_bars_shrink_with_the_spread_and_the_number_of_quotes() -> None:
    truth = svi.Raw(0.01, 0.12, -0.25, 0.01, 0.12)
    vol = np.sqrt(svi.total_variance(K, *truth) / 0.1)
    wide, narrow, few = (
        float(svi.standard_errors(truth, k, v - half, v + half, 0.1).vol(0.05))
        for k, v, half in ((K, vol, 0.02), (K, vol, 0.01), (K[::4], vol[::4], 0.01))
    )
    assert narrow < 0.6 * wide
    assert narrow < few
    with pytest.raises(QuantError, match="variance at the money must be > 0, was -1"):
        svi.standard_errors(svi.Raw(-1.0, 0.0, 0.0, 0.0, 0.1), K, vol, vol, 0.1)
