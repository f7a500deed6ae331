"""The directory of a spool: which process owns it, and which segments are where on their way.

A segment goes through four names, each step one atomic rename::

    <id>.open   being written
    <id>.seg    sealed: synced to disk, never changed again, waiting for the database
    <id>.done   the database has all of it
    <id>.bad    damaged; kept for a person to look at, never read again

There is no ledger and no index: the directory is the state.  It is listed once, at the start; from
then on one process alone changes it and remembers what it did, because after an outage of hours
a listing takes longer than an INSERT.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Lock

from streamer.errors import SpoolError, SpoolLockedError
from streamer.spool.files import Files

__all__ = ["SpoolDirectory"]


class SpoolDirectory:
    """The segments of one directory, which this process owns until `close`.

    Segments are named in the order of their making: start of the process, then a number.

    Parameters
    ----------
    path
        Created when missing.
    files
        How the disk is changed.
    keep_done
        So many segments are kept after the database had them.

    Raises
    ------
    SpoolLockedError
        Another process owns the directory.
    SpoolError
        The directory cannot be created or written.
    """

    def __init__(self, path: Path, files: Files, keep_done: int) -> None:
        self.path = path
        self._files = files
        self._keep_done = keep_done
        self._owner = self._take_lock()
        found = list(self._listed())
        self.newest_started_ns = max(map(started_ns, found), default=0)
        self.unfinished = [each for each in found if each.suffix == ".open"]
        self._sealed = {each: None for each in found if each.suffix == ".seg"}
        self._done = deque(each for each in found if each.suffix == ".done")
        # One thread seals, another one writes to the database, a third one shows the numbers.
        self._guard = Lock()

    @property
    def waiting(self) -> int:
        """Number of sealed segments."""
        return len(self._sealed)

    def sealed(self) -> list[Path]:
        """Return the sealed segments, oldest first."""
        with self._guard:
            return list(self._sealed)

    def holds(self, path: Path) -> bool:
        """Tell whether a segment is sealed and not done."""
        return path in self._sealed

    def newest_first(self) -> list[Path]:
        """Return what is sealed or done, newest first; the database is given the oldest first."""
        with self._guard:
            return [*reversed(self._sealed), *reversed(self._done)]

    def rename_sealed(self, path: Path) -> Path:
        """Give a synced segment its sealed name, which `sync` makes last."""
        target = path.with_suffix(".seg")
        self._files.rename(path, target)
        return target

    def add_sealed(self, path: Path) -> None:
        """Let readers see a segment: it and its name are on the disk now."""
        self.sync()
        with self._guard:
            self._sealed[path] = None

    def finish(self, path: Path) -> None:
        """Mark a segment as held by the database, and delete the oldest that are.

        Raises
        ------
        OSError
            It cannot be renamed; nothing has changed.
        """
        if not self.holds(path):
            return  # it was dropped while the database took it
        target = path.with_suffix(".done")
        self._files.rename(path, target)
        with self._guard:
            self._sealed.pop(path)
            self._done.append(target)
        while len(self._done) > self._keep_done:
            try:
                self._files.unlink(self._done[0])
            except FileNotFoundError:
                pass  # somebody else tidied up
            except OSError:
                return  # it costs room and nothing else; the next segment tries again
            self._done.popleft()

    def oldest_but_one(self) -> Path | None:
        """Return the oldest sealed segment that the database is not being given; or None."""
        with self._guard:
            return next(islice(self._sealed, 1, None), None)

    def drop(self, path: Path) -> None:
        """Delete a sealed segment that the database does not have.

        Raises
        ------
        OSError
            The disk does not let it go; nothing has changed.
        """
        with self._guard:
            self._files.unlink(path)
            self._sealed.pop(path, None)

    def quarantine(self, path: Path) -> Path:
        """Put a damaged segment aside; nothing reads it again.

        Raises
        ------
        OSError
            The disk does not take the name, and nothing has changed; or it is not synced.
        """
        target = path.with_suffix(".bad")
        with suppress(FileNotFoundError):  # it vanished, or was put aside before
            self._files.rename(path, target)
        with self._guard:
            self._sealed.pop(path, None)
        self.sync()
        return target

    def sync(self) -> None:
        """Wait until the names are on the disk itself."""
        descriptor = self._files.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        self._files.sync_directory(descriptor)
        self._files.close(descriptor)

    def close(self) -> None:
        """Give the directory up."""
        self._files.close(self._owner)

    def _take_lock(self) -> int:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = self._files.open(self.path / "lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise SpoolError(
                f"spool directory {self.path} cannot be written: {error.strerror}; "
                "make it writable or set VOL_STREAMER_SPOOL_DIRECTORY to another"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            self._files.close(descriptor)
            raise SpoolLockedError(
                f"spool directory {self.path} is in use by process {owner}; stop it or set "
                "VOL_STREAMER_SPOOL_DIRECTORY to another"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return descriptor

    def _listed(self) -> Iterator[Path]:
        """Yield segment files in the order in which they were written."""
        for name in sorted(path.name for path in self.path.iterdir()):
            stem, _, number = name.partition(".")[0].partition("-")
            if stem.isdigit() and number.isdigit():
                yield self.path / name


def started_ns(path: Path) -> int:
    """Return when the process that wrote a segment was started, nanoseconds since the epoch."""
    return int(path.stem.partition("-")[0])
