"""Raw rows to Parquet on S3, day by day, and back.

A day is a set of objects and a manifest.  Each object is uploaded, downloaded again, compared byte
for byte (SHA-256) and loaded into a scratch table whose rows must be those of the source; only when
all agree is the manifest written.  What an interrupted archive leaves are objects that no manifest
names, and the next archive of the day removes them.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.clock import Clock, utc_now
from vol_platform.errors import ArchiveError
from vol_platform.store.archive_manifest import (
    RAW_FRAMES,
    Manifest,
    Part,
    manifest_key,
    read_manifest,
)
from vol_platform.store.client import insert_frame
from vol_platform.store.object_store import Bucket, sha256_of

__all__ = ["ARCHIVED", "ArchivedTable", "archive_day", "day_contents", "restore_day", "table_rows"]


@dataclass(frozen=True)
class ArchivedTable:
    """A table of the archive.

    Attributes
    ----------
    name
        Table.
    time
        Column that says which day a row belongs to.
    until
        The day's part holds every row up to the end of the day: small tables that any day needs.
    """

    name: str
    time: str
    until: bool = False


ARCHIVED = (
    ArchivedTable("options_metadata", "seen_ts", until=True),
    ArchivedTable("instrument_versions", "first_seen_ts", until=True),
    ArchivedTable("options_quotes", "exchange_ts"),
    ArchivedTable("futures_prices", "exchange_ts"),
    ArchivedTable("spot_prices", "exchange_ts"),
    ArchivedTable("volatility_index", "exchange_ts"),
    ArchivedTable("trades", "exchange_ts"),
    ArchivedTable("order_books", "exchange_ts"),
    ArchivedTable("mark_prices", "exchange_ts"),
    ArchivedTable("perpetual_interest", "exchange_ts"),
    ArchivedTable("candles", "exchange_ts"),
    ArchivedTable("volatility_index_candles", "exchange_ts"),
    ArchivedTable("funding_rates", "exchange_ts"),
    ArchivedTable("delivery_prices", "exchange_ts"),
    ArchivedTable("history_progress", "updated_ts"),
    ArchivedTable("ingest_gaps", "from_ts"),
    ArchivedTable("dead_letters", "received_ts"),
    ArchivedTable("ingest_segments", "first_received_ts"),
    ArchivedTable("ingest_hours", "hour_ts"),
    ArchivedTable("rate_quotes", "loaded_ts", until=True),
    ArchivedTable("positions", "loaded_ts", until=True),
)


def _selection(table: ArchivedTable) -> str:
    lower = "1" if table.until else f"{table.time} >= {{day:DateTime('UTC')}}"
    return f"{lower} AND {table.time} < {{next:DateTime('UTC')}}"


def _bounds(day: date) -> dict[str, datetime]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"day": start, "next": start + timedelta(days=1)}


def _final(client: Client, table: str) -> str:
    engine, sorting_key = client.query(
        "SELECT engine, sorting_key FROM system.tables "
        "WHERE database = currentDatabase() AND name = {table:String}",
        parameters={"table": table},
    ).result_rows[0]
    return "FINAL" if sorting_key and ("Replacing" in engine or "Aggregating" in engine) else ""


def table_rows(client: Client, table: ArchivedTable, day: date) -> tuple[int, int]:
    """Return how many rows a table holds of a day, and their order-independent hash, each row once.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    table
        One of `ARCHIVED`.
    day
        UTC day.
    """
    found = client.query(
        f"SELECT count(), sum(cityHash64(tuple(*))) FROM {table.name} {_final(client, table.name)} "  # noqa: S608 - names of our own list
        f"WHERE {_selection(table)}",
        parameters=_bounds(day),
    ).result_rows[0]
    return int(found[0]), int(found[1])


def day_contents(client: Client, day: date) -> dict[str, tuple[int, int]]:
    """Return rows and hash of every archived table of a day, those without rows left out."""
    contents = {table.name: table_rows(client, table, day) for table in ARCHIVED}
    return {name: found for name, found in contents.items() if found[0]}


@contextmanager
def _scratch_table(client: Client, table: str) -> Iterator[str]:
    """Give an empty table with the columns of `table` that nothing reads or feeds."""
    name = f"{table}__archive_{secrets.token_hex(4)}"
    client.command(f"CREATE TABLE {name} AS {table} ENGINE = MergeTree ORDER BY tuple()")
    try:
        yield name
    finally:
        client.command(f"DROP TABLE IF EXISTS {name} SYNC")


def _load(client: Client, table: str, path: Path) -> tuple[int, int]:
    """Insert a Parquet file; return rows and hash of the table."""
    with path.open("rb") as file:
        client.raw_insert(table, insert_block=file, fmt="Parquet")
    found = client.query(f"SELECT count(), sum(cityHash64(tuple(*))) FROM {table}").result_rows[0]  # noqa: S608 - the name of a table
    return int(found[0]), int(found[1])


def archive_day(
    client: Client,
    bucket: Bucket,
    day: date,
    *,
    frames: Path | None = None,
    clock: Clock = utc_now,
) -> Manifest:
    """Archive a day of raw rows and raw frames, and write its manifest.

    Archiving a day again writes what changed; a restored or an unchanged day writes nothing new.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    bucket
        Where to.
    day
        UTC day that is over.
    frames
        Folder of the streamer's archive (`VOL_STREAMER_ARCHIVE_DIRECTORY`).
    clock
        Time of the manifest.

    Returns
    -------
    Manifest
        As written.

    Raises
    ------
    ArchiveError
        S3 refused, or what was read back is not what was written; the manifest is as before.
    """
    if datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1) > clock():
        msg = f"day {day.isoformat()} is not over; archive it tomorrow"
        raise ArchiveError(msg)
    database = str(client.database)
    bucket.ensure()
    parts: list[Part] = []
    with tempfile.TemporaryDirectory(prefix="vol-archive-") as folder:
        for table in ARCHIVED:
            part = _archive_table(client, bucket, database, table, day, Path(folder))
            if part is not None:
                parts.append(part)
        parts += [
            _archive_file(bucket, database, day, path, Path(folder))
            for path in _frames_of(frames, day)
        ]
    manifest = Manifest(database, day, clock().isoformat(), tuple(parts))
    bucket.put_json(manifest_key(database, day), manifest.as_json())
    _remove_unnamed(bucket, manifest)
    _remember(client, manifest, clock())
    return manifest


def _archive_table(
    client: Client, bucket: Bucket, database: str, table: ArchivedTable, day: date, folder: Path
) -> Part | None:
    rows, checksum = table_rows(client, table, day)
    if rows == 0:
        return None
    path = folder / f"{table.name}.parquet"
    query = (
        f"SELECT * FROM {table.name} {_final(client, table.name)} WHERE {_selection(table)} "  # noqa: S608 - names of our own list
        "ORDER BY ALL"
    )
    settings = {"output_format_parquet_compression_method": "zstd"}
    stream = cast(
        "BinaryIO",
        client.raw_stream(query, parameters=_bounds(day), settings=settings, fmt="Parquet"),
    )
    with stream, path.open("wb") as file:
        shutil.copyfileobj(stream, file, 1 << 20)
    digest = sha256_of(path)
    key = f"{database}/{table.name}/day={day.isoformat()}/{digest[:32]}.parquet"
    _put_and_compare(bucket, key, path, digest)
    with _scratch_table(client, table.name) as scratch:
        if _load(client, scratch, path) != (rows, checksum):
            msg = (
                f"{key} does not hold the {rows} rows of {table.name}; rows of {day.isoformat()} "
                "may still be arriving, archive the day again"
            )
            raise ArchiveError(msg)
    first, last = client.query(
        f"SELECT toString(min({table.time})), toString(max({table.time})) FROM {table.name} "  # noqa: S608 - names of our own list
        f"WHERE {_selection(table)}",
        parameters=_bounds(day),
    ).result_rows[0]
    size = path.stat().st_size
    path.unlink()
    return Part(table.name, key, rows, checksum, size, digest, first, last)


def _put_and_compare(bucket: Bucket, key: str, path: Path, digest: str) -> None:
    """Upload a file unless it is there, download the object, and compare."""
    if not bucket.has(key, path.stat().st_size):
        bucket.put(key, path)
    back = path.with_name(path.name + ".back")
    bucket.get(key, back)
    found = sha256_of(back)
    back.replace(path)
    if found != digest:
        bucket.delete(key)
        msg = f"{key} was read back with SHA-256 {found}, {digest} was written; archive it again"
        raise ArchiveError(msg)


def _frames_of(folder: Path | None, day: date) -> list[Path]:
    """Return the hourly files that the streamer's archive made of a day (``2026-02-04T15.tar``)."""
    return [] if folder is None else sorted(folder.glob(f"{day.isoformat()}T??*.tar"))


