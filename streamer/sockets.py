"""The sockets side by side: which channels each has, and new ones when they are full."""

from __future__ import annotations

import asyncio

from streamer.clock import Clock
from streamer.connection import Connection, Sink
from streamer.deribit.session import Credentials, Session, SessionLimits
from streamer.settings import StreamerSettings

__all__ = ["Sockets"]


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
    """

    def __init__(
        self, settings: StreamerSettings, sink: Sink, *, clock: Clock, seed: int, once: bool
    ) -> None:
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
        """Whether the exchange closed every connection."""
        return bool(self.tasks) and all(task.done() for task in self.tasks)

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
        )
        number = len(self.connections)
        connection = Connection(
            number,
            settings.websocket_url,
            Session(limits, credentials),
            self._sink,
            clock=self._clock,
            seed=self._seed + number,
            backoff=(settings.backoff_seconds, settings.backoff_limit_seconds),
        )
        connection.session.want(channels)
        self.connections.append(connection)
        self.tasks.append(asyncio.create_task(connection.run(once=self._once)))
