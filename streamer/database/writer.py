"""From sealed segments to ClickHouse, in order, each exactly once.

One segment is one INSERT per table, named by a token.  Whatever happens in between (a lost answer,
a restart of either side, a kill) the same segment is inserted again with the same tokens until the
database has acknowledged every table; only then is the file marked done.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from streamer.clock import Clock
from streamer.database.hours import HourKeeper
from streamer.database.store import TRANSIENT_ERRORS, Store
from streamer.decoding.batch import Accounts, SegmentBatch, read_segment
from streamer.decoding.decode import FrameDecoder
from streamer.errors import SegmentError
from streamer.gaps import Gap
from streamer.log import logger
from streamer.spool.spool import Spool

__all__ = ["SegmentWriter", "WriterStopped", "Written"]

_log = logger(__name__)


class WriterStopped(Exception):  # noqa: N818 - not an error: somebody asked the writer to stop
    """The writer was told to stop while the database was away; the segment waits on disk."""


@dataclass(frozen=True, slots=True)
class Written:
    """A segment that the database holds now."""

    path: Path
    batch: SegmentBatch
    attempts: int
    seconds: float


class SegmentWriter:
    """Writes sealed segments.

    Parameters
    ----------
    spool
        Where the segments are.
    store
        Where they go.
    clock
        Where the time comes from.
    hours
        Told of every segment; closes hours.
    seed
        Of the jitter of the pauses between attempts.
    on_written
        Called after each segment, for the metrics.
    backoff_limit_seconds
        Longest pause between two attempts.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        store: Store,
        clock: Clock,
        hours: HourKeeper,
        seed: int,
        on_written: Callable[[Written], None] | None = None,
        backoff_limit_seconds: float = 15.0,
    ) -> None:
        self.decoder = FrameDecoder()
        self.totals = Accounts()
        self.failures = 0
        self.last_error = ""
        self._spool = spool
        self._store = store
        self._clock = clock
        self._hours = hours
        self._random = random.Random(seed)  # noqa: S311 - jitter, not a secret
        self._on_written = on_written
        self._backoff_limit = backoff_limit_seconds
        self._stop = threading.Event()
        self._wake = threading.Event()

    def stop(self) -> None:
        """Give up waiting for a database that does not answer; segments stay on disk."""
        self._stop.set()
        self._wake.set()

    def wake(self) -> None:
        """Say that a segment was sealed."""
        self._wake.set()

    def run(self, *, until_empty: Callable[[], bool]) -> None:
        """Write segments as they are sealed.

        Parameters
        ----------
        until_empty
            Asked when no segment waits; True ends the loop.
        """
        while not self._stop.is_set():
            self._wake.clear()
            try:
                if self.write_all() == 0:
                    if until_empty():
                        return
                    self._wake.wait(timeout=0.25)
            except WriterStopped:
                return
            except Exception as error:  # noqa: BLE001 - the feed goes on; health says what is wrong
                self.failures += 1
                self.last_error = repr(error)
                _log.exception("writer_failed", error=self.last_error)
                self._stop.wait(self._backoff_limit)

    def write_all(self) -> int:
        """Write every segment that is sealed now; return how many.

        Raises
        ------
        WriterStopped
            `stop` was called.
        """
        paths = self._spool.sealed()
        for path in paths:
            self.write(path)
        return len(paths)

    def write(self, path: Path) -> Written | None:
        """Write one segment; None when it could not even be read and was put aside.

        Raises
        ------
        WriterStopped
            `stop` was called.
        """
        if not self._spool.holds(path):
            return None  # a short disk let it go meanwhile
        begun = self._clock.monotonic()
        try:
            batch = read_segment(path.read_bytes(), self.decoder)
        except (SegmentError, OSError) as error:  # damaged, unreadable, or vanished
            self._put_aside(path, str(error), batch=None)
            return None
        attempts = self._until_acknowledged(lambda: self._insert(batch))
        if not batch.accounts.is_balanced:
            _log.error("accounts_not_balanced", segment=path.name)
        if batch.damage is None:
            self._until_acknowledged(lambda: self._spool.finish(path))
        else:
            self._put_aside(path, batch.damage, batch=batch)
        if self._spool.owns(path):
            self.totals.add(batch.accounts)
        self._until_acknowledged(lambda: self._hours.advance(batch))
        written = Written(path, batch, attempts, self._clock.monotonic() - begun)
        if self._on_written is not None:
            self._on_written(written)
        return written

    def _insert(self, batch: SegmentBatch) -> None:
        segment_id = batch.header.segment_id
        for name, columns in batch.tables.items():
            self._store.insert(name, columns, f"{segment_id}-{name}")
        if batch.dead_letters:
            self._store.insert("dead_letters", _letters(batch), f"{segment_id}-dead_letters")
        if batch.gaps:
            columns = _gaps(batch.gaps, batch.header.collector)
            self._store.insert("ingest_gaps", columns, f"{segment_id}-ingest_gaps")
        account = _account(batch, self._clock.wall_ns())
        self._store.insert("ingest_segments", account, f"{segment_id}-ingest_segments")

    def _put_aside(self, path: Path, damage: str, batch: SegmentBatch | None) -> None:
        modified_ns = path.stat().st_mtime_ns if path.exists() else self._clock.wall_ns()
        gap = Gap(
            gap_id=f"{path.stem}-damaged",
            channel="*",
            instrument_name="",
            from_ns=batch.last_received_ns if batch is not None else modified_ns,
            to_ns=modified_ns if batch is None else max(modified_ns, batch.last_received_ns),
            cause="spool_damaged",
            detail=f"{path.name}: {damage}",
            version=1,
        )
        collector = batch.header.collector if batch is not None else self._hours.collector
        columns = _gaps([gap], collector)
        self._until_acknowledged(
            lambda: self._store.insert("ingest_gaps", columns, f"{gap.gap_id}-ingest_gaps")
        )
        self._until_acknowledged(lambda: self._spool.quarantine(path))
        _log.error("segment_quarantined", segment=path.name, damage=damage)

    def _until_acknowledged(self, action: Callable[[], object]) -> int:
        """Try until the database, or the disk, did it; return how often it was tried."""
        attempts = 0
        while True:
            attempts += 1
            try:
                action()
            except TRANSIENT_ERRORS as error:
                self.failures += 1
                self.last_error = str(error).strip().splitlines()[0] if str(error) else repr(error)
                pause = min(self._backoff_limit, 0.1 * 2 ** min(attempts, 10))
                pause *= self._random.uniform(0.5, 1.0)
                _log.warning(
                    "insert_failed",
                    error=self.last_error,
                    attempt=attempts,
                    next_try_seconds=round(pause, 2),
                )
                if self._stop.wait(pause):
                    raise WriterStopped from error
            else:
                self.last_error = ""
                return attempts


