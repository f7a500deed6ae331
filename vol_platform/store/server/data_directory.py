"""The data directory of the embedded store: its lock, its engine configuration, its layout.

::

    DIR/store.lock     flock'ed while a store runs; holds its process id and address
    DIR/engine.xml     engine configuration, written at every start
    DIR/clickhouse/    the engine's own files
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vol_platform.errors import StoreError, StoreLockedError

__all__ = ["DataDirectory", "open_data_directory"]

# query_log makes `log_comment` searchable; a week of it is enough to look for a slow query.
_CONFIGURATION = """<clickhouse>
    <query_log>
        <database>system</database>
        <table>query_log</table>
        <engine>ENGINE = MergeTree PARTITION BY event_date ORDER BY event_time
            TTL event_date + INTERVAL 7 DAY DELETE SETTINGS ttl_only_drop_parts = 1</engine>
        <flush_interval_milliseconds>2000</flush_interval_milliseconds>
    </query_log>
    <backups><allowed_path>{backups}/</allowed_path></backups>
</clickhouse>
"""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """A data directory whose lock this process holds."""

    path: Path
    lock_file: int

    @property
    def engine_path(self) -> Path:
        """Where the engine keeps its files."""
        return self.path / "clickhouse"

    @property
    def configuration(self) -> Path:
        """The engine's configuration file."""
        return self.path / "engine.xml"

    def announce(self, address: str) -> None:
        """Write who holds the directory into its lock file."""
        os.ftruncate(self.lock_file, 0)
        os.pwrite(self.lock_file, f"pid {os.getpid()} at {address}\n".encode(), 0)


@contextmanager
def open_data_directory(path: Path) -> Iterator[DataDirectory]:
    """Create the directory if need be, lock it and write the engine's configuration.

    Raises
    ------
    StoreLockedError
        Another process has it; the text says which, and what to do.
    StoreError
        It cannot be created or written.
    """
    path = path.absolute()
    try:
        (path / "clickhouse").mkdir(parents=True, exist_ok=True)
        lock_file = os.open(path / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(
            f"cannot use the data directory {path}: {error.strerror} ({error.filename}); make it a "
            "writable directory or choose another (--data, VOL_DATA_DIRECTORY)"
        ) from None
    try:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock_file, 200, 0).decode("utf-8", "replace").strip() or "unknown"
            raise StoreLockedError(
                f"the data directory {path} is in use by another store ({holder}); use that one, "
                "stop it, "
                "or choose another directory (--data, VOL_DATA_DIRECTORY)"
            ) from None
        directory = DataDirectory(path, lock_file)
        directory.announce("starting")
        try:
            directory.configuration.write_text(
                _CONFIGURATION.format(backups=path / "backups"), encoding="utf-8"
            )
        except OSError as error:
            raise StoreError(
                f"cannot write {directory.configuration}: {error.strerror}; make {path} writable"
            ) from None
        yield directory
    finally:
        os.close(lock_file)
