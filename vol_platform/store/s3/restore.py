"""A day of the archive back into the store."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from clickhouse_connect.driver.client import Client

from vol_platform.errors import ArchiveError
from vol_platform.store.s3.archive_manifest import RAW_FRAMES, Manifest, Part, read_manifest
from vol_platform.store.s3.archive_tables import (
    ARCHIVED,
    ArchivedTable,
    bounds,
    load_parquet,
    scratch_table,
    selection,
    table_rows,
)
from vol_platform.store.s3.object_store import Bucket, sha256_of

__all__ = ["restore_day"]


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
    with scratch_table(client, name) as scratch:
        if load_parquet(client, scratch, path) != (part.rows, part.content_checksum):
            msg = f"{part.key} does not hold the {part.rows} rows of its manifest; it is damaged"
            raise ArchiveError(msg)
        # What is there already stays: an equal row is written once, also where no engine merges it.
        client.command(
            f"INSERT INTO {name} SELECT * FROM {scratch} WHERE cityHash64(tuple(*)) NOT IN "  # noqa: S608 - names of our own list
            f"(SELECT cityHash64(tuple(*)) FROM {name} WHERE {selection(table)})",
            parameters=bounds(day),
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
