"""Completing boards: names, the inferred instant, the inferred forward."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from vol_platform.errors import ImportFileError
from vol_platform.imports.boards import read_board
from vol_platform.imports.inference import forward_from_delta, infer_expiry_years
from vol_platform.imports.readers import NotABoardError
from vol_platform.imports.run import board_files
from vol_platform.quant import black76
from vol_platform_tests.imports.conftest import CAPTURED, FORWARD


def test_the_instant_of_a_website_export_is_found_within_minutes(
    website_export: Callable[[str], Path],
) -> None:
    board = read_board(website_export("1-BTC-2MAR26-export.csv"))
    assert len(board.instants) == 1
    assert abs(board.instants[0] - CAPTURED) < timedelta(minutes=10)
    assert "inferred" in board.notes[0]


def test_the_forward_of_a_website_export_is_found_within_a_basis_point(
    website_export: Callable[[str], Path],
) -> None:
    forwards = read_board(website_export("1-BTC-2MAR26-export.csv")).rows["underlying_price"]
    assert forwards.n_unique() == 1
    assert forwards[0] == pytest.approx(FORWARD, rel=1e-4)


def test_an_export_without_its_day_in_the_name_is_refused(
    website_export: Callable[[str], Path],
) -> None:
    with pytest.raises(ImportFileError, match="capture day"):
        read_board(website_export("export.csv"))


def test_too_few_rows_to_infer_the_time_are_refused_with_their_number() -> None:
    one = np.array([70000.0])
    with pytest.raises(ImportFileError, match=r"at least 4 rows.*had 1"):
        infer_expiry_years(
            np.array([True]), np.array([0.5]), one / 1e3, -one / 1e3, one / 1e6, (0.01, 1.0)
        )


def test_a_forward_without_usable_deltas_is_nan() -> None:
    one = np.array([70000.0])
    call = np.array([True])
    assert np.isnan(forward_from_delta(one, call, np.array([0.999]), np.array([0.5]), one / 1e6))


def test_rows_that_are_no_option_are_set_aside_with_their_text(book_summary: Path) -> None:
    board = read_board(book_summary)
    assert board.rows["instrument_name"].to_list() == ["BTC-27MAR26-70000-C", "BTC-27MAR26-70000-P"]
    assert board.rejected["instrument_name"].to_list() == ["BTC-CS-27MAR26-70000_75000"]
    assert "-0.01000000" in board.rejected["raw"][0]


def test_volatilities_without_prices_become_prices_that_invert_to_them(tmp_path: Path) -> None:
    path = tmp_path / "panel.csv"
    years = (datetime(2026, 3, 27, 8, tzinfo=UTC) - CAPTURED) / timedelta(days=365)
    lines = [
        "date,instrument_name,open_interest,volume,rho,theta,vega,gamma,delta,bid_iv,ask_iv,mark_iv"
    ]
    for strike in (65000.0, 70000.0, 75000.0):
        deviation = 0.5 * np.sqrt(years)
        d1 = np.log(FORWARD / strike) / deviation + deviation / 2
        lines.append(
            f"{CAPTURED:%Y-%m-%dT%H:%M:%S},BTC-27MAR26-{strike:.0f}-C,1,1,0,0,0,0,"
            f"{ndtr(d1):.5f},49,51,50"
        )
    path.write_text("\n".join(lines), encoding="utf-8")
    rows = read_board(path).rows
    assert rows["underlying_price"][0] == pytest.approx(FORWARD, rel=1e-5)
    expected = black76.price_coin(FORWARD, 65000.0, years, 0.49, True)
    assert float(rows["bid_price"][0]) == pytest.approx(float(expected), abs=2e-6)


def test_every_recorded_board_is_read_whole(real_data: Path) -> None:
    rows: dict[str, int] = {}
    files: dict[str, int] = {}
    for path in board_files([real_data / "chains"]):
        board = read_board(path)
        assert board.rejected.is_empty(), path.name
        assert board.rows["exchange_ts"].null_count() == 0, path.name
        rows[board.kind] = rows.get(board.kind, 0) + len(board.rows)
        files[board.kind] = files.get(board.kind, 0) + 1
    assert files["book-summary-csv"] >= 1
    assert all(count > 0 for count in rows.values())


def test_files_that_are_no_boards_are_told_apart(real_data: Path) -> None:
    for path in board_files([real_data / "futures", real_data / "ws", real_data / "rest"]):
        with pytest.raises(NotABoardError):
            read_board(path)
