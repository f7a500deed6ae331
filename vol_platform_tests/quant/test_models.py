"""Every model behind one interface: a smile by name, a surface by name, measured alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from vol_platform.quant import arbitrage, sabr, spline, svi, term_structure, variance_swap
from vol_platform.quant.errors import QuantError
from vol_platform.quant.models import MODELS, Essvi, SliceSurface, fit_smile, fit_surface
from vol_platform.quant.surface import Board, Surface, SurfaceConfig
from vol_platform_tests.quant.boards import essvi_vol, synthetic_frame

FloatArray = npt.NDArray[np.float64]
K = np.linspace(-0.4, 0.4, 21)
YEARS = 0.25
KINDS = dict(zip(MODELS, (svi.Raw, Essvi, Essvi, sabr.Sabr, spline.VarianceSpline), strict=True))


@pytest.fixture(scope="module")
def board() -> Board:
    return Board.from_frame(synthetic_frame((9.0, 30.0, 90.0)))


@pytest.mark.parametrize("model", MODELS)
def test_a_smile_of_every_model_stays_near_the_smile_that_made_the_quotes(model: str) -> None:
    vol = essvi_vol(K, YEARS)
    smile = fit_smile(model, K, vol - 0.01, vol + 0.01, YEARS)
    assert isinstance(smile.parameters, KINDS[model])
    assert np.abs(smile.vol(K) - vol).max() < 0.01
    assert smile.total_variance(0.1) == pytest.approx(float(smile.vol(0.1)) ** 2 * YEARS)
    assert smile.total_variance(K.reshape(3, 7)).shape == (3, 7)


@pytest.mark.parametrize("model", MODELS)
def test_rows_that_say_nothing_are_left_out_and_too_few_points_are_an_error(model: str) -> None:
    vol = essvi_vol(K, YEARS)
    bid, ask = vol - 0.01, vol + 0.01
    bid[3], ask[5] = np.nan, 0.0
    keep = np.setdiff1d(np.arange(K.size), [3, 5])
    one = fit_smile(model, K, bid, ask, YEARS)
    two = fit_smile(model, K[keep], bid[keep], ask[keep], YEARS)
    assert one.vol(K) == pytest.approx(two.vol(K))
    with pytest.raises(QuantError, match="usable points are needed"):
        fit_smile(model, K[:2], bid[:2], ask[:2], YEARS)
    with pytest.raises(QuantError, match="expiry_years must be > 0, was 0"):
        fit_smile(model, K, bid, ask, 0.0)


@pytest.mark.parametrize("model", MODELS)
def test_a_surface_of_every_model_can_be_measured(board: Board, model: str) -> None:
    surface = fit_surface(board, model)
    assert isinstance(surface, SliceSurface if model in ("sabr", "spline") else Surface)
    assert surface.active.tolist() == [0, 1, 2]
    assert surface.reasons == {}
    level = term_structure.atm(surface, [9 / 365, 20 / 365, 90 / 365, 0.5])
    expected = [float(essvi_vol(np.zeros(1), T)[0]) for T in (9 / 365, 20 / 365, 90 / 365, 0.5)]
    assert level == pytest.approx(expected, abs=0.02)
    ours = variance_swap.index(fit_surface(board), 30.0).vol
    assert variance_swap.index(surface, 30.0).vol == pytest.approx(ours, abs=0.02)
    strikes = np.array([60_000.0, 70_000.0, -1.0])
    vols = surface.iv(30 / 365, strikes)
    assert vols[:2] == pytest.approx(fit_surface(board).iv(30 / 365, strikes[:2]), abs=0.03)
    assert np.isnan(vols[2])


def test_time_between_slices_is_event_time_as_on_our_own_surface(board: Board) -> None:
    slices = fit_surface(board, "sabr")
    assert isinstance(slices, SliceSurface)
    near, far = (slices.total_variance(K, days / 365) for days in (9.0, 30.0))
    ours = fit_surface(board)
    share = (ours.total_variance(K, 20 / 365) - ours.total_variance(K, 9 / 365)) / (
        ours.total_variance(K, 30 / 365) - ours.total_variance(K, 9 / 365)
    )
    assert slices.total_variance(K, 20 / 365) == pytest.approx(near + share * (far - near))
    early, late = slices.total_variance(K, 1 / 365), slices.total_variance(K, 1.0)
    assert early / near == pytest.approx(np.full(K.size, early[0] / near[0]))
    assert np.ptp(late - slices.total_variance(K, 90 / 365)) < 1e-12


def test_an_expiry_without_the_quotes_has_a_reason_and_a_board_without_any_is_nan() -> None:
    near, far = synthetic_frame((9.0,)), synthetic_frame((30.0,))
    thin = pl.concat([near.filter(pl.col("strike") == near["strike"][15]), far])
    surface = fit_surface(Board.from_frame(thin), "spline")
    assert surface.active.tolist() == [1]
    assert "three different usable points" in surface.reasons[0]
    nothing = fit_surface(Board.from_frame(thin.clear()), "sabr")
    assert np.isnan(nothing.total_variance(K, 0.1)).all()


def test_a_setting_reaches_the_surface_of_any_model(board: Board) -> None:
    calendar = fit_surface(board, "sabr", SurfaceConfig(weekend_weight=1.0))
    event = fit_surface(board, "sabr", SurfaceConfig(weekend_weight=0.3))
    at = [float(x.total_variance(0.0, 12 / 365)) for x in (calendar, event)]
    assert at[0] != at[1]
    essvi = fit_surface(board, "essvi", SurfaceConfig(model="svi"))
    assert isinstance(essvi, Surface)
    assert essvi.config.model == "essvi"
    assert arbitrage.check(essvi).is_free


def test_unknown_models_and_maturities_in_the_past_are_errors(board: Board) -> None:
    for call in (lambda: fit_smile("heston", K, K, K, 0.1), lambda: fit_surface(board, "heston")):
        with pytest.raises(QuantError, match="model must be one of svi, essvi, ssvi, sabr, spline"):
            call()
    with pytest.raises(QuantError, match="expiry_years must be > 0, was -1"):
        fit_surface(board, "spline").total_variance(K, -1.0)
