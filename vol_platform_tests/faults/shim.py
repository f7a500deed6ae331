"""A disk and a database that fail, or at which the process dies, at a chosen call."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from streamer.database.store import Store
from streamer.settings import ClickHouseSettings
from streamer.spool.files import Files

__all__ = ["CrashError", "DyingFiles", "DyingStore", "FailingFiles", "Fuse"]

Result = TypeVar("Result")


class CrashError(BaseException):
    """The process is dead from here on: nothing may catch this."""


class Fuse:
    """Counts calls and kills at the chosen one.

    Parameters
    ----------
    calls
        How many calls succeed; None never kills.
    """

    def __init__(self, calls: int | None = None) -> None:
        self.calls = 0
        self._last = calls

    def burn(self) -> None:
        """Let a call happen, or raise `CrashError`."""
        if self._last is not None and self.calls >= self._last:
            raise CrashError
        self.calls += 1


class DyingFiles(Files):
    """The system's files until the fuse burns down; then the descriptors are closed, as by a kill.

    A write that is cut leaves half of its bytes.
    """

    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse
        self._open: set[int] = set()

    def die(self) -> None:
        """Close what is open: the locks of a dead process are free."""
        for descriptor in self._open:
            with suppress(OSError):
                os.close(descriptor)

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        """See `Files`."""
        self._fuse.burn()
        descriptor = super().open(path, flags, mode)
        self._open.add(descriptor)
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        """See `Files`."""
        try:
            self._fuse.burn()
        except CrashError:
            super().write(descriptor, data[: len(data) // 2])
            raise
        return super().write(descriptor, data)

    def close(self, descriptor: int) -> None:
        """See `Files`."""
        self._fuse.burn()
        self._open.discard(descriptor)
        super().close(descriptor)

    def sync(self, descriptor: int) -> None:
        """See `Files`."""
        self._burnt(super().sync, descriptor)

    def sync_directory(self, descriptor: int) -> None:
        """See `Files`."""
        self._burnt(super().sync_directory, descriptor)

    def truncate(self, path: Path, length: int) -> None:
        """See `Files`."""
        self._burnt(super().truncate, path, length)

    def rename(self, path: Path, target: Path) -> None:
        """See `Files`."""
        self._burnt(super().rename, path, target)

    def unlink(self, path: Path) -> None:
        """See `Files`."""
        self._burnt(super().unlink, path)

    def _burnt(self, call: Callable[..., Result], *arguments: Any) -> Result:
        self._fuse.burn()
        return call(*arguments)


class DyingStore(Store):
    """A store at which the process dies before an insert, or after it with the answer lost."""

    def __init__(self, settings: ClickHouseSettings, fuse: Fuse) -> None:
        super().__init__(settings)
        self._fuse = fuse

    def insert(self, table: str, columns: pa.Table, token: str) -> None:
        """See `Store`."""
        self._fuse.burn()
        super().insert(table, columns, token)
        self._fuse.burn()


class FailingFiles(Files):
    """The system's files, of which chosen calls fail as often as they are told to.

    Attributes
    ----------
    failures
        Error numbers by method; every call of that method raises until the entry is deleted.
    free
        Free bytes that the disk claims; None tells the truth.
    """

    def __init__(self) -> None:
        self.failures: dict[str, int] = {}
        self.free: int | None = None
        self.room: int | None = None

    def _check(self, method: str) -> None:
        number = self.failures.get(method)
        if number is not None:
            raise OSError(number, os.strerror(number))

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        """See `Files`."""
        self._check("open")
        return super().open(path, flags, mode)

    def write(self, descriptor: int, data: memoryview) -> int:
        """See `Files`; with `room` set the disk takes that many bytes more."""
        self._check("write")
        if self.room is not None:
            if self.room == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            data = data[: self.room]
            self.room -= len(data)
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """See `Files`."""
        self._check("sync")
        super().sync(descriptor)

    def rename(self, path: Path, target: Path) -> None:
        """See `Files`."""
        self._check("rename")
        super().rename(path, target)

    def free_bytes(self, directory: Path) -> int:
        """See `Files`."""
        return super().free_bytes(directory) if self.free is None else self.free
