"""The sockets side by side: which channels each has, and new ones when they are full."""

from __future__ import annotations

import asyncio

from streamer.clock import Clock
from streamer.deribit.sequences import TradeWatch
from streamer.deribit.session import Session
from streamer.deribit.session_data import Credentials, SessionLimits
from streamer.errors import ExchangeError
from streamer.feed.connection import Connection, Sink
from streamer.settings import StreamerSettings

__all__ = ["Sockets"]

_NAMED_CHANNELS = 3


class Sockets:
    """Spreads channels over connections.

    Parameters
    ----------
    settings
        Addresses, key, pacing.
    sink
        Where the connections deliver.
    clock
        Where the time comes from.
    seed
        Of the jitter.
    once
        A connection that the exchange closed does not come back: a capture was played.
    trades
        Follows the numbering of trades over all sockets.
    """

    def __init__(
        self,
        settings: StreamerSettings,
        sink: Sink,
        *,
        clock: Clock,
        seed: int,
        once: bool,
        trades: TradeWatch,
    ) -> None:
        self._trades = trades
        self.connections: list[Connection] = []
        self.tasks: list[asyncio.Task[int]] = []
        self._settings = settings
        self._sink = sink
        self._clock = clock
        self._seed = seed
        self._once = once

    @property
    def are_complete(self) -> bool:
        """Whether there are connections and data flows on every channel of each."""
        return bool(self.connections) and all(it.is_complete for it in self.connections)

    @property
    def have_ended(self) -> bool:
        """Whether nothing more comes: each connection is closed, or refused all its channels."""
        return bool(self.tasks) and all(
            task.done() or it.session.is_refused
            for it, task in zip(self.connections, self.tasks, strict=True)
        )

    def require_an_accepted_channel(self) -> None:
        """Check that the exchange accepted something.

        Raises
        ------
        ExchangeError
            It did not; the text names channels, reasons and the cure.
        """
        problems: dict[str, str] = {}
        for connection in self.connections:
            problems |= connection.session.unaccepted
        if len(problems) < sum(len(it.session.wanted) for it in self.connections):
            return
        names = list(problems)
        shown = ", ".join(names[:_NAMED_CHANNELS])
        if len(names) > _NAMED_CHANNELS:
            shown += f" and {len(names) - _NAMED_CHANNELS} more"
        cure = "name channels that it offers (--channels)"
        if not self._settings.client_id and any(name.endswith(".raw") for name in names):
            cure = (
                "raw channels want a login: set VOL_STREAMER_CLIENT_ID and "
                "VOL_STREAMER_CLIENT_SECRET, or subscribe to 100ms"
            )
        reasons = "; ".join(dict.fromkeys(problems.values()))
        raise ExchangeError(
            f"{self._settings.websocket_url} accepts none of the {len(names)} channels asked for: "
            f"{shown} ({reasons}); {cure}"
        )

    def assign(self, channels: list[str]) -> list[str]:
        """Want exactly these channels.

        Returns
        -------
        list of str
            Channels that were wanted before and are not any more.
        """
        wanted = dict.fromkeys(channels)
        dropped = []
        for connection in self.connections:
            gone = [name for name in connection.session.wanted if name not in wanted]
            connection.session.drop(gone)
            dropped += gone
            for name in connection.session.wanted:
                wanted.pop(name, None)
            connection.wake()
        waiting = list(wanted)
        limit = self._settings.channels_per_connection
        for connection in self.connections:
            room = max(0, limit - len(connection.session.wanted))
            connection.session.want(waiting[:room])
            waiting = waiting[room:]
        while waiting:
            self._start(waiting[:limit])
            waiting = waiting[limit:]
        return dropped

    def _start(self, channels: list[str]) -> None:
        settings = self._settings
        secret = settings.client_secret.get_secret_value()
        credentials = Credentials(settings.client_id, secret) if settings.client_id else None
        limits = SessionLimits(
            channels_per_subscribe=settings.channels_per_subscribe,
            heartbeat_seconds=settings.heartbeat_seconds,
            data_silence_seconds=settings.data_silence_seconds,
            first_data_seconds=settings.first_data_seconds,
            channel_silence_seconds=settings.channel_silence_seconds,
        )
        number = len(self.connections)
        connection = Connection(
            number,
            settings.websocket_url,
            Session(limits, credentials, self._trades),
            self._sink,
            clock=self._clock,
            seed=self._seed + number,
            backoff=(settings.backoff_seconds, settings.backoff_limit_seconds),
        )
        connection.session.want(channels)
        self.connections.append(connection)
        self.tasks.append(asyncio.create_task(connection.run(once=self._once)))
