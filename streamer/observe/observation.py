"""The collector's numbers and its health, for those who look after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.clock import Clock
from streamer.database.writer import SegmentWriter, Written
from streamer.feed.sockets import Sockets
from streamer.observe.metrics import Health, Metrics
from streamer.spool.spool import Spool

if TYPE_CHECKING:
    from streamer.publish import Publisher

__all__ = ["Observation"]

_UNHEALTHY_SECONDS = 30.0


class Observation:
    """Looks at the parts of a collector; changes nothing.

    Parameters
    ----------
    metrics
        Where numbers are shown.
    spool, writer, sockets
        What is looked at.
    clock
        Where the time comes from.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        spool: Spool,
        writer: SegmentWriter,
        sockets: Sockets,
        clock: Clock,
    ) -> None:
        self._metrics = metrics
        self._spool = spool
        self._writer = writer
        self._sockets = sockets
        self._clock = clock
        self._rows_landed_at: float | None = None

    def note_written(self, written: Written) -> None:
        """Count a segment that the database holds; called by the writer's thread."""
        self._metrics.note_written(written, self._clock.wall_ns())
        if written.batch.accounts.rows:
            self._rows_landed_at = self._clock.monotonic()

    def show(self, frames: int, publisher: Publisher | None) -> None:
        """Show the numbers of now."""
        metrics = self._metrics
        connections = self._sockets.connections
        metrics.frames_received.set(frames)
        metrics.segments_waiting.set(self._spool.waiting)
        metrics.refused_messages.set(self._spool.refused_messages)
        metrics.insert_failures.set(self._writer.failures)
        metrics.unknown_fields.set(sum(self._writer.decoder.unknown_fields.values()))
        metrics.channels_wanted.set(sum(len(it.session.wanted) for it in connections))
        metrics.connections_complete.set(sum(it.is_complete for it in connections))
        now = self._clock.monotonic()
        left = [it.session.credits(now) for it in connections]
        for pool in ("subscribe", "other") if left else ():
            metrics.credits.labels(pool).set(min(each[pool] for each in left))
        if publisher is not None:
            metrics.published_rows.set(publisher.published)
            metrics.dropped_rows.set(publisher.dropped)

    def health(self) -> Health:
        """Tell whether rows land, and whether data flows on every channel."""
        landed = self._rows_landed_at
        seconds = None if landed is None else self._clock.monotonic() - landed
        return Health(
            healthy=seconds is not None and seconds < _UNHEALTHY_SECONDS,
            ready=self._sockets.are_complete and seconds is not None,
            seconds_since_rows=None if seconds is None else round(seconds, 3),
            segments_waiting=self._spool.waiting,
            detail=self._writer.last_error,
        )
