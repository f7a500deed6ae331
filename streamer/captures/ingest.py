"""Captured frames through the same spool, decoder and writer as live ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from streamer.captures.capture import CapturedMessage
from streamer.clock import Clock
from streamer.database.hours import HourKeeper
from streamer.database.store import Store
from streamer.database.writer import SegmentWriter
from streamer.decoding.batch import Accounts
from streamer.errors import SpoolError, StoreRefusedError
from streamer.settings import StreamerSettings
from streamer.spool.spool import Spool, SpoolLimits

__all__ = ["Accounting", "ingest_messages", "spool_limits"]

# An INSERT has a price of its own; where nobody waits, fewer and larger ones.
_INGEST_FACTOR = 4
_INGEST_MESSAGES = 40_000


@dataclass(frozen=True, slots=True)
class Accounting:
    """What became of all messages of a run."""

    messages: int
    accounts: Accounts
    hours_closed: int = 0
    refused_channels: int = 0

    @property
    def waiting_on_disk(self) -> int:
        """Messages in sealed segments that the database has not taken yet."""
        return self.messages - self.accounts.frames

    @property
    def is_balanced(self) -> bool:
        """Whether every message is a data message, a dead letter or a control message."""
        return self.accounts.is_balanced and self.messages == self.accounts.frames

    def as_dict(self) -> dict[str, object]:
        """Return the accounting as it is printed."""
        return {
            "messages": self.messages,
            **asdict(self.accounts),
            "hours_closed": self.hours_closed,
            "refused_channels": self.refused_channels,
            "waiting_on_disk": self.waiting_on_disk,
            "balanced": self.is_balanced,
        }


def spool_limits(settings: StreamerSettings) -> SpoolLimits:
    """Return the limits of the spool that the settings ask for."""
    wanted = settings.spool
    return SpoolLimits(
        roll_seconds=wanted.roll_seconds,
        roll_bytes=wanted.roll_bytes,
        roll_messages=wanted.roll_messages,
        disk_floor_bytes=wanted.disk_floor_bytes,
        keep_done_segments=wanted.keep_done_segments,
        keep_newest=wanted.when_full == "keep_newest",
    )


def ingest_messages(
    messages: Iterable[CapturedMessage],
    settings: StreamerSettings,
    clock: Clock,
    *,
    keep_receive_times: bool = False,
) -> Accounting:
    """Store captured messages and close the hours that they touch.

    Parameters
    ----------
    messages
        In the order of their receipt.
    settings
        Of the collector.
    clock
        Where the time comes from.
    keep_receive_times
        Store the receive times of the capture.  Raw rows are kept for a time counted from their
        receipt, so the rows of a capture older than that would vanish at once; by default they are
        received now.

    Returns
    -------
    Accounting

    Raises
    ------
    StoreRefusedError
        ClickHouse cannot be reached or refuses us; nothing was read then.
    SpoolError
        The spool directory cannot be used, or its disk is full.
    """
    store = Store(settings.clickhouse)
    if not store.check():
        raise StoreRefusedError(f"ClickHouse at {store.address} cannot be reached; start it first")
    spool = Spool(
        settings.spool_directory / "ingest",  # a live collector may own the directory itself
        collector=settings.collector,
        source="replay",
        testnet=settings.testnet,
        clock=clock,
        limits=_larger(spool_limits(settings)),
    )
    hours = HourKeeper(
        store=store,
        collector=settings.collector,
        clock=clock,
        grace_seconds=settings.hour_grace_seconds,
        is_replay=True,
    )
    started_ns = clock.wall_ns()
    writer = SegmentWriter(spool=spool, store=store, clock=clock, hours=hours, seed=started_ns)
    try:
        spool.recover()
        writer.write_all()  # what an earlier run left behind is not of this accounting
        count = 0
        for message in messages:
            captured_ns = message.received_ns if keep_receive_times else None
            received_ns = clock.wall_ns() if captured_ns is None else captured_ns
            if not spool.append(
                message.record_kind, received_ns, message.connection_id, message.payload
            ):
                raise SpoolError(
                    f"spool directory {spool.directory} is full ({spool.full_reason}); free space "
                    "or lower VOL_STREAMER_SPOOL__DISK_FLOOR_BYTES"
                )
            count += 1
            if spool.should_roll():
                _seal_and_write(spool, writer)
        _seal_and_write(spool, writer)
        closed = hours.close_all("replay", f"replay-{started_ns}")
        writer.totals.rows = dict(sorted(writer.totals.rows.items()))
        return Accounting(count, writer.totals, len(closed))
    finally:
        spool.close()
        store.close()


def _larger(limits: SpoolLimits) -> SpoolLimits:
    return replace(
        limits,
        roll_seconds=limits.roll_seconds * _INGEST_FACTOR,
        roll_bytes=limits.roll_bytes * _INGEST_FACTOR,
        roll_messages=max(limits.roll_messages, _INGEST_MESSAGES),
    )


def _seal_and_write(spool: Spool, writer: SegmentWriter) -> None:
    segment = spool.roll()
    if spool.is_full or (segment is not None and spool.seal(segment) is None):
        raise SpoolError(
            f"spool directory {spool.directory} cannot be written: {spool.full_reason}; free space "
            "or replace the disk, then run the same command again"
        )
    writer.write_all()
