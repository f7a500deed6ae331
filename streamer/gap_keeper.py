"""Opens and closes gaps as things happen, and sends each version through the spool."""

from __future__ import annotations

from collections.abc import Iterable

from streamer.catalogue import Catalogue
from streamer.clock import Clock
from streamer.connection import Connection
from streamer.deribit.channels import instrument_of
from streamer.gaps import Gap, GapBook, encode_gap
from streamer.log import logger
from streamer.metrics import Metrics
from streamer.segment import RecordKind
from streamer.spool import Recovery, Spool

__all__ = ["GapKeeper"]

_log = logger(__name__)
_SILENT_CHANNEL_SECONDS = 30.0
_RESTART = "restart"
_SPOOL_FULL = "spool_full"
_LARGEST_DETAIL = 300


class GapKeeper:
    """Knows why data may be missing.

    Parameters
    ----------
    spool
        Gaps travel through it like messages.
    collector
        Name of the collector.
    metrics
        Where gaps are counted.
    clock
        Where the time comes from.
    """

    def __init__(self, spool: Spool, *, collector: str, metrics: Metrics, clock: Clock) -> None:
        self._spool = spool
        self._metrics = metrics
        self._clock = clock
        self._book = GapBook(collector, clock.wall_ns())

    def note_start(self, recovery: Recovery) -> None:
        """Open the gap since the last process, if there was one."""
        if recovery.last_received_ns:
            detail = f"sealed {recovery.sealed} open segments, cut {recovery.torn_bytes} bytes"
            self._put(
                self._book.open(
                    _RESTART, from_ns=recovery.last_received_ns, cause="restart", detail=detail
                )
            )

    def note_all_complete(self) -> None:
        """Close the gap since the last process: data flows everywhere."""
        self._put(self._book.close(_RESTART, self._clock.wall_ns()))

    def note_lost(self, connection: Connection, cause: str, detail: str) -> None:
        """Open a gap from the last data of a connection."""
        if connection.last_received_ns == 0:
            return  # there was never data; the gap since the last process covers it
        self._put(
            self._book.open(
                f"connection {connection.number}",
                from_ns=connection.last_received_ns,
                cause="maintenance" if "11051" in detail else "reconnect",
                detail=f"{cause}: {detail}"[:_LARGEST_DETAIL],
            )
        )

    def note_complete(self, connection: Connection) -> None:
        """Close the gap of a connection: data flows on every channel of it."""
        self._put(self._book.close(f"connection {connection.number}", self._clock.wall_ns()))

    def note_mute(self, channel: str, from_ns: int, detail: str) -> None:
        """Open the gap of one channel."""
        self._put(
            self._book.open(
                f"channel {channel}",
                from_ns=from_ns,
                cause="silence",
                detail=detail,
                channel=channel,
                instrument_name=instrument_of(channel),
            )
        )

    def note_dropped(self, channels: Iterable[str]) -> None:
        """Close the gaps of channels that are not wanted any more."""
        for channel in channels:
            self._put(self._book.close(f"channel {channel}", self._clock.wall_ns()))

    def note_disk_refused(self, received_ns: int) -> None:
        """Open the gap of a full disk; it can be written only when it closes."""
        reason = self._spool.full_reason
        gap = self._book.open(_SPOOL_FULL, from_ns=received_ns, cause=_SPOOL_FULL, detail=reason)
        if gap is not None:
            self._metrics.gaps.labels(_SPOOL_FULL).inc()
            _log.error("spool_full", reason=reason, cure="free space on the disk of the spool")

    def watch_disk(self) -> None:
        """Look at the disk; close the gap when there is room again."""
        was_full = self._spool.is_full
        self._spool.check_disk()
        if was_full and not self._spool.is_full:
            self._put(self._book.close(_SPOOL_FULL, self._clock.wall_ns()))
            _log.info("disk_has_room", refused=self._spool.refused_messages)

    def watch_silence(self, connections: Iterable[Connection], catalogue: Catalogue) -> None:
        """Open and close the gaps of single channels; an expired instrument is silent by right."""
        wall_ns, now = self._clock.wall_ns(), self._clock.monotonic()
        for connection in connections:
            if not connection.is_complete:
                continue  # the gap of the connection covers it
            silent = dict(connection.session.silent_channels(_SILENT_CHANNEL_SECONDS, now))
            for name, last_data in silent.items():
                if not catalogue.is_expired(instrument_of(name), wall_ns // 1_000_000):
                    last_ns = wall_ns - round((now - last_data) * 1e9)
                    self.note_mute(name, last_ns, f"no data for {now - last_data:.0f} s")
            for name in self._book.open_channels() - silent.keys():
                if connection.session.has_data(name):
                    self.note_dropped([name])

    def _put(self, gap: Gap | None) -> None:
        if gap is None:
            return
        self._spool.append(RecordKind.GAP, self._clock.wall_ns(), 0, encode_gap(gap))
        if gap.version == 1:
            self._metrics.gaps.labels(gap.cause).inc()
            _log.warning("gap_opened", cause=gap.cause, channel=gap.channel, detail=gap.detail)
