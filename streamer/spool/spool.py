"""The spool: every message is on disk before anything else happens to it.

What is received is appended to an open segment, handed to the system at every read of a socket,
synced a few times a second, and sealed when the segment is old or large enough.  Where a segment
is on its way tells its name (`spool_directory`); starting is the same as recovering.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from streamer.clock import Clock
from streamer.spool.data import Dropped, OpenSegment, Recovery, SpoolLimits
from streamer.spool.directory import SpoolDirectory, started_ns
from streamer.spool.files import SYSTEM_FILES, Files
from streamer.spool.segment import (
    RecordKind,
    SegmentHeader,
    encode_frames,
    encode_header,
    encode_record,
    read_header,
    sound_length,
)

__all__ = ["Dropped", "OpenSegment", "Recovery", "Spool", "SpoolLimits"]

_ROOM_ABOVE_FLOOR = 1.1  # so that it does not flap


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
        self.limits = limits or SpoolLimits()
        self._files = files
        self._directory = SpoolDirectory(directory, files, self.limits.keep_done_segments)
        self._collector = collector
        self._source = source
        self._testnet = testnet
        self._clock = clock
        self._buffer = bytearray()
        self._segment: OpenSegment | None = None
        self._unsealed: list[OpenSegment] = []
        # Two starts never share an id, not even after the directory was emptied: the database would
        # take a second segment of the same id for a repetition and drop it.
        self._started_ns = max(clock.wall_ns(), self._directory.newest_started_ns + 1)
        self._number = 0
        self.refused_messages = 0
        self.is_full = False
        self.full_reason = ""

    @property
    def directory(self) -> Path:
        """Where the segments are."""
        return self._directory.path

    @property
    def waiting(self) -> int:
        """Number of sealed segments that the database has not acknowledged."""
        return self._directory.waiting

    def recover(self) -> Recovery:
        """Seal what the last process left open; call it before the first append."""
        last_received_ns = self._last_received_sealed()
        sealed = torn = 0
        quarantined = []
        for path in self._directory.unfinished:
            buffer = _content(path)
            length, received_ns = sound_length(buffer or b"")
            if buffer is None or (buffer and length == 0):
                self._files.rename(path, path.with_suffix(".bad"))
                quarantined.append(path.name)
                continue
            torn += len(buffer) - length
            if received_ns == 0:  # nothing but a header, or less: there is no message in it
                self._files.unlink(path)
                continue
            last_received_ns = max(last_received_ns, received_ns)
            self._files.truncate(path, length)
            self._seal_path(path)
            sealed += 1
        return Recovery(last_received_ns, sealed, torn, tuple(quarantined))

    def _last_received_sealed(self) -> int:
        """Receive time of the newest sealed record; after a long outage thousands need no look."""
        for path in self._directory.newest_first():
            _, received_ns = sound_length(_content(path) or b"")
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
        try:
            if not segment.is_synced:
                self._files.sync(segment.descriptor)
                segment.is_synced = True
                self._files.close(segment.descriptor)
            if not segment.is_sealed:
                segment.path = self._directory.rename_sealed(segment.path)
                segment.is_sealed = True
            self._directory.add_sealed(segment.path)
        except OSError as error:
            self._fill(error)
            self._unsealed.append(segment)
            return None
        return segment.path

    def sealed(self) -> list[Path]:
        """Return the sealed segments, oldest first."""
        return self._directory.sealed()

    def holds(self, path: Path) -> bool:
        """Tell whether a segment is sealed and waits."""
        return self._directory.holds(path)

    def owns(self, path: Path) -> bool:
        """Tell whether this process wrote the segment, rather than one before it."""
        return started_ns(path) == self._started_ns

    def finish(self, path: Path) -> None:
        """Mark a segment as held by the database, and delete the oldest that are."""
        self._directory.finish(path)

    def quarantine(self, path: Path) -> Path:
        """Put a damaged segment aside; nothing reads it again."""
        return self._directory.quarantine(path)

    def missing_room(self) -> int:
        """Return how many bytes the disk lacks to 10 % above the floor of free space."""
        wanted = round(self.limits.disk_floor_bytes * _ROOM_ABOVE_FLOOR)
        return max(0, wanted - self._files.free_bytes(self.directory))

    def drop_oldest(self) -> Dropped | None:
        """Below the floor, and when that is wanted, give up the oldest waiting segments.

        Returns
        -------
        Dropped or None
            None when nothing was dropped.
        """
        free = self._files.free_bytes(self.directory)
        if not self.limits.keep_newest or free >= self.limits.disk_floor_bytes:
            return None
        from_ns, to_ns, segments = 0, 0, 0
        with suppress(OSError):  # what it cannot delete it will refuse
            while self.missing_room() and (path := self._directory.oldest_but_one()) is not None:
                begun_ns, ended_ns = _times(path)
                self._directory.drop(path)
                from_ns, to_ns = from_ns or begun_ns, max(to_ns, ended_ns)
                segments += 1
        return Dropped(from_ns, to_ns, segments) if segments else None

    def check_disk(self) -> None:
        """Stop accepting below the floor of free space and accept again 10 % above it.

        After an error of the disk it accepts again once everything that waits could be written.
        """
        floor = self.limits.disk_floor_bytes
        free = self._files.free_bytes(self.directory)
        if not self.is_full and free < floor:
            self.is_full = True
            self.full_reason = f"{free} bytes free, the floor is {floor}"
        elif self.is_full and free >= floor * _ROOM_ABOVE_FLOOR and self.flush():
            waiting, self._unsealed = self._unsealed, []
            failed = [segment for segment in waiting if self.seal(segment) is None]
            self.is_full = bool(failed)

    def close(self) -> None:
        """Seal what is open and give the directory up."""
        segment = self.roll()
        if segment is not None:
            self.seal(segment)
        self._directory.close()

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
        self._directory.add_sealed(self._directory.rename_sealed(path))


def _content(path: Path) -> bytes | None:
    """Return what a file holds; None when the disk does not give it."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _times(path: Path) -> tuple[int, int]:
    """Return when a segment was begun and when its last message came; the disk may not tell."""
    content = _content(path) or b""
    _, last_received_ns = sound_length(content)
    return (read_header(content)[0].created_ns, last_received_ns) if last_received_ns else (0, 0)
