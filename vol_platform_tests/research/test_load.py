"""What notebooks load is what was recorded."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from vol_platform.clock import utc_now
from vol_platform.errors import StoreError
from vol_platform.live.engine import Engine
from vol_platform.live.market import Market
from vol_platform.quant.surface import calibrate
from vol_platform.research import load_board, load_surface
from vol_platform.settings import QuoteSettings
from vol_platform.store.client import connect, insert_frame
from vol_platform_tests.live import boards
from vol_platform_tests.live.boards import Board

NOON = utc_now().replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def recorded(database):
    """Record one snapshot, at NOON."""
    board, market = Board(start=NOON, strikes=9), Market("BTC")
    market.apply_specifications(
        dict(zip(boards.SPECIFICATION_COLUMNS, row, strict=True)) for row in board.specifications()
    )
    market.apply_quotes(boards.QUOTE_COLUMNS, board.quotes(NOON))
    frames = Engine(QuoteSettings()).compute(market).frames
    with connect(database) as client:
        for table in ("quotes_clean", "forward_curve", "surfaces"):
            versions = {"code_version": pl.lit("1"), "parameters_hash": pl.lit("0")}
            insert_frame(client, table, frames[table].with_columns(**versions))
    return database


def test_a_surface_is_the_newest_at_the_instant(recorded):
    surface = load_surface("BTC", NOON + timedelta(seconds=59), recorded)
    assert surface.snapshot_ts == NOON
    strikes = boards.FORWARD * np.exp(np.array([-0.1, 0.0, 0.1]))
    vols = surface.iv(surface.expiry_ts[1], strikes)
    assert vols == pytest.approx([0.403, 0.4, 0.403], abs=2e-3)


def test_the_board_fitted_anew_gives_the_recorded_surface(recorded):
    with connect(recorded) as client:
        surface = load_surface("BTC", NOON, client)
        again = calibrate(load_board("BTC", NOON, client))
    for expiry in surface.expiry_ts:
        assert again.atm_vol(expiry) == pytest.approx(surface.atm_vol(expiry), abs=1e-9)


def test_no_surface_up_to_then_is_said_with_market_and_cure(recorded):
    with pytest.raises(StoreError, match=r"no surface of BTC up to .*vol backfill"):
        load_surface("BTC", NOON - timedelta(seconds=1), recorded)
    with pytest.raises(StoreError, match="no surface of SOL"):
        load_board("SOL", NOON, recorded)