def _archive_file(bucket: Bucket, database: str, day: date, path: Path, folder: Path) -> Part:
    digest = sha256_of(path)
    key = f"{database}/{RAW_FRAMES}/day={day.isoformat()}/{path.stem}.{digest[:32]}{path.suffix}"
    copy = folder / path.name
    shutil.copyfile(path, copy)
    _put_and_compare(bucket, key, copy, digest)
    size = copy.stat().st_size
    copy.unlink()
    return Part(RAW_FRAMES, key, 0, 0, size, digest)


def _remove_unnamed(bucket: Bucket, manifest: Manifest) -> None:
    """Delete objects of the day that the manifest does not name."""
    named = {part.key for part in manifest.parts}
    for table in (*(one.name for one in ARCHIVED), RAW_FRAMES):
        prefix = f"{manifest.database}/{table}/day={manifest.day.isoformat()}/"
        for key in list(bucket.keys(prefix)):
            if key not in named:
                bucket.delete(key)


def _remember(client: Client, manifest: Manifest, now: datetime) -> None:
    """Write the manifest to ``archive_manifest`` too, for SQL and for checks."""
    instant = pl.Datetime("us", "UTC")
    rows = [
        {
            "day": manifest.day,
            "table_name": part.table,
            "object_key": part.key,
            "rows": part.rows,
            "content_checksum": part.content_checksum,
            "bytes": part.bytes,
            "object_sha256": part.sha256,
            "first_ts": _instant(part.first_ts),
            "last_ts": _instant(part.last_ts),
            "verified_ts": now,
        }
        for part in manifest.parts
    ]
    client.command(
        "DELETE FROM archive_manifest WHERE day = {day:Date}", parameters={"day": manifest.day}
    )
    if rows:
        kinds: dict[str, pl.DataType] = {
            "rows": pl.UInt64(),
            "content_checksum": pl.UInt64(),
            "bytes": pl.UInt64(),
            "first_ts": instant,
            "last_ts": instant,
            "verified_ts": instant,
        }
        insert_frame(client, "archive_manifest", pl.DataFrame(rows, schema_overrides=kinds))


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)


