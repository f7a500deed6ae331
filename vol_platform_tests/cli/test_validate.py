"""`vol validate boards` on a board of our own, end to end: import, Dagster, judgement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from vol_platform.cli.main import app
from vol_platform.quant import black76

FORWARD = 70_000.0
CAPTURED_MS = 1_772_450_250_123  # 2026-03-02 11:17:30.123 UTC
EXPIRIES = {"6MAR26": 1_772_784_000_000, "27MAR26": 1_774_598_400_000}


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Write a board whose quotes straddle a smile of our own by one tick."""
    rows = []
    for day, expiry_ms in EXPIRIES.items():
        years = (expiry_ms - CAPTURED_MS) / 1000 / 86_400 / 365
        for strike in np.arange(52_000, 92_000, 2_000):
            k = np.log(strike / FORWARD)
            vol = 0.5 - 0.1 * k + 0.5 * k * k
            for letter in "CP":
                mark = float(black76.price_coin(FORWARD, strike, years, vol, letter == "C"))
                tick = 0.0001 if mark < 0.005 else 0.0005
                bid = np.floor(mark / tick) * tick
                rows.append(
                    {
                        "instrument_name": f"BTC-{day}-{strike}-{letter}",
                        "creation_timestamp": CAPTURED_MS,
                        "bid_price": round(bid, 4) if bid > 0 else None,
                        "ask_price": round(bid + tick, 4),
                        "mark_price": round(mark, 8),
                        "mark_iv": round(vol * 100, 2),
                        "underlying_price": FORWARD,
                        "underlying_index": f"SYN.BTC-{day}",
                        "estimated_delivery_price": FORWARD,
                    }
                )
    path = tmp_path / "board.json"
    pl.DataFrame(rows, infer_schema_length=None).write_json(path)
    return path


@pytest.mark.slow
def test_a_board_is_judged_by_what_the_platform_would_publish(board: Path, tmp_path: Path) -> None:
    table, pictures = tmp_path / "boards.csv", tmp_path / "pictures"
    arguments = ["--quiet", "--output", str(table), "--worst", "10", "--pictures", str(pictures)]
    result = CliRunner().invoke(app, ["validate", "boards", str(board), *arguments])
    assert result.exit_code == 0, result.output
    assert "0 violations by the exact checks, 0 by finite differences" in result.output
    (row,) = pl.read_csv(table).to_dicts()
    assert (row["expiries_listed"], row["fitted"], row["problem"]) == (2, 2, "")
    assert row["in_spread_share"] > 0.95
    expiries = pl.read_parquet(table.with_suffix(".expiries.parquet"))
    assert expiries["file"].unique().to_list() == [board.name]
    assert expiries["atm_vol"].to_list() == pytest.approx([0.5, 0.5], abs=0.01)
    assert "Worst slices" in result.output
    drawn = sorted(pictures.iterdir())
    assert {path.name[3:] for path in drawn} == {
        f"BTC_20260302T111800_expiry_{day}.png" for day in ("20260306", "20260327")
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_pictures_without_a_number_of_slices_are_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["validate", "boards", str(tmp_path), "--pictures", str(tmp_path)]
    )
    assert result.exit_code == 2
    assert "--worst" in result.output


def test_a_folder_without_boards_is_one_clear_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["validate", "boards", str(tmp_path), "--quiet"])
    assert result.exit_code == 1
    assert "holds no file ending in" in result.output
