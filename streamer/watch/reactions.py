"""What the collector does about each event of a session."""

from __future__ import annotations

from collections.abc import Iterable

from streamer.clock import Clock
from streamer.deribit.channels import instrument_of
from streamer.deribit.sequences import Hole
from streamer.deribit.session_data import Event
from streamer.feed.catalogue import Catalogue
from streamer.feed.connection import Connection
from streamer.feed.listing import Lister
from streamer.log import logger
from streamer.observe.metrics import Metrics
from streamer.watch.gap_keeper import GapKeeper
from streamer.watch.repairs import Repairer

__all__ = ["Reactions"]

_log = logger(__name__)
_CLOCK_WARNING_SECONDS = 0.05
_CLOCK_ALARM_SECONDS = 0.5


class Reactions:
    """Takes events and tells those who act on them.

    Parameters
    ----------
    catalogue
        Knows which instruments expired.
    gaps, lister, repairer, metrics
        Who act.
    clock
        Where the time comes from.
    is_replay
        Times are those of a recording, so its clock says nothing about ours.

    Attributes
    ----------
    refused
        Channels that the exchange refused, expired ones left out.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        gaps: GapKeeper,
        lister: Lister,
        repairer: Repairer,
        metrics: Metrics,
        clock: Clock,
        is_replay: bool,
    ) -> None:
        self.refused: set[str] = set()
        self._catalogue = catalogue
        self._gaps = gaps
        self._lister = lister
        self._repairer = repairer
        self._metrics = metrics
        self._clock = clock
        self._is_replay = is_replay

    def take(self, connection: Connection, event: Event) -> None:
        """React to what a session reports."""
        match event.kind:
            case "lifecycle":
                self._lister.list_soon()
            case "lock":
                self._gaps.note_lock(event.detail, is_locked=event.data)
            case "refused":
                self._note_refused(event)
            case "mute":
                for channel in event.channels:
                    self._gaps.note_mute(channel, connection.last_received_ns, event.detail)
            case "book_broken":
                since_ns = self._wall_ns_of(event.data)
                self._gaps.note_book_broken(event.channels[0], since_ns, event.detail)
            case "book_whole":
                self._gaps.note_book_whole(event.channels[0])
            case "trades_missing":
                self.note_holes([event.data], event.channels[0])
            case "clock":
                self._note_clock(event)
            case "error":
                _log.warning("exchange_error", error=event.detail, channels=len(event.channels))
            case _:
                _log.info(event.kind, connection=connection.number)

    def note_holes(self, holes: Iterable[Hole], channel: str) -> None:
        """Open the gaps of missing trades and have those repaired that are new."""
        self._repairer.fill(it for it in holes if self._gaps.note_trades_missing(it, channel))

    def _note_refused(self, event: Event) -> None:
        wall_ms = self._clock.wall_ns() // 1_000_000
        for channel in event.channels:
            instrument_name = instrument_of(channel)
            if instrument_name and self._catalogue.has_expired(instrument_name, wall_ms):
                continue  # by right
            self.refused.add(channel)
            _log.error("channel_refused", channel=channel, reason=event.detail)

    def _note_clock(self, event: Event) -> None:
        exchange_ms, at, round_trip_ms = event.data
        offset = exchange_ms / 1000 - self._wall_ns_of(at) / 1e9
        self._metrics.clock_offset.set(offset)
        # The two ways of a round trip may differ by all of it: only what is beyond that is certain.
        certain = abs(offset) - round_trip_ms / 2000
        if self._is_replay or certain <= _CLOCK_WARNING_SECONDS:
            return
        show = _log.error if certain > _CLOCK_ALARM_SECONDS else _log.warning
        show(
            "clock_offset",
            seconds=round(offset, 3),
            round_trip=event.detail,
            cure="set this machine's clock (chrony, ntpd); exchange minus ours is shown",
        )

    def _wall_ns_of(self, monotonic: float) -> int:
        return self._clock.wall_ns() - round((self._clock.monotonic() - monotonic) * 1e9)