def restore_day(
    client: Client,
    bucket: Bucket,
    day: date,
    *,
    database: str | None = None,
    frames: Path | None = None,
    tables: Sequence[str] | None = None,
) -> Manifest:
    """Put a day of the archive back into the store.

    The rows go through the tables' own inserts, so that state views follow.  Restoring twice, or on
    after an interruption, changes nothing more.

    Parameters
    ----------
    client
        A clickhouse-connect client of a migrated database.
    bucket
        Where from.
    day
        UTC day.
    database
        Database that was archived; None is that of the client.
    frames
        Folder that gets the raw frames; None leaves them.
    tables
        Names; None restores all.

    Returns
    -------
    Manifest
        What was restored.

    Raises
    ------
    ArchiveError
        The day is not archived, an object is damaged, or the store holds other rows of the day.
    """
    manifest = read_manifest(bucket, database or str(client.database), day)
    if manifest is None:
        msg = f"{day.isoformat()} of {database or client.database} is not in the archive"
        raise ArchiveError(msg)
    known = {table.name: table for table in ARCHIVED}
    with tempfile.TemporaryDirectory(prefix="vol-restore-") as folder:
        for part in manifest.parts:
            path = Path(folder) / "part"
            if part.table == RAW_FRAMES:
                if frames is not None:
                    frames.mkdir(parents=True, exist_ok=True)
                    _fetch(bucket, part, path)
                    path.replace(frames / _frame_name(part))
            elif tables is None or part.table in tables:
                _fetch(bucket, part, path)
                _restore_table(client, known[part.table], part, day, path)
    return manifest


def _frame_name(part: Part) -> str:
    """Return the file's own name: the key's without the hash."""
    stem, _, suffix = part.key.rpartition("/")[2].rpartition(".")
    return f"{stem.rpartition('.')[0]}.{suffix}"


def _fetch(bucket: Bucket, part: Part, path: Path) -> None:
    bucket.get(part.key, path)
    found = sha256_of(path)
    if found != part.sha256:
        msg = f"{part.key} has SHA-256 {found}, its manifest says {part.sha256}; it is damaged"
        raise ArchiveError(msg)


def _restore_table(client: Client, table: ArchivedTable, part: Part, day: date, path: Path) -> None:
    name = table.name
    with _scratch_table(client, name) as scratch:
        if _load(client, scratch, path) != (part.rows, part.content_checksum):
            msg = f"{part.key} does not hold the {part.rows} rows of its manifest; it is damaged"
            raise ArchiveError(msg)
        # What is there already stays: an equal row is written once, also where no engine merges it.
        client.command(
            f"INSERT INTO {name} SELECT * FROM {scratch} WHERE cityHash64(tuple(*)) NOT IN "  # noqa: S608 - names of our own list
            f"(SELECT cityHash64(tuple(*)) FROM {name} WHERE {_selection(table)})",
            parameters=_bounds(day),
            settings={"max_insert_threads": 1},
        )
    rows, checksum = table_rows(client, table, day)
    if (rows, checksum) != (part.rows, part.content_checksum) and not (
        table.until and rows > part.rows
    ):
        msg = (
            f"{name} holds {rows} rows of {day.isoformat()}, the archive {part.rows}: the store "
            "held other rows of that day; restore into an empty database to compare"
        )
        raise ArchiveError(msg)
