"""Recorded trades into the raw table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.errors import ImportFileError
from vol_platform.imports.instrument_names import parse_instrument_name
from vol_platform.imports.landing import ImportResult, checksums_of, land, origin
from vol_platform.imports.mapping import Mapping
from vol_platform.imports.readers import NotABoardError, find_mapping, header_of, read_csv

__all__ = ["TradeFile", "holds_trades", "read_trades", "write_trades"]

_LARGEST_TICK_DIRECTION = 3


@dataclass(frozen=True)
class TradeFile:
    """Trades read from a file.

    Attributes
    ----------
    path
        The file.
    rows
        One row per trade: the columns of the raw table that a file can fill, oldest first.
    rejected
        Rows that could not be used: `instrument_name`, `detail`, `raw` (the row as JSON).
    testnet
        Rows of the test exchange.
    """

    path: Path
    rows: pl.DataFrame
    rejected: pl.DataFrame
    testnet: bool


def holds_trades(path: Path, mapping: Mapping | None = None) -> bool:
    """Whether a file is one of trades, by the mapping or by its header.

    Raises
    ------
    ImportFileError
        The file cannot be read.
    """
    if mapping is None:
        if ".csv" not in path.suffixes:
            return False
        try:
            mapping = find_mapping(header_of(path), path)
        except NotABoardError:
            return False
    return mapping.holds == "trades"


def read_trades(path: Path, mapping: Mapping | None = None) -> TradeFile:
    """Read a CSV file of trades.

    Parameters
    ----------
    path
        `.csv`, plain or `.gz`.
    mapping
        How to read it; by default the built-in one that the header fits.

    Raises
    ------
    ImportFileError
        The file cannot be read, or holds no trade.
    """
    cells, rule = read_csv(path, mapping)
    named = cells.with_columns(
        pl.col("instrument_name")
        .map_elements(_problem, return_dtype=pl.String, skip_nulls=False)
        .alias("name_problem")
    )
    empty = [pl.when(pl.col(name).is_null()).then(pl.lit(f"no {name}")) for name in rule.needed]
    detail = pl.coalesce(
        *empty,
        pl.when(~pl.col("direction").is_in(["buy", "sell"])).then(
            pl.format("direction must be buy or sell, was {}", "direction")
        ),
        pl.when(pl.col("tick_direction").cast(pl.Int64) > _LARGEST_TICK_DIRECTION).then(
            pl.format("tick_direction must be 0 to 3, was {}", "tick_direction")
        ),
        pl.when(pl.col("exchange_ts").is_null()).then(pl.lit("no time")),
        "name_problem",
    )
    judged = named.with_columns(detail.alias("detail")).drop("name_problem")
    rejected = judged.filter(pl.col("detail").is_not_null()).select(
        "instrument_name",
        "detail",
        pl.struct(pl.col(name).cast(pl.String) for name in cells.columns)
        .struct.json_encode()
        .alias("raw"),
    )
    good = judged.filter(pl.col("detail").is_null()).drop("detail")
    if good.is_empty():
        problem = rejected["detail"][0] if len(rejected) else "the file has no rows"
        msg = f"{path.name} holds no trade that can be read; first problem: {problem}"
        raise ImportFileError(msg)
    rows = good.join(_specifications(good), on="instrument_name").select(
        "instrument_name",
        "currency",
        "kind",
        "exchange_ts",
        "trade_id",
        pl.col("trade_seq").cast(pl.UInt64),
        "price",
        "amount",
        "contracts",
        "direction",
        pl.col("tick_direction").cast(pl.UInt8).fill_null(0),
        "iv",
        "mark_price",
        "index_price",
        pl.col("liquidation").fill_null(""),
    )
    rows = rows.sort("exchange_ts", "instrument_name", "trade_seq")
    return TradeFile(path=path, rows=rows, rejected=rejected, testnet=rule.testnet)


def _problem(name: str | None) -> str | None:
    try:
        parse_instrument_name(name or "")
    except ImportFileError as error:
        return str(error)
    return None


def _specifications(rows: pl.DataFrame) -> pl.DataFrame:
    names = rows["instrument_name"].unique(maintain_order=True).to_list()
    parsed = [parse_instrument_name(name) for name in names]
    return pl.DataFrame(
        {
            "instrument_name": names,
            "currency": [each.currency for each in parsed],
            "kind": [each.kind for each in parsed],
        }
    )


def write_trades(client: Client, database: str, trades: TradeFile, now: datetime) -> ImportResult:
    """Insert trades, account for every row, and close the hours they belong to.

    Parameters
    ----------
    client
        A ClickHouse client.
    database
        Where the raw tables are.
    trades
        As `read_trades` gives them.
    now
        When we received them; decides how long the rows are kept.
    """
    rows = trades.rows.with_columns(
        pl.lit("").alias("block_trade_id"),
        pl.lit(0, dtype=pl.UInt16).alias("block_trade_leg_count"),
        pl.lit("").alias("combo_id"),
        pl.lit("").alias("combo_trade_id"),
        *origin(now, testnet=trades.testnet),
        checksums_of(trades.rows),
    )
    return land(client, database, trades.path, {"trades": rows}, trades.rejected, (), now)
