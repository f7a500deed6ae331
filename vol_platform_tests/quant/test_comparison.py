"""Models side by side: the same quotes, the same checks, and no claim that a check denies."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from vol_platform.quant._no_arbitrage.finite_checks import (
    checked_range,
    has_butterfly,
    has_calendar,
    has_steep_wings,
)
from vol_platform.quant.comparison import MODELS, compare_models, summarise_models
from vol_platform.quant.surface import Board, calibrate
from vol_platform.quant.svi import total_variance
from vol_platform.quant.validation import validate_board
from vol_platform_tests.quant.boards import synthetic_frame

FloatArray = npt.NDArray[np.float64]


def vogt(k: FloatArray) -> FloatArray:
    """Axel Vogt's slice (Gatheral and Jacquier 2014): its density is negative near k = 0.8."""
    return total_variance(k, -0.0410, 0.1331, 0.3060, 0.3586, 0.4153)


def skewed(k: FloatArray, years: float) -> FloatArray:
    """Skew that turns with the expiry, which SSVI with its one rho cannot follow."""
    return np.asarray(0.5 + (0.25 - 0.6 * np.exp(-8 * years)) * k + 0.4 * k * k)


@pytest.fixture(scope="module")
def board() -> Board:
    frame = synthetic_frame(days=(9.0, 30.0, 90.0), vol=skewed, noise=0.9)
    few = synthetic_frame(days=(50.0,), strikes=3).filter(pl.col("is_call"))
    return Board.from_frame(pl.concat([frame, few]))


@pytest.fixture(scope="module")
def comparison(board: Board) -> pl.DataFrame:
    return compare_models(board)


def test_every_model_has_a_row_for_every_expiry(board: Board, comparison: pl.DataFrame) -> None:
    rows = comparison.group_by("model", maintain_order=True).agg("expiry_ts")
    assert rows["model"].to_list() == list(MODELS)
    assert rows["expiry_ts"].to_list() == [list(board.expiry_ts)] * len(MODELS)


def test_a_model_that_lacks_quotes_says_so_and_has_no_figures(comparison: pl.DataFrame) -> None:
    refused = comparison.filter(pl.col("reason") != "")
    assert refused["model"].to_list() == ["sabr", "spline"]
    assert "three usable points are needed" in refused["reason"][0]
    assert refused["rmse"].null_count() == refused["butterfly_free"].null_count() == 2
    assert comparison.filter(pl.col("reason") == "")["rmse"].null_count() == 0


def test_our_row_is_what_validation_says_of_the_surface(
    board: Board, comparison: pl.DataFrame
) -> None:
    report = validate_board(board, calibrate(board))
    ours = summarise_models(comparison.filter(pl.col("model") == "svi")).to_dicts()[0]
    assert (ours["slices"], ours["quotes"]) == (report.fitted, report.quotes)
    assert ours["in_spread_share"] == pytest.approx(report.in_spread_share)
    assert 100 * ours["rmse"] == pytest.approx(report.rmse_vol_points)
    assert ours["butterfly_violations"] == ours["calendar_violations"] == 0


def test_a_surface_that_is_already_fitted_is_not_fitted_again(
    board: Board, comparison: pl.DataFrame
) -> None:
    assert compare_models(board, calibrate(board)).equals(comparison)


def test_models_rank_as_their_freedom_allows(comparison: pl.DataFrame) -> None:
    rmse = dict(summarise_models(comparison).select("model", "rmse").iter_rows())
    assert rmse["svi"] < rmse["essvi"] < rmse["ssvi"]


def test_surfaces_free_by_construction_show_no_violation(comparison: pl.DataFrame) -> None:
    free = summarise_models(comparison.filter(pl.col("model").is_in(["svi", "essvi", "ssvi"])))
    for kind in ("butterfly", "calendar", "wing"):
        assert free[f"{kind}_violations"].sum() == 0


def test_a_spline_through_noisy_quotes_is_found_out() -> None:
    def bumpy(k: FloatArray, years: float) -> FloatArray:
        return np.asarray(0.5 + 0.3 * k * k + 0.03 * np.cos(40 * k / np.sqrt(years)) + 0 * years)

    noisy = Board.from_frame(synthetic_frame(days=(30.0,), vol=bumpy, half_spread_vol=0.002))
    verdicts = compare_models(noisy).filter(pl.col("model").is_in(["svi", "spline"]))
    free = dict(verdicts.select("model", "butterfly_free").iter_rows())
    assert free == {"svi": True, "spline": False}


def test_figures_are_pooled_over_quotes() -> None:
    common = {"model": "sabr", "butterfly_free": True, "calendar_free": False, "wings_free": True}
    rows = [
        {**common, "reason": "", "quotes": 30, "in_spread": 30, "rmse": 0.01},
        {**common, "reason": "", "quotes": 10, "in_spread": 0, "rmse": 0.03},
        {**common, "reason": "no forward", "quotes": 5, "in_spread": None, "rmse": None},
    ]
    (pooled,) = summarise_models(pl.DataFrame(rows)).to_dicts()
    assert (pooled["slices"], pooled["quotes"], pooled["in_spread_share"]) == (2, 40, 0.75)
    assert pooled["rmse"] == pytest.approx(np.sqrt((30 * 0.01**2 + 10 * 0.03**2) / 40))
    assert (pooled["butterfly_violations"], pooled["calendar_violations"]) == (0, 2)


def test_a_board_without_expiries_gives_no_rows() -> None:
    empty = Board.from_frame(synthetic_frame(days=(9.0,)).head(0))
    assert compare_models(empty).is_empty()


def test_finite_differences_find_vogts_negative_density() -> None:
    assert has_butterfly(vogt, -1.5, 1.5)
    assert not has_butterfly(vogt, -0.3, 0.3), "its middle is sound"


def test_a_concave_kink_is_found_wherever_it_lies() -> None:
    def roof(place: float, k: FloatArray) -> FloatArray:
        return np.asarray(0.09 - 0.02 * np.abs(k - place))

    for place in np.linspace(0.1001, 0.1019, 7):
        assert has_butterfly(partial(roof, float(place)), -0.5, 0.5)


def test_a_fall_of_variance_in_time_and_a_value_that_is_missing_are_violations() -> None:
    assert not has_calendar(lambda k: 0.04 + 0 * k, lambda k: 0.04 + 0 * k, -1, 1)
    assert has_calendar(lambda k: 0.04 + 0 * k, lambda k: 0.05 - 0.02 * k, -1, 1)
    assert has_calendar(lambda k: 0.04 + 0 * k, lambda k: np.nan * k, -1, 1)


def test_a_wing_above_lees_bound_is_too_steep() -> None:
    assert not has_steep_wings(lambda k: 0.04 + 1.9 * np.abs(k), -1, 1)
    assert has_steep_wings(lambda k: 0.04 + 2.1 * np.maximum(k, 0), -1, 1)
    assert has_steep_wings(lambda k: 0.04 + 2.1 * np.maximum(-k, 0), -1, 1)


def test_the_checked_range_reaches_beyond_the_quotes_and_past_the_money() -> None:
    assert checked_range(np.array([-0.5, 0.25]), 0.04) == pytest.approx((-0.8, 0.4))
    assert checked_range(np.array([0.1, 0.25]), 0.04) == pytest.approx((-0.16, 0.4))
