"""The worst slices are found, and their diagnosis says only what the quotes show."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from vol_platform.quant.diagnosis import SliceDiagnosis, diagnose, worst_slices
from vol_platform.quant.errors import QuantError
from vol_platform.quant.surface import Board, calibrate
from vol_platform_tests.quant.boards import synthetic_frame


def expiries(rows: list[tuple[str, int, float | None, float | None]]) -> pl.DataFrame:
    schema = {
        "file": pl.String, "quotes": pl.UInt32, "in_spread_share": pl.Float64, "rmse": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def move(frame: pl.DataFrame, rank: int, factor: float, *, is_call: bool) -> pl.DataFrame:
    """Multiply bid and ask of the option at one of the expiry's strikes."""
    strike = frame["strike"].unique().sort()[rank]
    hit = (pl.col("strike") == strike) & (pl.col("is_call") == is_call)
    return frame.with_columns(
        pl.when(hit).then(pl.col(name) * factor).otherwise(name).alias(name)
        for name in ("bid_price", "ask_price")
    )


def test_the_smallest_share_comes_first_and_the_larger_error_breaks_a_tie() -> None:
    frame = expiries(
        [
            ("good", 30, 1.0, 0.001),
            ("tie, small error", 20, 0.8, 0.002),
            ("worst", 9, 0.5, 0.001),
            ("tie, large error", 20, 0.8, 0.030),
        ]
    )
    ranked = worst_slices(frame, 3)["file"].to_list()
    assert ranked == ["worst", "tie, large error", "tie, small error"]


def test_slices_of_few_quotes_and_refused_ones_are_not_ranked() -> None:
    frame = expiries([("few", 4, 0.0, 0.1), ("refused", 9, None, None), ("five", 5, 0.9, 0.01)])
    assert worst_slices(frame, 10)["file"].to_list() == ["five"]
    assert worst_slices(frame, 10, minimum_quotes=4)["file"].to_list() == ["few", "five"]
    assert worst_slices(frame, 0).is_empty()


def test_a_negative_number_of_slices_is_refused() -> None:
    with pytest.raises(QuantError, match="count must be >= 0, was -1"):
        worst_slices(expiries([]), -1)


def test_a_slice_that_meets_every_quote_has_nothing_to_explain() -> None:
    board = Board.from_frame(synthetic_frame(days=(9.0, 30.0)))
    diagnosis = diagnose(board, calibrate(board), board.expiry_ts[0])
    assert diagnosis.missed == 0
    assert diagnosis.text == "all 31 quotes met"


def test_a_quote_that_no_convex_curve_meets_is_called_a_contradiction() -> None:
    board = Board.from_frame(move(synthetic_frame(days=(30.0,)), 18, 1.6, is_call=True))
    diagnosis = diagnose(board, calibrate(board), board.expiry_ts[0])
    assert diagnosis.missed >= 1
    assert diagnosis.must_leave == 1
    assert diagnosis.parity_breaches == 1
    assert "no arbitrage-free curve passes within all bids and asks" in diagnosis.text
    assert "calls and puts exclude the forward, strikes: 1" in diagnosis.text


def test_an_expiry_quoted_below_the_one_before_is_explained_by_its_neighbour() -> None:
    near, far = synthetic_frame(days=(30.0,)), synthetic_frame(days=(33.0,))
    cheap = synthetic_frame(days=(33.0,), vol=lambda k, _: 0.35 + 0.0 * k)
    assert far["expiry_ts"][0] == cheap["expiry_ts"][0]
    board = Board.from_frame(pl.concat([near, cheap]))
    surface = calibrate(board)
    first, second = (diagnose(board, surface, expiry) for expiry in board.expiry_ts)
    assert second.behind_previous + first.behind_next > 0
    assert "expiry's variance" in first.text + second.text
    assert (first.must_leave, second.must_leave) == (0, 0), "each expiry alone is consistent"


def test_a_miss_is_counted_in_ticks_and_in_vol_points() -> None:
    frame = move(synthetic_frame(days=(30.0,)), 18, 1.6, is_call=True)
    coarse = Board.from_frame(frame.with_columns(pl.lit(0.0005).alias("tick_size")))
    fine = Board.from_frame(frame.with_columns(pl.lit(0.00025).alias("tick_size")))
    surface = calibrate(coarse)
    first, second = (diagnose(board, surface, coarse.expiry_ts[0]) for board in (coarse, fine))
    assert first.largest_miss_vol_points > 1.0
    assert first.largest_miss_ticks > 1.0
    assert second.largest_miss_ticks == pytest.approx(2 * first.largest_miss_ticks)


def test_few_quotes_are_named_as_a_reason() -> None:
    board = Board.from_frame(synthetic_frame(days=(30.0,), strikes=6))
    moved = Board.from_frame(move(synthetic_frame(days=(30.0,), strikes=6), 4, 1.5, is_call=True))
    diagnosis = diagnose(moved, calibrate(board), board.expiry_ts[0])
    assert diagnosis.missed == 1
    assert diagnosis.fit_note.startswith("thin: ")
    assert diagnosis.fit_note in diagnosis.text


def test_without_any_cause_the_text_blames_the_slice_itself() -> None:
    nothing = SliceDiagnosis(20, 2, 0.4, 0.31, 0, 0, 0.0, 0, 0, 0, "")
    assert nothing.text == (
        "2 of 20 quotes missed, by up to 0.4 ticks, 0.31 vol points (every miss within one tick); "
        "an arbitrage-free curve within all bids and asks of this expiry exists, and no constraint "
        "binds at the missed quotes: the slice is smoother than they are"
    )


def test_an_expiry_that_was_not_fitted_has_no_diagnosis() -> None:
    board = Board.from_frame(synthetic_frame(days=(9.0,)))
    with pytest.raises(QuantError, match="2030-01-01 08:00 is not a fitted expiry"):
        diagnose(board, calibrate(board), datetime(2030, 1, 1, 8, tzinfo=UTC))
