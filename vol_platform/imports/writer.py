"""A board file into the raw tables, idempotently."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import crc32c
import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.imports.boards import BoardFile
from vol_platform.imports.landing import ImportResult, checksums_of, land, origin, snapshot_minute
from vol_platform.imports.mapping import NUMBER_COLUMNS

__all__ = ["write_board"]

FLAT_TICK = Decimal("0.0005")
FINE_TICK = Decimal("0.0001")
FINE_TICK_BELOW = Decimal("0.005")


def write_board(client: Client, database: str, board: BoardFile, now: datetime) -> ImportResult:
    """Insert a board: quotes, instruments, index, dead letters, and the closing of its hours.

    Parameters
    ----------
    client
        A ClickHouse client.
    database
        Where the raw tables are.
    board
        A board file as `read_board` gives it.
    now
        When we received it; decides how long the rows are kept.
    """
    instants = board.rows.select("currency", "exchange_ts").unique().sort("currency", "exchange_ts")
    snapshots = sorted(
        {(currency, snapshot_minute(instant)) for currency, instant in instants.iter_rows()}
    )
    tables = {
        "options_quotes": _quotes(board, now),
        "options_metadata": _metadata(board),
        "spot_prices": _index(board, now),
    }
    return land(client, database, board.path, tables, board.rejected, snapshots, now)


def _quotes(board: BoardFile, now: datetime) -> pl.DataFrame:
    base = board.rows.select(
        "instrument_name",
        "currency",
        "exchange_ts",
        pl.col("state").fill_null("open"),
        pl.col("underlying_index").fill_null(""),
        *NUMBER_COLUMNS,
    )
    return base.with_columns(
        pl.lit(value=False).alias("is_expired"),
        *origin(now, testnet=board.testnet),
        checksums_of(base),
    )


def _metadata(board: BoardFile) -> pl.DataFrame:
    """Give what names and prices tell: the tick ladder is read off the prices."""
    prices = board.rows.select(pl.concat_list("bid_price", "ask_price").explode()).to_series()
    prices = prices.drop_nulls()
    on_flat_ladder = bool(((prices.cast(pl.Float64) / float(FLAT_TICK)) % 1.0 < 1e-6).all())
    fine = not on_flat_ladder
    latest = board.rows.group_by("instrument_name", maintain_order=True).agg(
        pl.col("exchange_ts").max().alias("seen_ts"),
        pl.col(
            "currency",
            "base_currency",
            "premium_currency",
            "expiry_ts",
            "strike",
            "is_call",
            "is_inverse",
            "price_index",
        ).first(),
    )
    step = {"above_price": FINE_TICK_BELOW, "tick_size": FLAT_TICK}
    steps = pl.Series(
        "tick_size_steps",
        [[step] if fine else []] * len(latest),
        dtype=pl.List(
            pl.Struct({"above_price": pl.Decimal(18, 8), "tick_size": pl.Decimal(18, 8)})
        ),
    )
    tick = FINE_TICK if fine else FLAT_TICK
    decimal = pl.Decimal(18, 8)
    frame = latest.select(
        "instrument_name",
        "currency",
        pl.lit("option").alias("kind"),
        pl.lit(0, dtype=pl.UInt64).alias("instrument_id"),
        pl.when("is_call").then(pl.lit("call")).otherwise(pl.lit("put")).alias("option_type"),
        "strike",
        "expiry_ts",
        "base_currency",
        pl.col("premium_currency").alias("quote_currency"),
        pl.lit("USD").alias("counter_currency"),
        pl.col("premium_currency").alias("settlement_currency"),
        pl.lit("").alias("settlement_period"),
        pl.when("is_inverse")
        .then(pl.lit("reversed"))
        .otherwise(pl.lit("linear"))
        .alias("instrument_type"),
        "price_index",
        pl.lit(Decimal(1)).cast(decimal).alias("contract_size"),
        pl.lit(Decimal("0.1")).cast(decimal).alias("min_trade_amount"),
        pl.lit(tick).cast(decimal).alias("tick_size"),
        steps,
        pl.lit(0.0).alias("maker_commission"),
        pl.lit(0.0).alias("taker_commission"),
        pl.lit("open").alias("state"),
        pl.lit(value=True).alias("is_active"),
        pl.col("seen_ts").cast(pl.Datetime("us", "UTC")),
        pl.lit("import").alias("source"),
    )
    checksums = [
        int(crc32c.crc32c(f"{name}|{tick}|{fine}".encode()))
        for name in frame["instrument_name"].to_list()
    ]
    return frame.with_columns(pl.Series("content_checksum", checksums, dtype=pl.UInt32))


def _index(board: BoardFile, now: datetime) -> pl.DataFrame:
    """Give one index price per instant: the median of the rows, which may have moved a little."""
    return (
        board.rows.filter(pl.col("index_price").is_not_null())
        .group_by("price_index", "exchange_ts")
        .agg(pl.col("index_price").cast(pl.Float64).median().round(8))
        .sort("price_index", "exchange_ts")
        .select(
            pl.col("price_index").alias("index_name"),
            "exchange_ts",
            pl.col("index_price").cast(pl.Decimal(18, 8)).alias("price"),
            *origin(now, testnet=board.testnet),
            pl.lit(0, dtype=pl.UInt32).alias("content_checksum"),
        )
    )
