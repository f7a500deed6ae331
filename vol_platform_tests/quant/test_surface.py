"""Calibration, evaluation, persistence and warm starts of a surface."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from vol_platform.quant import arbitrage, black76
from vol_platform.quant.errors import QuantError
from vol_platform.quant.event_time import event_years
from vol_platform.quant.surface import Board, Surface, SurfaceConfig, calibrate
from vol_platform.quant.validation import pool, validate_board
from vol_platform_tests.quant.boards import SNAPSHOT, essvi_vol, synthetic_frame

DAYS = (1.0, 2.0, 9.0, 30.0, 80.0, 260.0)


@pytest.fixture(scope="module")
def board() -> Board:
    return Board.from_frame(synthetic_frame(DAYS, noise=0.5))


@pytest.fixture(scope="module")
def surface(board: Board) -> Surface:
    return calibrate(board)


def test_a_noisy_board_of_a_known_smile_gives_the_smile_back(surface: Surface) -> None:
    for day in DAYS:
        years = day / 365
        k = np.linspace(-1.5, 1.5, 25) * 0.5 * np.sqrt(years)
        fitted = surface.iv(years, surface.forward(years) * np.exp(k))
        assert np.abs(fitted - essvi_vol(k, years)).max() < 0.012
        assert np.sqrt(np.mean((fitted - essvi_vol(k, years)) ** 2)) < 0.005


def test_every_quote_is_met_and_nothing_is_violated(board: Board, surface: Surface) -> None:
    report = validate_board(board, surface)
    assert report.in_spread_share > 0.98
    assert report.retained_share == 1.0
    assert report.violations == 0
    assert arbitrage.check(surface).is_free
    assert report.to_row()["currency"] == "BTC"
    assert [item.status for item in surface.report] == ["ok"] * 6


def test_linear_contracts_give_the_same_surface_as_inverse_ones(surface: Surface) -> None:
    linear = calibrate(Board.from_frame(synthetic_frame(DAYS, noise=0.5, is_inverse=False)))
    for day in DAYS:
        strikes = surface.forward(day / 365) * np.array([0.95, 1.0, 1.05])
        assert linear.iv(day / 365, strikes) == pytest.approx(
            surface.iv(day / 365, strikes), abs=2e-4
        )


def test_the_same_board_gives_the_same_bytes(board: Board, surface: Surface) -> None:
    again = calibrate(Board.from_frame(synthetic_frame(DAYS, noise=0.5)))
    assert again.rows.tobytes() == surface.rows.tobytes()
    assert again.to_frame().equals(surface.to_frame())


def test_the_order_of_the_rows_does_not_matter(surface: Surface) -> None:
    shuffled = synthetic_frame(DAYS, noise=0.5).sample(fraction=1.0, shuffle=True, seed=3)
    assert calibrate(Board.from_frame(shuffled)).rows.tobytes() == surface.rows.tobytes()


def test_a_surface_survives_its_table_row(surface: Surface) -> None:
    rebuilt = Surface.from_frame(surface.to_frame())
    assert rebuilt.rows == pytest.approx(surface.rows, rel=1e-12, abs=1e-15)
    strikes = np.linspace(50_000, 90_000, 9)
    for years in (0.001, 0.02, 0.4, 1.5):
        assert rebuilt.iv(years, strikes) == pytest.approx(surface.iv(years, strikes), rel=1e-9)
    assert rebuilt.to_frame().drop("residual").equals(surface.to_frame().drop("residual"))


def test_a_frame_of_two_surfaces_or_without_columns_is_an_error(surface: Surface) -> None:
    frame = surface.to_frame()
    other = frame.with_columns(pl.lit("ETH").alias("currency"))
    with pytest.raises(QuantError, match="currency has 2 values"):
        Surface.from_frame(pl.concat([frame, other]))
    with pytest.raises(QuantError, match="missing: rho"):
        Surface.from_frame(frame.drop("rho"))
    with pytest.raises(QuantError, match="missing: strike"):
        Board.from_frame(synthetic_frame((9.0,)).drop("strike"))
    mixed = synthetic_frame((9.0,)).with_columns(pl.Series("is_inverse", [True, False] * 31))
    with pytest.raises(QuantError, match="is_inverse has 2 values"):
        Board.from_frame(mixed)


def test_unchanged_slices_are_taken_over_and_changed_ones_fitted_again(
    board: Board, surface: Surface
) -> None:
    same = calibrate(board, previous=surface)
    assert same.rows.tobytes() == surface.rows.tobytes()
    assert same.fit is not None
    assert same.fit.steps == 0
    frame = synthetic_frame(DAYS, noise=0.5)
    third = frame["expiry_ts"].unique().sort()[2]
    moved = frame.with_columns(
        pl.when(pl.col("expiry_ts") == third)
        .then(pl.col("ask_price") * 1.01)
        .otherwise(pl.col("ask_price"))
    )
    warm = calibrate(Board.from_frame(moved), previous=surface)
    changed = [bool((a != b).any()) for a, b in zip(warm.rows, surface.rows, strict=True)]
    assert changed == [False, False, True, False, False, False]


def test_a_warm_surface_is_as_good_as_a_cold_one(surface: Surface) -> None:
    later = Board.from_frame(synthetic_frame(DAYS, noise=0.5, seed=8, forward=70_140.0))
    warm, cold = calibrate(later, previous=surface), calibrate(later)
    assert validate_board(later, warm).violations == 0
    share = validate_board(later, warm).in_spread_share
    assert share >= validate_board(later, cold).in_spread_share - 0.02
    assert warm.fit is not None
    assert cold.fit is not None
    assert warm.fit.steps < cold.fit.steps


def test_a_market_that_moved_far_is_fitted_from_its_quotes_alone(surface: Surface) -> None:
    later = Board.from_frame(synthetic_frame(DAYS, noise=0.5, seed=8, forward=70_700.0))
    assert calibrate(later, previous=surface).rows.tobytes() == calibrate(later).rows.tobytes()


def test_between_expiries_variance_grows_in_event_time_and_at_expiries_it_is_the_slice(
    surface: Surface,
) -> None:
    near, far = 30 / 365, 80 / 365
    k = np.linspace(-0.3, 0.3, 7)
    w = [surface.total_variance(k, T) for T in np.linspace(near, far, 21)]
    assert (np.diff(w, axis=0) > 0).all()
    weight = surface.config.weekend_weight
    at = [event_years(SNAPSHOT, T, weight) for T in (near, 50 / 365, far)]
    share = (at[1] - at[0]) / (at[2] - at[0])
    assert surface.total_variance(k, 50 / 365) == pytest.approx(w[0] + share * (w[-1] - w[0]))
    grid = surface.total_variance(k[:, None], np.array([near, 0.15, far])[None, :])
    assert grid.shape == (7, 3)
    assert grid[:, 0] == pytest.approx(w[0])


def test_before_the_first_expiry_the_smile_scales_and_stays_free(surface: Surface) -> None:
    k = np.linspace(-0.1, 0.1, 401)
    for years in (0.2 / 365, 0.6 / 365):
        w = surface.total_variance(k, years)
        slope, bend = np.gradient(w, k), np.gradient(np.gradient(w, k), k)
        g = (1 - k * slope / (2 * w)) ** 2 - slope**2 / 4 * (1 / w + 0.25) + bend / 2
        assert (g[4:-4] > 0).all()
    assert (surface.total_variance(k, 1.2) > surface.total_variance(k, 260 / 365)).all()


def test_event_time_counts_a_weekend_second_less() -> None:
    friday_to_monday = event_years(SNAPSHOT + timedelta(days=2, hours=14), 3 / 365, 0.5)
    assert friday_to_monday * 365 == pytest.approx(2.0)
    assert event_years(None, 0.3, 0.5) == 0.3
    assert event_years(SNAPSHOT, 7 / 365, 0.5) * 365 == pytest.approx(6.0)


def test_delta_strikes_have_their_delta(surface: Surface) -> None:
    for years in (9 / 365, 0.15):
        forward = surface.forward(years)
        for delta in (0.1, 0.25, 0.5, -0.25, -0.1):
            strike = float(surface.delta_strike(years, delta))
            vol = float(surface.iv(years, strike))
            deviation = vol * np.sqrt(years)
            d1 = np.log(forward / strike) / deviation + deviation / 2
            from scipy.special import ndtr

            found = ndtr(d1) if delta > 0 else ndtr(d1) - 1
            assert found == pytest.approx(delta, abs=1e-7)
        call = float(surface.delta_strike(years, 0.25, premium_adjusted=True))
        price = float(black76.price(forward, call, years, surface.iv(years, call), is_call=True))
        plain = float(surface.delta_strike(years, 0.25))
        assert call < plain
        assert price > 0
    assert np.isnan(surface.delta_strike(0.1, [0.0, 1.0, -1.0])).all()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda s: s.iv("2026-05-08", 70_000.0), "a datetime or years as a number, was '2026-05"),
        (lambda s: s.iv(float("nan"), 70_000.0), "after the snapshot, was nan years"),
        (lambda s: s.total_variance(0.0, [0.1, float("nan")]), "must be > 0, was nan"),
        (lambda _: calibrate(synthetic_frame()), "must be a Board .*, was DataFrame"),
        (lambda _: Board.from_frame({"strike": [1.0]}), "polars DataFrame, was dict"),
        (lambda _: SurfaceConfig(roughness=-3.0), "roughness must be >= 0, was -3"),
        (lambda _: SurfaceConfig(rounds=-1), "rounds must be >= 0 .* were -1 and 8"),
    ],
)
def test_a_bad_argument_is_an_error_with_its_value(surface: Surface, call, text: str) -> None:
    with pytest.raises(QuantError, match=text):
        call(surface)


def test_a_surface_without_a_snapshot_wants_years(surface: Surface) -> None:
    timeless = replace(surface, snapshot_ts=None)
    listed = surface.expiry_ts[2]
    assert timeless.atm_vol(listed) == surface.atm_vol(listed)
    assert timeless.atm_vol(listed) == pytest.approx(
        float(surface.iv(listed, surface.forward(listed)))
    )
    with pytest.raises(QuantError, match="no snapshot time; give years instead of 2026-04-30"):
        timeless.iv(SNAPSHOT + timedelta(days=22), 70_000.0)
    assert surface.years_to(SNAPSHOT + timedelta(days=22)) == pytest.approx(22 / 365)
    assert surface.years_to((SNAPSHOT + timedelta(days=22)).replace(tzinfo=None)) > 0.06


def test_a_surface_that_was_put_together_by_hand_has_no_report(surface: Surface) -> None:
    bare = replace(surface, fit=None, board=None, stored=None)
    assert bare.report == ()
    assert bare.reasons == {}
    empty = replace(bare, active=bare.active[:0], rows=bare.rows[:0])
    assert np.isnan(empty.delta_strike(0.1, [0.25, -0.25])).all()
    with pytest.raises(QuantError, match="the surface of BTC has no fitted expiry"):
        empty.smiles([0.1])


def test_a_board_in_a_notebook_says_what_it_holds(board: Board, surface: Surface) -> None:
    assert repr(board) == "Board(BTC 2026-04-08 10:00:00 UTC: 6 expiries, 372 quotes)"
    assert len(repr(surface)) < 400


def test_expiries_without_a_time_or_out_of_order_are_refused_with_the_reason() -> None:
    frame = synthetic_frame((2.0, 9.0, 30.0))
    last = frame["expiry_ts"].max()
    again = pl.when(pl.col("expiry_ts") == last).then(9.0 / 365.0).otherwise("expiry_years")
    surface = calibrate(Board.from_frame(frame.with_columns(again.alias("expiry_years"))))
    assert [item.status for item in surface.report] == ["ok", "ok", "refused"]
    assert "no more than the expiry before it" in surface.report[2].reason
    unknown = frame.with_columns(pl.lit(None, dtype=pl.Float64).alias("expiry_years"))
    reasons = {item.reason for item in calibrate(Board.from_frame(unknown)).report}
    assert reasons == {"the time to delivery is not known: nan years"}


def test_a_maturity_in_the_past_and_a_model_nobody_knows_are_errors(surface: Surface) -> None:
    with pytest.raises(QuantError, match="must lie after the snapshot"):
        surface.iv(SNAPSHOT - timedelta(days=1), 70_000.0)
    with pytest.raises(QuantError, match="expiry_years must be > 0"):
        surface.total_variance(0.0, 0.0)
    with pytest.raises(QuantError, match="model must be one of"):
        SurfaceConfig(model="heston")
    with pytest.raises(QuantError, match="weekend_weight"):
        SurfaceConfig(weekend_weight=0.0)
    assert np.isnan(surface.iv(0.1, -5.0))


@pytest.mark.parametrize("model", ["essvi", "ssvi"])
def test_the_other_families_are_free_by_construction(board: Board, model: str) -> None:
    fitted = calibrate(board, config=SurfaceConfig(model=model))
    assert validate_board(board, fitted).violations == 0
    assert {item.model for item in fitted.report} == {model}


def test_without_residual_a_slice_is_plain_svi(board: Board) -> None:
    plain = calibrate(board, config=SurfaceConfig(residual=False))
    assert (plain.rows[:, 6:] == 0).all()
    assert validate_board(board, plain).violations == 0


def test_pooled_figures_add_quotes_not_shares(board: Board, surface: Surface) -> None:
    one = validate_board(board, surface)
    small = Board.from_frame(synthetic_frame((9.0,), strikes=7))
    two = validate_board(small, calibrate(small))
    together = pool([one, two])
    assert together["quotes"] == one.quotes + two.quotes
    assert together["in_spread_pooled"] == pytest.approx(
        (one.in_spread + two.in_spread) / (one.quotes + two.quotes)
    )
    assert pool([]) == {"boards": 0.0}
