"""A board file into the raw tables, idempotently.

The same file again writes the same rows under the same deduplication tokens, so it changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import crc32c
import polars as pl
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from vol_platform.imports.boards import BoardFile
from vol_platform.imports.mapping import NUMBER_COLUMNS
from vol_platform.store.client import insert_frame

__all__ = ["ImportResult", "snapshot_minute", "write_board"]

COLLECTOR = "import"

FLAT_TICK = Decimal("0.0005")
FINE_TICK = Decimal("0.0001")
FINE_TICK_BELOW = Decimal("0.005")


@dataclass(frozen=True)
class ImportResult:
    """What one file became.

    Attributes
    ----------
    board
        The file as read.
    rows
        Rows written by table.
    hours
        Starts of the hours whose snapshots the rows belong to.
    snapshots
        The (currency, snapshot minute) pairs of the boards.
    """

    board: BoardFile
    rows: dict[str, int]
    hours: tuple[datetime, ...]
    snapshots: tuple[tuple[str, datetime], ...]


def snapshot_minute(instant: datetime) -> datetime:
    """Return the minute boundary whose snapshot sees an update of this instant.

    Examples
    --------
    >>> from datetime import UTC
    >>> snapshot_minute(datetime(2026, 1, 15, 21, 21, 56, tzinfo=UTC)).isoformat()
    '2026-01-15T21:22:00+00:00'
    """
    floor = instant.replace(second=0, microsecond=0)
    return floor if floor == instant else floor + timedelta(minutes=1)


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
    quotes = _quotes(board, now)
    # Inferred values change when the inference does; the token must then be another one.
    file_id = f"import-{board.path.name}-{_checksum_of(quotes):08x}"
    tables = {
        "options_metadata": _metadata(board),
        "options_quotes": quotes,
        "spot_prices": _index(board, now),
        "dead_letters": _dead_letters(board, now, file_id),
    }
    rows = {}
    for table, frame in tables.items():
        rows[table] = len(frame)
        if len(frame):
            insert_frame(client, table, frame, token=f"{file_id}-{table}", database=database)
    segment = _segment(board, rows, file_id, now)
    insert_frame(client, "ingest_segments", segment, token=f"{file_id}-segment", database=database)
    instants = board.rows.select("currency", "exchange_ts").unique().sort("currency", "exchange_ts")
    snapshots = sorted(
        {(currency, snapshot_minute(instant)) for currency, instant in instants.iter_rows()}
    )
    # The hour of the ticks and, for ticks of minute 59, the hour whose first snapshot sees them.
    hours = sorted(
        {minute.replace(minute=0) for _, minute in snapshots}
        | {
            instant.replace(minute=0, second=0, microsecond=0)
            for instant in instants["exchange_ts"].to_list()
        }
    )
    closing = pl.DataFrame(
        {
            "hour_ts": hours,
            "reason": "import",
            "rows": rows["options_quotes"],
            "collector": COLLECTOR,
            "closed_ts": now,
        },
        schema={
            "hour_ts": pl.Datetime("ms", "UTC"),
            "reason": pl.String(),
            "rows": pl.UInt64(),
            "collector": pl.String(),
            "closed_ts": pl.Datetime("us", "UTC"),
        },
    ).with_columns(pl.col("hour_ts").dt.epoch("s").cast(pl.UInt32))
    insert_frame(client, "ingest_hours", closing, token=f"{file_id}-hours", database=database)
    return ImportResult(board=board, rows=rows, hours=tuple(hours), snapshots=tuple(snapshots))


def _checksum_of(quotes: pl.DataFrame) -> int:
    return int(crc32c.crc32c(quotes["content_checksum"].to_numpy().tobytes()))


def _origin(board: BoardFile, now: datetime) -> list[pl.Expr]:
    """Give the columns that say where a tick came from."""
    return [
        pl.lit("").alias("rounded_fields"),
        pl.lit(now).cast(pl.Datetime("us", "UTC")).alias("received_ts"),
        pl.lit("import").alias("source"),
        pl.lit(COLLECTOR).alias("collector"),
        pl.lit(0, dtype=pl.UInt32).alias("connection_id"),
        pl.lit(board.testnet).alias("testnet"),
    ]


def _quotes(board: BoardFile, now: datetime) -> pl.DataFrame:
    base = board.rows.select(
        "instrument_name",
        "currency",
        "exchange_ts",
        pl.col("state").fill_null("open"),
        pl.col("underlying_index").fill_null(""),
        *NUMBER_COLUMNS,
    )
    texts = base.select(
        pl.concat_str(
            [pl.col(name).cast(pl.String).fill_null("") for name in base.columns], separator="|"
        ).alias("text")
    )["text"]
    checksums = [int(crc32c.crc32c(text.encode())) for text in texts.to_list()]
    return base.with_columns(
        pl.lit(value=False).alias("is_expired"),
        *_origin(board, now),
        pl.Series("content_checksum", checksums, dtype=pl.UInt32),
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
            *_origin(board, now),
            pl.lit(0, dtype=pl.UInt32).alias("content_checksum"),
        )
    )


def _dead_letters(board: BoardFile, now: datetime, file_id: str) -> pl.DataFrame:
    return board.rejected.select(
        pl.lit(now).cast(pl.Datetime("us", "UTC")).alias("received_ts"),
        pl.lit(board.path.name).alias("channel"),
        pl.lit("unreadable_row").alias("reason"),
        "detail",
        "raw",
        pl.lit(COLLECTOR).alias("collector"),
        pl.lit(file_id).alias("segment_id"),
    )


def _segment(board: BoardFile, rows: dict[str, int], file_id: str, now: datetime) -> pa.Table:
    instants = board.rows["exchange_ts"]
    moment = pa.timestamp("us", tz="UTC")
    exchange_moment = pa.timestamp("ms", tz="UTC")
    return pa.table(
        {
            "segment_id": [file_id],
            "collector": [COLLECTOR],
            "first_received_ts": pa.array([now], moment),
            "last_received_ts": pa.array([now], moment),
            "first_exchange_ts": pa.array([instants.min()], exchange_moment),
            "last_exchange_ts": pa.array([instants.max()], exchange_moment),
            "frames": pa.array([len(board.rows) + len(board.rejected)], pa.uint64()),
            "control_messages": pa.array([0], pa.uint64()),
            "data_messages": pa.array([len(board.rows)], pa.uint64()),
            "dead_letters": pa.array([len(board.rejected)], pa.uint64()),
            "rows": pa.array([list(rows.items())], pa.map_(pa.string(), pa.uint64())),
            "bytes": pa.array([board.path.stat().st_size], pa.uint64()),
            "checksum": pa.array([crc32c.crc32c(board.path.read_bytes())], pa.uint32()),
            "inserted_ts": pa.array([now], moment),
        }
    )
