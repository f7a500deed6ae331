"""The spool: every message is on disk before anything else happens to it.

A segment goes through four names, each step one atomic rename::

    <id>.open   being written
    <id>.seg    sealed: synced to disk, never changed again, waiting for the database
    <id>.done   the database has all of it
    <id>.bad    damaged; kept for a person to look at, never read again

There is no ledger and no index: the directory is the state, and starting is the same as recovering.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamer.clock import Clock
from streamer.errors import SpoolError, SpoolLockedError
from streamer.segment import (
    RecordKind,
    SegmentHeader,
    encode_frames,
    encode_header,
    encode_record,
    sound_length,
)

__all__ = ["OpenSegment", "Recovery", "Spool", "SpoolLimits"]


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """When a segment is rolled and how much disk is left alone."""

    roll_seconds: float = 1.0
    roll_bytes: int = 16 * 1024 * 1024
    roll_messages: int = 20_000
    flush_bytes: int = 128 * 1024
    disk_floor_bytes: int = 2 * 1024**3
    keep_done_segments: int = 60


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found at the start.

    Attributes
    ----------
    last_received_ns
        Receive time of the newest record on disk; 0 when the directory was empty.
    sealed
        Segments that were still open and are sealed now.
    torn_bytes
        Bytes cut off behind the last sound record.
    quarantined
        Files whose header was unreadable, moved aside.
    """

    last_received_ns: int
    sealed: int
    torn_bytes: int
    quarantined: tuple[str, ...]


@dataclass(slots=True)
class OpenSegment:
    """The segment being written."""

    path: Path
    descriptor: int
    opened_at: float
    messages: int = 0
    written_bytes: int = 0


