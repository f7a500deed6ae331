"""Everything received, kept compressed: hourly files from which any hour can be replayed.

A segment that the database holds is compressed into a folder of its hour; when the hour is over the
folder becomes one ``.tar`` of compressed segments, with its checksums and receive times, byte for
byte.  Each step ends with a rename and may be repeated, so a kill at any point loses nothing and
doubles nothing.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import zstandard

from streamer.clock import Clock
from streamer.errors import CaptureError, SegmentError
from streamer.log import logger
from streamer.spool.segment import Record, read_header, read_records
from streamer.spool.spool import Spool

__all__ = ["Archive", "ArchiveKeeper", "read_archive"]

_log = logger(__name__)

_HOUR = "%Y-%m-%dT%H"
_LEVEL = 3
_GRACE = timedelta(minutes=5)
_CLOSE_SECONDS = 60.0
_MEMBER = ".seg.zst"


class Archive:
    """Writes the archive of one collector.

    Parameters
    ----------
    directory
        Where the hourly files are.
    keep_days
        Older ones are deleted.
    """

    def __init__(self, directory: Path, *, keep_days: float) -> None:
        self._directory = directory
        self._keep = timedelta(days=keep_days)

    def add(self, segment: Path, first_received_ns: int) -> None:
        """Compress a segment into its hour; one that is there already is left alone.

        Raises
        ------
        OSError
            The disk does not take it.
        """
        received = datetime.fromtimestamp(first_received_ns / 1e9, UTC)
        folder = self._directory / received.strftime(_HOUR)
        target = folder / f"{segment.stem}{_MEMBER}"
        if target.exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        _write(target, compressor.compress(segment.read_bytes()))

    def catch_up(self, segments: list[Path]) -> None:
        """Add segments that an earlier process stored and was killed before it archived them.

        Raises
        ------
        OSError
            As `add`.
        """
        known = {name for file in self.hours() for name in _names(file)}
        known |= {member.name for member in self._directory.glob(f"*/*{_MEMBER}")}
        for segment in segments:
            if f"{segment.stem}{_MEMBER}" in known:
                continue
            buffer = segment.read_bytes()
            header, offset = read_header(buffer)
            first = next(read_records(buffer, offset), None)
            self.add(segment, header.created_ns if first is None else first.received_ns)

    def close_hours(self, now_ns: int) -> list[Path]:
        """Turn the folders of hours that are over into one file each, and delete old files.

        Returns
        -------
        list of Path
            The files made.
        """
        now = datetime.fromtimestamp(now_ns / 1e9, UTC)
        made = []
        for folder in sorted(self._directory.glob("????-??-??T??")):
            hour = datetime.strptime(folder.name, _HOUR).replace(tzinfo=UTC)
            if now >= hour + timedelta(hours=1) + _GRACE:
                made.append(self._close(folder))
        for file in self.hours():
            hour = datetime.strptime(file.name[:13], _HOUR).replace(tzinfo=UTC)
            if now - hour > self._keep:
                file.unlink(missing_ok=True)  # it may have given way meanwhile
        return made

    def make_room(self, wanted_bytes: int) -> list[Path]:
        """Delete the oldest hourly files until so many bytes are free; return which.

        Raises
        ------
        OSError
            The disk does not let them go.
        """
        deleted = []
        for file in self.hours():
            if wanted_bytes <= 0:
                break
            wanted_bytes -= file.stat().st_size
            file.unlink()
            deleted.append(file)
        return deleted

    def shares_disk_with(self, directory: Path) -> bool:
        """Tell whether room in the archive is room in another directory."""
        return self._directory.exists() and self._directory.stat().st_dev == directory.stat().st_dev

    def hours(self) -> list[Path]:
        """Return the hourly files, oldest first; an hour with late segments has several."""
        return sorted(self._directory.glob("*.tar"))

    def _close(self, folder: Path) -> Path:
        members = sorted(folder.glob(f"*{_MEMBER}"))
        target = self._directory / f"{folder.name}.tar"
        part = 1
        while target.exists() and set(_names(target)) != {member.name for member in members}:
            part += 1
            target = self._directory / f"{folder.name}.{part}.tar"
        if not target.exists():  # it exists when a kill came before its folder was deleted
            draft = target.with_suffix(".open")
            with tarfile.open(draft, "w") as tar:
                for member in members:
                    tar.add(member, member.name)
            _sync(draft)
            draft.rename(target)
            _sync(self._directory)
        shutil.rmtree(folder)
        return target


class ArchiveKeeper:
    """Archives what the writer stored; a disk that refuses costs the archive, never the feed.

    Parameters
    ----------
    archive
        Where it goes.
    clock
        Where the time comes from.
    """

    def __init__(self, archive: Archive, clock: Clock) -> None:
        self._archive = archive
        self._clock = clock
        self._close_at = 0.0

    def take(self, segment: Path, first_received_ns: int) -> None:
        """Archive a segment, and close hours now and then."""
        try:
            self._archive.add(segment, first_received_ns)
            if self._clock.monotonic() >= self._close_at:
                self._close_at = self._clock.monotonic() + _CLOSE_SECONDS
                self._archive.close_hours(self._clock.wall_ns())
        except OSError as error:
            _log.error("archive_failed", segment=segment.name, error=str(error))

    def give_way(self, spool: Spool) -> None:
        """Let the oldest hours go when the spool's disk is short: the database holds them."""
        missing = spool.missing_room()
        if missing == 0 or not self._archive.shares_disk_with(spool.directory):
            return
        try:
            for file in self._archive.make_room(missing):
                _log.warning("archive_gave_way", hour=file.name, missing_bytes=missing)
        except OSError as error:
            _log.error("archive_failed", segment="the oldest hour", error=str(error))

    def catch_up(self, segments: list[Path]) -> None:
        """Archive what an earlier process stored and did not archive any more."""
        try:
            self._archive.catch_up(segments)
        except (OSError, SegmentError, tarfile.TarError) as error:
            _log.error("archive_failed", segment="of the process before", error=str(error))


def read_archive(path: Path) -> Iterator[Record]:
    """Yield every record of an hourly file in the order in which it was received.

    Raises
    ------
    CaptureError
        The file is missing, or not what `Archive` wrote.
    """
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                if stream is None or not member.name.endswith(_MEMBER):
                    raise CaptureError(f"archive {path} holds {member.name}, which is no segment")
                buffer = zstandard.ZstdDecompressor().decompress(stream.read())
                _, offset = read_header(buffer)
                yield from read_records(buffer, offset)
    except FileNotFoundError:
        raise CaptureError(f"archive {path} does not exist; check the path") from None
    except (OSError, tarfile.TarError, zstandard.ZstdError) as error:
        reason = "; ".join(str(error).splitlines())  # tarfile tells one reason a line
        raise CaptureError(f"archive {path} cannot be read: {reason}") from None


def _names(file: Path) -> list[str]:
    with tarfile.open(file) as tar:
        return tar.getnames()


def _write(target: Path, content: bytes) -> None:
    draft = target.with_suffix(".open")
    draft.write_bytes(content)
    draft.rename(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
