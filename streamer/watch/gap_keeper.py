"""Opens and closes gaps as things happen, and sends each version through the spool."""

from __future__ import annotations

from collections.abc import Iterable

from streamer.clock import Clock
from streamer.deribit.channels import instrument_of
from streamer.deribit.sequences import Hole
from streamer.feed.catalogue import Catalogue
from streamer.feed.connection import Connection
from streamer.gaps import Gap, GapBook, bridged, encode_gap
from streamer.log import logger
from streamer.observe.metrics import Metrics
from streamer.spool.segment import RecordKind
from streamer.spool.spool import Recovery, Spool

__all__ = ["GapKeeper"]

_log = logger(__name__)
_RESTART = "restart"
_CONNECTION = "connection "
_BOOK = "book "
_EARLIER = "earlier "
_SUMMARY = "book_summary"
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
    started_ns
        Start of the process, which is part of every id.
    metrics
        Where gaps are counted.
    clock
        Where the time comes from.
    silence_seconds
        A channel that repeats itself has a gap when it is silent for so long.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        collector: str,
        started_ns: int,
        metrics: Metrics,
        clock: Clock,
        silence_seconds: float = 30.0,
    ) -> None:
        self._silence_seconds = silence_seconds
        self._spool = spool
        self._metrics = metrics
        self._clock = clock
        self._book = GapBook(collector, started_ns)
        self._silent: set[str] = set()
        self._unbridged: list[Gap] = []
        self._unsaid: list[Gap] = []

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
        self._close_connection(_RESTART)
        for key in self._book.keys(_EARLIER):
            self._put(self._book.close(key, self._clock.wall_ns()))

    def adopt(self, gaps: Iterable[Gap], *, is_complete: bool) -> None:
        """Take over gaps that an earlier process left open; they end when data flows everywhere."""
        for gap in gaps:
            self._book.adopt(gap)
        if is_complete:
            self.note_all_complete()

    def note_lost(self, connection: Connection, cause: str, detail: str) -> None:
        """Open a gap from the last data of a connection."""
        if connection.last_received_ns == 0:
            return  # there was never data; the gap since the last process covers it
        is_maintenance = connection.session.is_locked or "11051" in detail
        self._put(
            self._book.open(
                f"{_CONNECTION}{connection.number}",
                from_ns=connection.last_received_ns,
                cause="maintenance" if is_maintenance else "reconnect",
                detail=f"{cause}: {detail}"[:_LARGEST_DETAIL],
            )
        )

    def note_complete(self, connection: Connection) -> None:
        """Close the gap of a connection: data flows on every channel of it."""
        self._close_connection(f"{_CONNECTION}{connection.number}")

    @property
    def is_cut_off(self) -> bool:
        """Whether a whole connection is missing now."""
        return self._book.is_open(_RESTART) or bool(self._book.keys(_CONNECTION))

    @property
    def wants_bridge(self) -> bool:
        """Whether whole connections are or were missing, and no book summary was stored since."""
        return self.is_cut_off or bool(self._unbridged)

    def note_bridged(self) -> None:
        """Note that a book summary stands in for the quotes of every lost connection."""
        now_ns = self._clock.wall_ns()
        for key in [_RESTART, *self._book.keys(_CONNECTION)]:
            self._put(self._book.repair(key, now_ns, _SUMMARY))
        for gap in self._unbridged:
            self._put(bridged(gap, now_ns, _SUMMARY))
        self._unbridged.clear()

    def _close_connection(self, key: str) -> None:
        gap = self._book.close(key, self._clock.wall_ns())
        self._put(gap)
        if gap is not None and gap.repaired_ns is None:
            self._unbridged.append(gap)

    def note_book_broken(self, channel: str, from_ns: int, detail: str) -> None:
        """Open the gap of a book whose chain broke."""
        self._put(
            self._book.open(
                f"{_BOOK}{channel}",
                from_ns=from_ns,
                cause="change_id",
                detail=detail,
                channel=channel,
                instrument_name=instrument_of(channel),
            )
        )

    def note_book_whole(self, channel: str) -> None:
        """Close the gap of a book: its snapshot came."""
        closed = self._book.close(
            f"{_BOOK}{channel}", self._clock.wall_ns(), repair_method="book_snapshot"
        )
        self._put(closed)

    def note_trades_missing(self, hole: Hole, channel: str) -> bool:
        """Open the gap of trades that were never received; False when it is known already."""
        gap = self._book.open(
            _hole_key(hole),
            gap_id=f"{self._book.collector}-{_hole_key(hole)}",
            from_ns=hole.from_ms * 1_000_000,
            to_ns=hole.to_ms * 1_000_000,
            cause="trade_seq",
            detail=f"{hole.count} trades are missing: {hole.first_seq} to {hole.last_seq}",
            channel=channel,
            instrument_name=hole.instrument_name,
        )
        self._put(gap)
        return gap is not None

    def note_trades_repaired(self, hole: Hole) -> None:
        """Mark the gap of missing trades as repaired: the spool has them now."""
        now_ns = self._clock.wall_ns()
        self._put(self._book.close(_hole_key(hole), now_ns, repair_method="trades_rest"))

    def note_lock(self, market: str, *, is_locked: bool) -> None:
        """Open or close the gap of a market that the exchange has locked."""
        now_ns = self._clock.wall_ns()
        if not is_locked:
            self._put(self._book.close(f"lock {market}", now_ns))
            return
        detail = f"the exchange says that {market} is locked"
        self._put(
            self._book.open(f"lock {market}", from_ns=now_ns, cause="maintenance", detail=detail)
        )

    def note_mute(self, channel: str, from_ns: int, detail: str) -> None:
        """Open the gap of one channel."""
        self._silent.add(channel)
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
            self._silent.discard(channel)
            for key in (f"channel {channel}", f"{_BOOK}{channel}"):
                self._put(self._book.close(key, self._clock.wall_ns()))

    def note_disk_refused(self, received_ns: int) -> None:
        """Open the gap of a full disk; it can be written only when it closes."""
        reason = self._spool.full_reason
        gap = self._book.open(_SPOOL_FULL, from_ns=received_ns, cause=_SPOOL_FULL, detail=reason)
        if gap is not None:
            self._metrics.gaps.labels(_SPOOL_FULL).inc()
            _log.error("spool_full", reason=reason, cure="free space on the disk of the spool")

    def watch_disk(self) -> None:
        """Look at the disk; close the gap when there is room again."""
        lost = self._spool.drop_oldest()
        if lost is not None:
            detail = f"{lost.segments} segments were dropped to keep the newest"
            key = f"dropped {lost.to_ns}"
            self._put(
                self._book.open(
                    key, from_ns=lost.from_ns, to_ns=lost.to_ns, cause=_SPOOL_FULL, detail=detail
                )
            )
            self._book.close(key, lost.to_ns)
        was_full = self._spool.is_full
        self._spool.check_disk()
        if was_full and not self._spool.is_full:
            unsaid, self._unsaid = self._unsaid, []
            for gap in unsaid:
                self._put(gap)
            self._put(self._book.close(_SPOOL_FULL, self._clock.wall_ns()))
            _log.info("disk_has_room", refused=self._spool.refused_messages)

    def watch_silence(self, connections: Iterable[Connection], catalogue: Catalogue) -> None:
        """Open and close the gaps of single channels; an expired instrument is silent by right."""
        wall_ns, now = self._clock.wall_ns(), self._clock.monotonic()
        for connection in connections:
            if not connection.is_complete or connection.session.is_locked:
                continue  # the gap of the connection, or of the lock, covers it
            silent = dict(connection.session.silent_channels(self._silence_seconds, now))
            for name, last_data in silent.items():
                instrument_name = instrument_of(name)  # an index has none and never expires
                is_over = catalogue.is_expired(instrument_name, wall_ns // 1_000_000)
                if not (instrument_name and is_over):
                    last_ns = wall_ns - round((now - last_data) * 1e9)
                    self.note_mute(name, last_ns, f"no data for {now - last_data:.0f} s")
            for name in self._silent - silent.keys():
                if connection.session.has_data(name):
                    self._silent.discard(name)
                    self._put(self._book.close(f"channel {name}", wall_ns))

    def _put(self, gap: Gap | None) -> None:
        if gap is None:
            return
        spool, now_ns = self._spool, self._clock.wall_ns()
        if spool.is_full or not spool.append(RecordKind.GAP, now_ns, 0, encode_gap(gap)):
            self._unsaid.append(gap)  # until the disk has room
            return
        if gap.version == 1:
            self._metrics.gaps.labels(gap.cause).inc()
            _log.warning("gap_opened", cause=gap.cause, channel=gap.channel, detail=gap.detail)


def _hole_key(hole: Hole) -> str:
    return f"trades-{hole.instrument_name}-{hole.first_seq}-{hole.last_seq}"