class Spool:
    """An append-only queue of segments in one directory, owned by one process.

    Parameters
    ----------
    directory
        Created when missing.
    collector
        Name of the collector; part of every segment id.
    source
        stream or replay.
    testnet
        Whether the rows are of the test exchange.
    clock
        Where the time comes from.
    limits
        Sizes and ages.

    Raises
    ------
    SpoolLockedError
        Another process owns the directory.
    SpoolError
        The directory cannot be created or written.
    """

    def __init__(
        self,
        directory: Path,
        *,
        collector: str,
        source: str,
        testnet: bool,
        clock: Clock,
        limits: SpoolLimits | None = None,
    ) -> None:
        self.directory = directory
        self.limits = limits or SpoolLimits()
        self._collector = collector
        self._source = source
        self._testnet = testnet
        self._clock = clock
        self._buffer = bytearray()
        self._segment: OpenSegment | None = None
        self._lock = self._take_lock()
        # Two starts never share an id, not even after the directory was emptied: the database would
        # take a second segment of the same id for a repetition and drop it.
        newest = max((_started_ns(path) for path in self._files("")), default=0)
        self._started_ns = max(clock.wall_ns(), newest + 1)
        self._number = 0
        self.refused_messages = 0
        self.is_full = False
        self.full_reason = ""

    def _take_lock(self) -> int:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        except OSError as error:
            raise SpoolError(
                f"spool directory {self.directory} cannot be written: {error.strerror}; "
                "make it writable or set VOL_STREAMER_SPOOL_DIRECTORY to another"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise SpoolLockedError(
                f"spool directory {self.directory} is in use by process {owner}; stop it or set "
                "VOL_STREAMER_SPOOL_DIRECTORY to another"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return descriptor

    def recover(self) -> Recovery:
        """Seal what the last process left open; call it before the first append."""
        last_received_ns = sealed = torn = 0
        quarantined = []
        for path in self._files(".done", ".seg", ".open"):
            buffer = path.read_bytes()
            length, received_ns = sound_length(buffer)
            last_received_ns = max(last_received_ns, received_ns)
            if path.suffix != ".open":
                continue
            if received_ns == 0:
                # Nothing but a header, or less: there is no message in it.
                torn += len(buffer) - length
                if length == 0 and buffer:
                    path.rename(path.with_suffix(".bad"))
                    quarantined.append(path.name)
                else:
                    path.unlink()
                continue
            torn += len(buffer) - length
            os.truncate(path, length)
            self._seal_path(path)
            sealed += 1
        return Recovery(last_received_ns, sealed, torn, tuple(quarantined))

    def append(
        self, kind: RecordKind, received_ns: int, connection_id: int, payload: bytes
    ) -> bool:
        """Add a record.

        Returns
        -------
        bool
            False when the disk is full and the message was counted and refused.
        """
        return self._add(encode_record(kind, received_ns, connection_id, payload), 1)

    def append_frames(self, received_ns: int, connection_id: int, frames: list[bytes]) -> bool:
        """Add the messages of one read of a socket; all or none.

        Returns
        -------
        bool
            False when the disk is full and the messages were counted and refused.
        """
        return self._add(encode_frames(received_ns, connection_id, frames), len(frames))

    def _add(self, records: bytes, messages: int) -> bool:
        segment = None if self.is_full else self._segment or self._open()
        if segment is None:
            self.refused_messages += messages
            return False
        self._buffer += records
        segment.messages += messages
        if len(self._buffer) >= self.limits.flush_bytes:
            self.flush()  # a disk that refuses them now is tried again; the next message is refused
        return True

    def flush(self) -> bool:
        """Hand everything to the operating system; after this a kill of the process loses nothing.

        Returns
        -------
        bool
            False when the disk refused it; the messages stay in memory and are tried again.
        """
        segment = self._segment
        if segment is None or not self._buffer:
            return True
        view = memoryview(self._buffer)
        written = 0
        try:
            while written < len(view):
                written += os.write(segment.descriptor, view[written:])
        except OSError as error:
            self._fill(error)
            return False
        finally:
            view.release()
            segment.written_bytes += written
            del self._buffer[:written]
        return True

    def sync(self) -> None:
        """Force what was flushed to the disk itself, against loss of power."""
        if self._segment is not None:
            os.fdatasync(self._segment.descriptor)

    def should_roll(self) -> bool:
        """Tell whether the open segment is old, large or long enough to be sealed."""
        segment = self._segment
        if segment is None or segment.messages == 0:
            return False
        limits = self.limits
        return (
            segment.messages >= limits.roll_messages
            or segment.written_bytes + len(self._buffer) >= limits.roll_bytes
            or self._clock.monotonic() - segment.opened_at >= limits.roll_seconds
        )

    def roll(self) -> OpenSegment | None:
        """Take the open segment out; the next append opens a new one.

        Returns
        -------
        OpenSegment or None
            To be handed to `seal`, which waits for the disk and may run in another thread.
        """
        if not self.flush():
            return None
        segment, self._segment = self._segment, None
        return segment

    def seal(self, segment: OpenSegment) -> Path:
        """Sync a segment and rename it to ``.seg``; from now on it never changes."""
        os.fdatasync(segment.descriptor)
        os.close(segment.descriptor)
        return self._seal_path(segment.path, synced=True)

    def sealed(self) -> list[Path]:
        """Return the sealed segments, oldest first."""
        return list(self._files(".seg"))

    def owns(self, path: Path) -> bool:
        """Tell whether this process wrote the segment, rather than one before it."""
        return _started_ns(path) == self._started_ns

    def finish(self, path: Path) -> None:
        """Mark a segment as held by the database, and delete the oldest that are."""
        path.rename(path.with_suffix(".done"))
        done = list(self._files(".done"))
        for old in done[: max(0, len(done) - self.limits.keep_done_segments)]:
            old.unlink()

    def quarantine(self, path: Path) -> Path:
        """Put a damaged segment aside; nothing reads it again."""
        target = path.with_suffix(".bad")
        path.rename(target)
        self._sync_directory()
        return target

    def check_disk(self) -> None:
        """Stop accepting below the floor of free space and accept again 10 % above it."""
        floor = self.limits.disk_floor_bytes
        free = shutil.disk_usage(self.directory).free
        if not self.is_full and free < floor:
            self.is_full = True
            self.full_reason = f"{free} bytes free, the floor is {floor}"
        elif self.is_full and free >= floor * 1.1 and self.flush():
            self.is_full = False

    def close(self) -> None:
        """Seal what is open and give the directory up."""
        segment = self.roll()
        if segment is not None:
            self.seal(segment)
        os.close(self._lock)

    def _open(self) -> OpenSegment | None:
        name = f"{self._started_ns:019d}-{self._number:08d}"
        header = SegmentHeader(
            segment_id=f"{self._collector}-{name}",
            collector=self._collector,
            source=self._source,
            testnet=self._testnet,
            created_ns=self._clock.wall_ns(),
        )
        path = self.directory / f"{name}.open"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o640)
        except OSError as error:
            self._fill(error)
            return None
        self._number += 1
        self._segment = OpenSegment(path, descriptor, self._clock.monotonic())
        self._buffer += encode_header(header)
        return self._segment

    def _fill(self, error: OSError) -> None:
        self.is_full = True
        self.full_reason = errno.errorcode.get(error.errno or 0, str(error))

    def _seal_path(self, path: Path, *, synced: bool = False) -> Path:
        if not synced:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            os.fdatasync(descriptor)
            os.close(descriptor)
        target = path.with_suffix(".seg")
        path.rename(target)
        self._sync_directory()
        return target

    def _sync_directory(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(descriptor)
        os.close(descriptor)

    def _files(self, *suffixes: str) -> Iterator[Path]:
        """Yield segment files in the order in which they were written."""
        for path in sorted(self.directory.iterdir()):
            stem, _, number = path.stem.partition("-")
            is_segment = stem.isdigit() and number.isdigit()
            if is_segment and ("" in suffixes or path.suffix in suffixes):
                yield path


def _started_ns(path: Path) -> int:
    return int(path.stem.partition("-")[0])
