"""Recorded boards: the bar of the design, on a few of them (`vol validate boards` runs all)."""

from pathlib import Path

import pytest

from vol_platform.quant.surface import Board, calibrate
from vol_platform.quant.validation import BoardReport, pool, validate_board
from vol_platform_tests.quant.boards import recorded_frame

BOARDS = [
    ("znmahbub", "20260206T043012Z", "BTC"),  # a crash day
    ("znmahbub", "20260604T075825Z", "BTC"),  # 95 seconds before an expiry
    ("znmahbub", "20260602T080307Z", "ETH"),  # the newest daily has no quotes
    ("znmahbub", "20260808T041742Z", "BTC"),  # very low volatility
    ("znmahbub_crash_20260203", "20260206T155121Z", "ETH"),  # a quarter of the rows without quotes
    ("znmahbub_week_20260406", "20260408T100119Z", "BTC"),  # an ordinary day
]


def recorded(real_data: Path, folder: str, stamp: str, currency: str) -> Board:
    name = f"deribit_options_snapshot_{stamp}.csv.gz"
    path = real_data / "chains" / folder / name
    if not path.is_file():
        pytest.skip(f"{name} is not among the recorded data")
    return Board.from_frame(recorded_frame(path, currency))


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest) -> list[BoardReport]:
    real_data: Path = request.getfixturevalue("real_data")
    found = []
    for folder, stamp, currency in BOARDS:
        board = recorded(real_data, folder, stamp, currency)
        found.append(validate_board(board, calibrate(board)))
    return found


def test_no_recorded_board_has_an_arbitrage_by_either_check(reports: list[BoardReport]) -> None:
    assert [item.violations for item in reports] == [0] * len(BOARDS)


def test_the_share_inside_the_spread_meets_the_bar(reports: list[BoardReport]) -> None:
    figures = pool(reports)
    assert figures["in_spread_pooled"] >= 0.97
    assert figures["in_spread_worst"] >= 0.92
    assert figures["retained_pooled"] >= 0.95


def test_no_recorded_board_needs_the_guarantee_layer(reports: list[BoardReport]) -> None:
    assert [item.repaired for item in reports] == [0] * len(BOARDS)


def test_the_expiry_about_to_settle_is_refused(reports: list[BoardReport]) -> None:
    assert reports[1].refused + reports[1].fitted == reports[1].expiries


def test_a_warm_start_from_hours_before_meets_the_bar_too(real_data: Path) -> None:
    week = ("znmahbub_week_20260406", "20260408T050327Z", "BTC")
    before = recorded(real_data, *week)
    after = recorded(real_data, week[0], "20260408T100119Z", "BTC")
    warm = calibrate(after, previous=calibrate(before))
    report = validate_board(after, warm)
    assert report.violations == 0
    assert report.in_spread_share >= 0.95
