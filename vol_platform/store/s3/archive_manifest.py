"""What the archive holds of a day: one small object, written last, that names every other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from vol_platform.errors import ArchiveError
from vol_platform.store.s3.object_store import Bucket

__all__ = ["RAW_FRAMES", "Manifest", "Part", "archived_days", "manifest_key", "read_manifest"]

_VERSION = 1
RAW_FRAMES = "raw_frames"
"""Stands for a table name where a part is a file of raw frames."""


@dataclass(frozen=True)
class Part:
    """One object.

    Attributes
    ----------
    table
        Table, or `RAW_FRAMES`.
    key
        Of the object in the bucket; it ends with its hash, so that no object is ever overwritten.
    rows, content_checksum
        Of the rows, once each; zero for raw frames.
    bytes, sha256
        Of the object.
    first_ts, last_ts
        Smallest and largest time, ISO 8601; None without rows or without times.
    """

    table: str
    key: str
    rows: int
    content_checksum: int
    bytes: int
    sha256: str
    first_ts: str | None = None
    last_ts: str | None = None


@dataclass(frozen=True)
class Manifest:
    """A day of a database; each part was read back and found equal before this was written."""

    database: str
    day: date
    archived_ts: str
    parts: tuple[Part, ...]

    def of(self, table: str) -> tuple[Part, ...]:
        """Return the parts of a table."""
        return tuple(part for part in self.parts if part.table == table)

    def as_json(self) -> dict[str, Any]:
        """Return what is written to the bucket."""
        return {
            "version": _VERSION,
            "database": self.database,
            "day": self.day.isoformat(),
            "archived_ts": self.archived_ts,
            # a checksum has 64 bits, more than a JSON number carries everywhere
            "parts": [
                {**asdict(part), "content_checksum": str(part.content_checksum)}
                for part in self.parts
            ],
        }


def manifest_key(database: str, day: date) -> str:
    """Return the key of a day's manifest."""
    return f"{database}/manifests/{day.isoformat()}.json"


def read_manifest(bucket: Bucket, database: str, day: date) -> Manifest | None:
    """Read a day's manifest; None when the day is not archived.

    Raises
    ------
    ArchiveError
        It is no manifest that this version understands.
    """
    key = manifest_key(database, day)
    loaded = bucket.get_json(key)
    if loaded is None:
        return None
    try:
        if loaded["version"] != _VERSION:
            msg = f"{key} has version {loaded['version']}, this program reads {_VERSION}"
            raise ArchiveError(msg)
        parts = tuple(
            Part(**{**part, "content_checksum": int(part["content_checksum"])})
            for part in loaded["parts"]
        )
        return Manifest(
            loaded["database"], date.fromisoformat(loaded["day"]), loaded["archived_ts"], parts
        )
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{key} is no manifest of the archive: {error!r}"
        raise ArchiveError(msg) from error


def archived_days(bucket: Bucket, database: str) -> list[date]:
    """Return the days that have a manifest, oldest first."""
    prefix = f"{database}/manifests/"
    names = (key.removeprefix(prefix).removesuffix(".json") for key in bucket.keys(prefix))
    return sorted(date.fromisoformat(name) for name in names)