def _microseconds(values_ns: list[int | None]) -> pa.Array:
    values = [None if value is None else value // 1000 for value in values_ns]
    return pa.array(values, pa.timestamp("us", tz="UTC"))


def _letters(batch: SegmentBatch) -> pa.Table:
    letters = batch.dead_letters
    count = len(letters)
    return pa.table(
        {
            "received_ts": _microseconds([letter.received_ns for letter in letters]),
            "channel": pa.array([letter.channel for letter in letters], pa.string()),
            "reason": pa.array([letter.reason for letter in letters], pa.string()),
            "detail": pa.array([letter.detail for letter in letters], pa.string()),
            "raw": pa.array([letter.raw for letter in letters], pa.binary()),
            "collector": pa.array([batch.header.collector] * count, pa.string()),
            "segment_id": pa.array([batch.header.segment_id] * count, pa.string()),
        }
    )


def _gaps(gaps: list[Gap], collector: str) -> pa.Table:
    return pa.table(
        {
            "gap_id": pa.array([gap.gap_id for gap in gaps], pa.string()),
            "channel": pa.array([gap.channel for gap in gaps], pa.string()),
            "instrument_name": pa.array([gap.instrument_name for gap in gaps], pa.string()),
            "from_ts": _microseconds([gap.from_ns for gap in gaps]),
            "to_ts": _microseconds([gap.to_ns for gap in gaps]),
            "cause": pa.array([gap.cause for gap in gaps], pa.string()),
            "detail": pa.array([gap.detail for gap in gaps], pa.string()),
            "repaired_ts": _microseconds([gap.repaired_ns for gap in gaps]),
            "repair_method": pa.array([gap.repair_method for gap in gaps], pa.string()),
            "collector": pa.array([collector] * len(gaps), pa.string()),
            "version": pa.array([gap.version for gap in gaps], pa.uint64()),
        }
    )


def _account(batch: SegmentBatch, inserted_ns: int) -> pa.Table:
    accounts, header = batch.accounts, batch.header
    milliseconds = pa.timestamp("ms", tz="UTC")
    return pa.table(
        {
            "segment_id": pa.array([header.segment_id], pa.string()),
            "collector": pa.array([header.collector], pa.string()),
            "first_received_ts": _microseconds([batch.first_received_ns]),
            "last_received_ts": _microseconds([batch.last_received_ns]),
            "first_exchange_ts": pa.array([batch.first_exchange_ms], milliseconds),
            "last_exchange_ts": pa.array([batch.last_exchange_ms], milliseconds),
            "frames": pa.array([accounts.frames], pa.uint64()),
            "control_messages": pa.array([accounts.control_messages], pa.uint64()),
            "data_messages": pa.array([accounts.data_messages], pa.uint64()),
            "dead_letters": pa.array([accounts.dead_letters], pa.uint64()),
            "rows": pa.array([list(accounts.rows.items())], pa.map_(pa.string(), pa.uint64())),
            "bytes": pa.array([batch.size_bytes], pa.uint64()),
            "checksum": pa.array([batch.checksum], pa.uint32()),
            "inserted_ts": _microseconds([inserted_ns]),
        }
    )
