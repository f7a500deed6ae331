"""Dagster's event log in SQLite files, with connections that stay open.

Dagster opens a file anew for every event, and for an event of an asset two or three times; that is
two thirds of what an event costs, and a month of backfill writes twenty thousand.  Here the index
and the file of the newest run stay open.  The write-ahead log is synced at checkpoints alone: after
a loss of power the newest events may be missing, the file stays whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sql
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.pool import StaticPool

__all__ = ["OpenEventLogStorage"]

_BUSY_SECONDS = 60.0
_OPEN_FILES = 2


class OpenEventLogStorage(SqliteEventLogStorage):
    """`SqliteEventLogStorage` that keeps its newest files open.

    Parameters
    ----------
    base_dir
        Folder of the files.
    inst_data
        Dagster's own.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._open: dict[str, sql.Engine] = {}
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> OpenEventLogStorage:
        """Build the storage from the instance file."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sql.Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> sql.Engine:
        """Return the open file of a shard; the one that was used longest ago is closed for it."""
        engine = self._open.pop(shard, None)
        if engine is None:
            engine = sql.create_engine(
                self.conn_string_for_shard(shard),
                poolclass=StaticPool,
                # one thread at a time holds the lock
                connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
            )
            sql.event.listen(engine, "connect", _sync_at_checkpoints)
        self._open[shard] = engine
        if len(self._open) > _OPEN_FILES:
            oldest = next(iter(self._open))
            self._open.pop(oldest).dispose()
        return engine

    def dispose(self) -> None:
        """Close the files."""
        with self._db_lock:
            while self._open:
                self._open.popitem()[1].dispose()
        super().dispose()


def _sync_at_checkpoints(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
