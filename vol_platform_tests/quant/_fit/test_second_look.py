"""A free surface that misses its quotes is fitted once more; only a better one is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vol_platform.quant._fit import chain
from vol_platform.quant._fit.calibrate import COLD, KEEP, Calibration
from vol_platform.quant._fit.guarantee import check_rows
from vol_platform.quant._fit.second_look import look_again, mean_miss
from vol_platform.quant._slices import derivatives
from vol_platform.quant.surface import Board, calibrate
from vol_platform_tests.quant.boards import recorded_frame, synthetic_frame


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Calibration:
    """Return the state of a finished calibration of a board without any difficulty."""
    kept: list[Calibration] = []
    monkeypatch.setattr(chain, "look_again", lambda state: kept.append(state) or state)
    calibrate(Board.from_frame(synthetic_frame((9.0, 30.0, 80.0), noise=0.5)))
    return kept[0]


def spoil(state: Calibration) -> None:
    """Lift the middle slice a little: still free, but outside its quotes."""
    state.rows[1, 0] += 0.06 * derivatives(state.rows[1], 0.0)[0]
    g, gap = check_rows(state.rows)
    assert (g > 0).all()
    assert (gap >= 0).all()


def test_a_surface_that_meets_its_quotes_is_left_alone(found: Calibration) -> None:
    assert mean_miss(found.rows, found.problem).max() < 0.01
    assert look_again(found) is found


def test_a_slice_outside_its_quotes_is_brought_back_and_the_surface_stays_free(
    found: Calibration,
) -> None:
    spoil(found)
    before = mean_miss(found.rows, found.problem)
    assert before[1] > 0.1
    better = look_again(found)
    assert mean_miss(better.rows, better.problem).max() < 0.01
    g, gap = check_rows(better.rows)
    assert (g > 0).all()
    assert (gap >= 0).all()
    assert mean_miss(found.rows, found.problem) == pytest.approx(before), "the first is not touched"


def test_what_was_taken_over_unchanged_is_not_looked_at_again(found: Calibration) -> None:
    spoil(found)
    found.start[:] = KEEP
    assert look_again(found) is found


def test_a_second_surface_that_is_no_better_or_not_free_is_dropped(
    found: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(found)
    monkeypatch.setattr(Calibration, "begin_again", lambda self, _: self)
    assert look_again(found) is found
    monkeypatch.setattr(Calibration, "begin_again", lambda _self, _: None)
    assert look_again(found) is found


def test_slices_without_two_sided_quotes_miss_nothing(found: Calibration) -> None:
    assert found.start.tolist() == [COLD] * 3
    found.problem.kind[:] = 1
    assert mean_miss(found.rows, found.problem).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("seed", range(4))
def test_no_slice_of_a_crash_day_is_left_far_from_its_quotes(real_data: Path, seed: int) -> None:
    """Ages change the weights a little: the surface may not depend on that luck."""
    name = "deribit_options_snapshot_20260204T155401Z.csv.gz"
    frame = recorded_frame(real_data / "chains" / "znmahbub" / name, "BTC")
    age = np.random.default_rng(seed).exponential(8.0, frame.height)
    surface = calibrate(Board.from_frame(frame.with_columns(pl.Series("age_seconds", age))))
    assert min(item.in_spread_share for item in surface.report if item.quotes >= 5) >= 0.8
