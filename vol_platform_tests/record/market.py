"""A whole market of known shape: the board, and DVOL, trades and the live view beside it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.quant import variance_swap
from vol_platform.settings import Settings
from vol_platform.store.client import connect, insert_frame
from vol_platform_tests.derivations.boards import EXPIRIES, INDEX_PRICE, MOMENT, smile
from vol_platform_tests.record.ticks import insert_board

__all__ = ["insert_live_view", "insert_market"]

_MICROSECONDS = pl.Datetime("us", "UTC")


class _Smile:
    """The smile of the boards, as a surface."""

    expiry_years = np.array([(expiry - MOMENT) / timedelta(days=365) for expiry in EXPIRIES])

    def total_variance(self, k: np.ndarray, expiry_years: float) -> np.ndarray:
        years = float(np.max(expiry_years))
        return smile(np.asarray(k), years) ** 2 * years


def insert_market(settings: Settings, moments: Iterable[datetime]) -> int:
    """Insert a board, DVOL where it ought to be, and a trade of every kind; return option rows."""
    moments = list(moments)
    rows = insert_board(settings, moments, move=0.0)
    stamps = [moment - timedelta(seconds=5) for moment in moments]
    received = [stamp + timedelta(milliseconds=40) for stamp in stamps]
    index = pl.DataFrame({"exchange_ts": stamps, "received_ts": received}).with_columns(
        pl.col("received_ts").cast(_MICROSECONDS),
        index_name=pl.lit("btc_usd"),
        volatility=pl.lit(100 * variance_swap.index(_Smile()).vol).cast(pl.Decimal(9, 4)),
    )
    trades = pl.DataFrame({"exchange_ts": stamps, "received_ts": received}).with_columns(
        pl.col("received_ts").cast(_MICROSECONDS),
        currency=pl.lit("BTC"),
        instrument_name=pl.lit("BTC-27FEB26-75000-C"),
        kind=pl.lit("option"),
        trade_id=pl.int_range(pl.len()).cast(pl.String),
        trade_seq=pl.int_range(pl.len(), dtype=pl.UInt64),
        price=pl.lit(0.03).cast(pl.Decimal(18, 8)),
        amount=pl.lit(2.0).cast(pl.Decimal(18, 8)),
        index_price=pl.lit(INDEX_PRICE).cast(pl.Decimal(18, 8)),
        direction=pl.lit("buy"),
        iv=pl.lit(45.0).cast(pl.Decimal(9, 4)),
    )
    with connect(settings) as client:
        insert_frame(client, "volatility_index", index)
        insert_frame(client, "trades", trades)
    return rows


def insert_live_view(client: Client) -> None:
    """Copy the surfaces of the record to the live view, two seconds before each snapshot.

    They are computed now: the live view's tables forget what is days old.
    """
    shared = client.query(
        "SELECT arrayStringConcat(groupArray(name), ', ') FROM system.columns WHERE database = "
        "currentDatabase() AND table = 'live_surfaces' AND name NOT LIKE '%ed_ts' "
        "AND name != 'snapshot_ts'"
    ).result_rows[0][0]
    client.command(
        f"INSERT INTO live_surfaces (computed_ts, snapshot_ts, {shared}) SELECT now64(6), "  # noqa: S608 - names of columns
        f"subtractSeconds(toDateTime64(snapshot_ts, 3), 2), {shared} FROM surfaces"
    )
