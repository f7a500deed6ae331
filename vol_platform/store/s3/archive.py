"""Raw rows to Parquet on S3, day by day.

A day is a set of objects and a manifest.  Each object is uploaded, downloaded again, compared byte
for byte (SHA-256) and loaded into a scratch table whose rows must be those of the source; only when
all agree is the manifest written.  What an interrupted archive leaves are objects that no manifest
names, and the next archive of the day removes them.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.clock import Clock, utc_now
from vol_platform.errors import ArchiveError
from vol_platform.store.client import insert_frame
from vol_platform.store.s3.archive_manifest import RAW_FRAMES, Manifest, Part, manifest_key
from vol_platform.store.s3.archive_tables import (
    ARCHIVED,
    ArchivedTable,
    bounds,
    final,
    load_parquet,
    scratch_table,
    selection,
    table_rows,
)
from vol_platform.store.s3.object_store import Bucket, sha256_of

__all__ = ["archive_day"]


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
        f"SELECT * FROM {table.name} {final(client, table.name)} WHERE {selection(table)} "  # noqa: S608 - names of our own list
        "ORDER BY ALL"
    )
    settings = {"output_format_parquet_compression_method": "zstd"}
    stream = cast(
        "BinaryIO",
        client.raw_stream(query, parameters=bounds(day), settings=settings, fmt="Parquet"),
    )
    with stream, path.open("wb") as file:
        shutil.copyfileobj(stream, file, 1 << 20)
    digest = sha256_of(path)
    key = f"{database}/{table.name}/day={day.isoformat()}/{digest[:32]}.parquet"
    _put_and_compare(bucket, key, path, digest)
    with scratch_table(client, table.name) as scratch:
        if load_parquet(client, scratch, path) != (rows, checksum):
            msg = (
                f"{key} does not hold the {rows} rows of {table.name}; rows of {day.isoformat()} "
                "may still be arriving, archive the day again"
            )
            raise ArchiveError(msg)
    first, last = client.query(
        f"SELECT toString(min({table.time})), toString(max({table.time})) FROM {table.name} "  # noqa: S608 - names of our own list
        f"WHERE {selection(table)}",
        parameters=bounds(day),
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
