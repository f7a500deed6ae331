"""The linear programme across a board: calendar spreads count, and nothing else changes."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vol_platform.quant import arbitrage
from vol_platform.quant.surface import Board, calibrate
from vol_platform_tests.quant.boards import SNAPSHOT, recorded_frame, synthetic_frame


def test_a_free_board_needs_no_repair() -> None:
    repair = arbitrage.board_repair(Board.from_frame(synthetic_frame((9.0, 30.0, 80.0))))
    assert (repair.quotes, repair.must_leave, repair.met_share) == (93, 0, 1.0)
    assert repair.cost == pytest.approx(0.0, abs=1e-9)
    assert [item.quotes for item in repair.expiries] == [31, 31, 31]


def test_linear_contracts_are_repaired_alike() -> None:
    coin, usd = (
        arbitrage.board_repair(
            Board.from_frame(synthetic_frame((9.0, 30.0), vol=falling, is_inverse=is_inverse))
        )
        for is_inverse in (True, False)
    )
    assert coin.cost == pytest.approx(usd.cost, rel=1e-6)
    assert coin.must_leave == usd.must_leave > 0


def falling(k: np.ndarray, years: float) -> np.ndarray:
    """Return smiles whose total variance shrinks with time: each one free, together not."""
    level = 0.004 * (0.03 / years) ** 0.5
    return np.asarray(np.sqrt((level + 0.05 * level**0.5 * k * k) / years))


def test_variance_that_falls_in_time_is_a_contradiction_only_across_expiries() -> None:
    board = Board.from_frame(synthetic_frame((9.0, 30.0), vol=falling, half_spread_vol=0.004))
    assert all(item.must_leave == 0 for item in arbitrage.quote_repairs(board))
    repair = arbitrage.board_repair(board)
    assert repair.must_leave > 0
    assert repair.cost > 1e-3
    surface = calibrate(board)
    missed = sum(item.quotes * (1 - item.in_spread_share) for item in surface.report)
    assert missed > 0, "what no surface can meet, ours does not meet"


def test_the_cost_is_the_calendar_spread_that_is_quoted_below_zero() -> None:
    """One strike, two expiries: the later call offered below the earlier one's bid."""
    rows = []
    for day, bid, ask in ((10.0, 0.050, 0.052), (40.0, 0.040, 0.042)):
        rows.append(
            {
                "snapshot_ts": SNAPSHOT, "currency": "BTC",
                "expiry_ts": SNAPSHOT + timedelta(days=day), "expiry_years": day / 365,
                "strike": 71_000.0, "is_call": True, "is_inverse": True, "bid_price": bid,
                "ask_price": ask, "tick_size": 1e-4, "age_seconds": 0.0, "usage": "two_sided",
                "forward": 70_000.0, "uncertainty_basis_points": 1.0,
            }
        )  # fmt: skip
    repair = arbitrage.board_repair(Board.from_frame(pl.DataFrame(rows)))
    assert repair.cost == pytest.approx(0.050 - 0.042, rel=1e-6)
    assert repair.must_leave == 1


def test_strikes_of_two_expiries_may_be_as_close_as_they_like() -> None:
    """A gap of 1e-9 between two ratios of strike to forward is nothing that a solver may see."""
    near, far = synthetic_frame((9.0,)), synthetic_frame((30.0,))
    for shift in (1e-6, 1e-9, 1e-12, 0.0):
        again = far.with_columns(
            pl.Series("strike", near["strike"] * (1 + shift)),
            near["forward"], near["bid_price"], near["ask_price"],
        )  # fmt: skip
        repair = arbitrage.board_repair(Board.from_frame(pl.concat([near, again])))
        assert repair.cost == pytest.approx(0.0, abs=1e-6), "one market twice is no contradiction"


def test_an_empty_board_has_nothing_to_repair() -> None:
    repair = arbitrage.board_repair(Board.from_frame(synthetic_frame((9.0,)).clear()))
    assert (repair.expiries, repair.quotes, repair.cost) == ((), 0, 0)
    assert math.isnan(repair.met_share)


def test_recorded_quotes_hardly_contradict_each_other(real_data: Path) -> None:
    name = "deribit_options_snapshot_20260206T043012Z.csv.gz"
    board = Board.from_frame(recorded_frame(real_data / "chains" / "znmahbub" / name, "BTC"))
    alone = sum(item.cost for item in arbitrage.quote_repairs(board))
    repair = arbitrage.board_repair(board)
    assert repair.cost >= alone - 1e-9, "more constraints cannot be cheaper"
    assert repair.met_share > 0.99
