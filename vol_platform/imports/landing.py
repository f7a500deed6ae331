"""Rows of a file into the raw tables, whole or again, with their dead letters and account.

The same file again writes the same rows under the same deduplication tokens, so it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import crc32c
import polars as pl
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from vol_platform.store.client import insert_frame

__all__ = ["ImportResult", "checksums_of", "land", "origin", "snapshot_minute"]

COLLECTOR = "import"


@dataclass(frozen=True)
class ImportResult:
    """What one file became.

    Attributes
    ----------
    path
        The file.
    rows
        Rows written by table.
    hours
        Starts of the hours whose snapshots the rows belong to.
    snapshots
        The (currency, snapshot minute) pairs of the boards; none for trades.
    """

    path: Path
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


def origin(now: datetime, *, testnet: bool) -> list[pl.Expr]:
    """Give the columns that say where a tick came from."""
    return [
        pl.lit("").alias("rounded_fields"),
        pl.lit(now).cast(pl.Datetime("us", "UTC")).alias("received_ts"),
        pl.lit("import").alias("source"),
        pl.lit(COLLECTOR).alias("collector"),
        pl.lit(0, dtype=pl.UInt32).alias("connection_id"),
        pl.lit(testnet).alias("testnet"),
    ]


def checksums_of(rows: pl.DataFrame) -> pl.Series:
    """Give the content checksum of each row: of all its columns as text."""
    texts = rows.select(
        pl.concat_str(
            [pl.col(name).cast(pl.String).fill_null("") for name in rows.columns], separator="|"
        ).alias("text")
    )["text"]
    checksums = [int(crc32c.crc32c(text.encode())) for text in texts.to_list()]
    return pl.Series("content_checksum", checksums, dtype=pl.UInt32)


def land(
    client: Client,
    database: str,
    path: Path,
    tables: Mapping[str, pl.DataFrame],
    rejected: pl.DataFrame,
    snapshots: Sequence[tuple[str, datetime]],
    now: datetime,
) -> ImportResult:
    """Insert the rows of a file, account for every one, and close the hours they belong to.

    Parameters
    ----------
    client
        A ClickHouse client.
    database
        Where the raw tables are.
    path
        The file.
    tables
        Rows by raw table.  The first one holds what the file is about: it has `exchange_ts` and
        `content_checksum`, and its rows are the data messages of the account.
    rejected
        Rows that could not be read: `detail`, `raw`.
    snapshots
        The (currency, snapshot minute) pairs of boards.
    now
        When we received the file; decides how long the rows are kept.
    """
    main = next(iter(tables.values()))
    # Inferred values change when the inference does; the token must then be another one.
    checksum = int(crc32c.crc32c(main["content_checksum"].to_numpy().tobytes()))
    file_id = f"import-{path.name}-{checksum:08x}"
    rows = {}
    for table, frame in {**tables, "dead_letters": _letters(rejected, path, now, file_id)}.items():
        rows[table] = len(frame)
        if len(frame):
            insert_frame(client, table, frame, token=f"{file_id}-{table}", database=database)
    account = _account(path, main["exchange_ts"], len(main), rejected, rows, file_id, now)
    insert_frame(client, "ingest_segments", account, token=f"{file_id}-segment", database=database)
    # The hour of the ticks and, for ticks of minute 59, the hour whose first snapshot sees them.
    instants = main["exchange_ts"].unique().to_list()
    hours = sorted(
        {snapshot_minute(instant).replace(minute=0) for instant in instants}
        | {instant.replace(minute=0, second=0, microsecond=0) for instant in instants}
    )
    closing = _closing(hours, len(main), now)
    insert_frame(client, "ingest_hours", closing, token=f"{file_id}-hours", database=database)
    return ImportResult(path=path, rows=rows, hours=tuple(hours), snapshots=tuple(snapshots))


def _closing(hours: list[datetime], count: int, now: datetime) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "hour_ts": hours,
            "reason": "import",
            "rows": count,
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


def _letters(rejected: pl.DataFrame, path: Path, now: datetime, file_id: str) -> pl.DataFrame:
    return rejected.select(
        pl.lit(now).cast(pl.Datetime("us", "UTC")).alias("received_ts"),
        pl.lit(path.name).alias("channel"),
        pl.lit("unreadable_row").alias("reason"),
        "detail",
        "raw",
        pl.lit(COLLECTOR).alias("collector"),
        pl.lit(file_id).alias("segment_id"),
    )


def _account(
    path: Path,
    instants: pl.Series,
    count: int,
    rejected: pl.DataFrame,
    rows: dict[str, int],
    file_id: str,
    now: datetime,
) -> pa.Table:
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
            "frames": pa.array([count + len(rejected)], pa.uint64()),
            "control_messages": pa.array([0], pa.uint64()),
            "data_messages": pa.array([count], pa.uint64()),
            "dead_letters": pa.array([len(rejected)], pa.uint64()),
            "rows": pa.array([list(rows.items())], pa.map_(pa.string(), pa.uint64())),
            "bytes": pa.array([path.stat().st_size], pa.uint64()),
            "checksum": pa.array([crc32c.crc32c(path.read_bytes())], pa.uint32()),
            "inserted_ts": pa.array([now], moment),
        }
    )
