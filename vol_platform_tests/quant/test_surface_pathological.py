"""No board makes a surface raise, and no surface has an arbitrage."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vol_platform.quant import arbitrage
from vol_platform.quant.surface import Board, Surface, calibrate
from vol_platform.quant.validation import validate_board
from vol_platform_tests.quant.boards import SNAPSHOT, synthetic_frame

DAYS = (0.4, 2.0, 9.0, 40.0, 150.0)


def judged(frame: pl.DataFrame) -> Surface:
    """Calibrate and insist on freedom from arbitrage by both checks."""
    board = Board.from_frame(frame)
    surface = calibrate(board)
    assert arbitrage.check(surface).is_free
    report = validate_board(board, surface)
    assert report.violations == 0
    assert np.isfinite(surface.rows).all()
    for item in surface.report:
        assert item.status in ("ok", "repaired", "thin", "refused")
        assert bool(item.reason) == (item.status != "ok")
    return surface


def without(frame: pl.DataFrame, share: float, seed: int) -> pl.DataFrame:
    keep = np.random.default_rng(seed).random(frame.height) >= share
    return frame.filter(pl.Series(keep))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_boards_of_a_few_quotes_are_thin_and_say_how_many(count: int) -> None:
    frame = synthetic_frame((30.0,), strikes=31)
    strikes = frame["strike"].unique().sort().to_list()[12 : 12 + count]
    surface = judged(frame.filter(pl.col("strike").is_in(strikes)))
    assert surface.report[0].status == "thin"
    assert surface.report[0].quotes == count
    middle = surface.iv(30 / 365, surface.forward(30 / 365))
    assert 0.2 < float(middle) < 1.2


def test_one_thin_expiry_borrows_its_shape_from_the_neighbours() -> None:
    frame = synthetic_frame((9.0, 30.0, 80.0))
    thirty = SNAPSHOT + timedelta(days=30)
    strikes = frame.filter(pl.col("expiry_ts") == thirty)["strike"].unique().sort().to_list()
    thin = frame.filter((pl.col("expiry_ts") != thirty) | (pl.col("strike") == strikes[15]))
    surface, full = judged(thin), judged(frame)
    assert [item.status for item in surface.report] == ["ok", "thin", "ok"]
    assert surface.report[1].fit_source == "shifted"
    points = np.array(strikes)[8:23]
    assert surface.iv(30 / 365, points) == pytest.approx(full.iv(30 / 365, points), abs=0.02)


def test_a_wing_without_quotes_does_not_fly_away() -> None:
    frame = synthetic_frame((9.0, 30.0))
    surface = judged(frame.filter(pl.col("strike") >= pl.col("forward")))
    assert {item.status for item in surface.report} == {"thin"}
    assert 0.2 < float(surface.iv(30 / 365, 55_000.0)) < 2.0


def test_an_expiry_in_its_last_minutes_is_refused_with_the_seconds_left() -> None:
    frame = synthetic_frame((95 / 86_400, 9.0))
    surface = judged(frame)
    assert surface.report[0].status == "refused"
    assert surface.report[0].reason == "95 s to delivery, inside the settlement window"
    assert surface.report[1].status == "ok"
    assert np.isfinite(surface.iv(SNAPSHOT + timedelta(hours=2), 70_000.0))


def test_no_forward_and_no_quotes_are_reasons_not_errors() -> None:
    frame = synthetic_frame((2.0, 9.0, 30.0))
    first, second = SNAPSHOT + timedelta(days=2), SNAPSHOT + timedelta(days=9)
    nothing = pl.lit(None, dtype=pl.Float64)
    frame = frame.with_columns(
        pl.when(pl.col("expiry_ts") == first).then(nothing).otherwise("forward").alias("forward"),
        pl.when(pl.col("expiry_ts") == second)
        .then(nothing)
        .otherwise("bid_price")
        .alias("bid_price"),
    )
    surface = judged(frame)
    assert [item.status for item in surface.report] == ["refused", "refused", "ok"]
    assert surface.report[0].reason == "no forward"
    assert surface.report[1].reason.startswith("no two-sided out-of-the-money quote")
    rebuilt = Surface.from_frame(surface.to_frame())
    assert [item.status for item in rebuilt.report] == ["refused", "refused", "ok"]


def test_an_empty_board_gives_an_empty_surface() -> None:
    surface = judged(synthetic_frame((9.0,)).clear())
    assert surface.report == ()
    assert np.isnan(surface.iv(0.1, 70_000.0))
    assert surface.to_frame().height == 0


def test_a_board_whose_every_expiry_is_refused_still_answers() -> None:
    surface = judged(synthetic_frame((95 / 86_400,)))
    assert surface.active.size == 0
    assert np.isnan(surface.iv(0.1, 70_000.0))


def test_a_term_structure_that_falls_is_lifted_to_a_free_one() -> None:
    """Total variance that shrinks with time cannot be fitted; the surface stays free."""

    def falling(k: np.ndarray, years: float) -> np.ndarray:
        level = np.sqrt(0.01 * (0.03 / years) ** 1.5 / years)
        return np.asarray(np.sqrt(level**2 + 0.2 * k * k))

    judged(synthetic_frame((9.0, 20.0, 40.0), vol=falling))


def test_a_smile_with_a_dent_in_its_density_is_fitted_without_it() -> None:
    def dented(k: np.ndarray, years: float) -> np.ndarray:
        return np.asarray(0.6 - 0.15 * np.exp(-((k / (0.1 * np.sqrt(years))) ** 2)))

    judged(synthetic_frame((9.0, 40.0), vol=dented, half_spread_vol=0.002))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.65, 0.9]))
def test_boards_with_missing_rows_are_free(seed: int, share: float) -> None:
    judged(without(synthetic_frame(DAYS, noise=0.8, seed=seed % 1000), share, seed))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_boards_torn_by_a_moving_market_are_free(seed: int, share: float) -> None:
    """Part of the rows is priced at another forward and volatility than the rest."""
    generator = np.random.default_rng(seed)
    before = synthetic_frame(DAYS, seed=1)
    after = synthetic_frame(
        DAYS, seed=1, forward=70_000.0 * generator.uniform(0.97, 1.03)
    ).with_columns(before["strike"], before["forward"])
    pick = pl.Series(generator.random(before.height) < share)
    torn = before.with_columns(
        *(pl.when(pick).then(after[name]).otherwise(before[name]).alias(name)
          for name in ("bid_price", "ask_price"))
    )  # fmt: skip
    judged(torn)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1))
@example(167)  # flat in every expiry: an eSSVI chain without curvature
@example(1273)  # a thin slice between two wild ones: the shape between theirs is negative somewhere
def test_adversarial_quotes_are_free(seed: int) -> None:
    """Prices drawn at random: nothing about them is a market."""
    generator = np.random.default_rng(seed)
    frame = synthetic_frame(
        DAYS[: generator.integers(1, 6)], strikes=int(generator.integers(1, 20))
    )
    n = frame.height
    middle = frame["bid_price"].to_numpy() * np.exp(generator.normal(0, 1.0, n))
    width = np.exp(generator.normal(-2, 2, n))
    frame = frame.with_columns(
        pl.Series("bid_price", np.where(generator.random(n) < 0.1, np.nan, middle)),
        pl.Series("ask_price", np.where(generator.random(n) < 0.1, np.nan, middle * (1 + width))),
    )
    judged(frame)
