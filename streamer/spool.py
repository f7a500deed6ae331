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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamer.clock import Clock
from streamer.errors import SpoolError, SpoolLockedError
from streamer.files import SYSTEM_FILES, Files
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
    roll_bytes: int = 8 * 1024 * 1024
    roll_messages: int = 2_500
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
    is_synced: bool = False
    is_sealed: bool = False


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
    files
        How the disk is changed.

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
        files: Files = SYSTEM_FILES,
    ) -> None:
        self._files = files
        self.directory = directory
        self.limits = limits or SpoolLimits()
        self._collector = collector
        self._source = source
        self._testnet = testnet
        self._clock = clock
        self._buffer = bytearray()
        self._segment: OpenSegment | None = None
        self._unsealed: list[OpenSegment] = []
        self._lock = self._take_lock()
        # Two starts never share an id, not even after the directory was emptied: the database would
        # take a second segment of the same id for a repetition and drop it.
        newest = max((_started_ns(path) for path in self._segments("")), default=0)
        self._started_ns = max(clock.wall_ns(), newest + 1)
        self._number = 0
        self.refused_messages = 0
        self.is_full = False
        self.full_reason = ""

    def _take_lock(self) -> int:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            descriptor = self._files.open(self.directory / "lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise SpoolError(
                f"spool directory {self.directory} cannot be written: {error.strerror}; "
                "make it writable or set VOL_STREAMER_SPOOL_DIRECTORY to another"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            self._files.close(descriptor)
            raise SpoolLockedError(
                f"spool directory {self.directory} is in use by process {owner}; stop it or set "
                "VOL_STREAMER_SPOOL_DIRECTORY to another"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return descriptor

    def recover(self) -> Recovery:
        """Seal what the last process left open; call it before the first append."""
        last_received_ns = self._last_received_sealed()
        sealed = torn = 0
        quarantined = []
        for path in self._segments(".open"):
            buffer = path.read_bytes()
            length, received_ns = sound_length(buffer)
            last_received_ns = max(last_received_ns, received_ns)
            if received_ns == 0:
                # Nothing but a header, or less: there is no message in it.
                torn += len(buffer) - length
                if length == 0 and buffer:
                    self._files.rename(path, path.with_suffix(".bad"))
                    quarantined.append(path.name)
                else:
                    self._files.unlink(path)
                continue
            torn += len(buffer) - length
            self._files.truncate(path, length)
            self._seal_path(path)
            sealed += 1
        return Recovery(last_received_ns, sealed, torn, tuple(quarantined))

    def _last_received_sealed(self) -> int:
        """Receive time of the newest sealed record; after a long outage thousands need no look.

        Segments are named in the order of their making, so that the newest sound one tells.
        """
        for path in reversed(list(self._segments(".done", ".seg"))):
            _, received_ns = sound_length(path.read_bytes())
            if received_ns:
                return received_ns
        return 0

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
                written += self._files.write(segment.descriptor, view[written:])
        except OSError as error:
            self._fill(error)
            return False
        finally:
            view.release()
            segment.written_bytes += written
            del self._buffer[:written]
        return True

    def sync(self) -> None:
        """Force what was flushed to the disk itself, against loss of power.

        A disk that cannot is treated like a full one: nothing more is accepted before it can.
        """
        segment = self._segment
        if segment is None:
            return
        try:
            self._files.sync(segment.descriptor)
        except OSError as error:
            if error.errno != errno.EBADF:  # it was sealed meanwhile, which syncs as well
                self._fill(error)

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

    def seal(self, segment: OpenSegment) -> Path | None:
        """Sync a segment and rename it to ``.seg``; from now on it never changes.

        Returns
        -------
        Path or None
            None when the disk cannot; the segment waits and `check_disk` tries again.
        """
        target = segment.path.with_suffix(".seg")
        try:
            if not segment.is_synced:
                self._files.sync(segment.descriptor)
                segment.is_synced = True
                self._files.close(segment.descriptor)
            if not segment.is_sealed:
                self._files.rename(segment.path, target)
                segment.is_sealed = True
            self._sync_directory()
        except OSError as error:
            self._fill(error)
            self._unsealed.append(segment)
            return None
        return target

    def sealed(self) -> list[Path]:
        """Return the sealed segments, oldest first."""
        return list(self._segments(".seg"))

    def owns(self, path: Path) -> bool:
        """Tell whether this process wrote the segment, rather than one before it."""
        return _started_ns(path) == self._started_ns

    def finish(self, path: Path) -> None:
        """Mark a segment as held by the database, and delete the oldest that are."""
        self._files.rename(path, path.with_suffix(".done"))
        done = list(self._segments(".done"))
        for old in done[: max(0, len(done) - self.limits.keep_done_segments)]:
            self._files.unlink(old)

    def quarantine(self, path: Path) -> Path:
        """Put a damaged segment aside; nothing reads it again."""
        target = path.with_suffix(".bad")
        self._files.rename(path, target)
        self._sync_directory()
        return target

    def check_disk(self) -> None:
        """Stop accepting below the floor of free space and accept again 10 % above it.

        After an error of the disk it accepts again once everything that waits could be written.
        """
        floor = self.limits.disk_floor_bytes
        free = self._files.free_bytes(self.directory)
        if not self.is_full and free < floor:
            self.is_full = True
            self.full_reason = f"{free} bytes free, the floor is {floor}"
        elif self.is_full and free >= floor * 1.1 and self.flush():
            waiting, self._unsealed = self._unsealed, []
            failed = [segment for segment in waiting if self.seal(segment) is None]
            self.is_full = bool(failed)

    def close(self) -> None:
        """Seal what is open and give the directory up."""
        segment = self.roll()
        if segment is not None:
            self.seal(segment)
        self._files.close(self._lock)

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
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            descriptor = self._files.open(path, flags)
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

    def _seal_path(self, path: Path) -> None:
        descriptor = self._files.open(path, os.O_RDONLY)
        self._files.sync(descriptor)
        self._files.close(descriptor)
        self._files.rename(path, path.with_suffix(".seg"))
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = self._files.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        self._files.sync_directory(descriptor)
        self._files.close(descriptor)

    def _segments(self, *suffixes: str) -> Iterator[Path]:
        """Yield segment files in the order in which they were written."""
        for path in sorted(self.directory.iterdir()):
            stem, _, number = path.stem.partition("-")
            is_segment = stem.isdigit() and number.isdigit()
            if is_segment and ("" in suffixes or path.suffix in suffixes):
                yield path


def _started_ns(path: Path) -> int:
    return int(path.stem.partition("-")[0])
