"""One socket to the exchange: connects, feeds a session, and comes back when it is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from streamer.clock import Clock
from streamer.deribit.session import Session
from streamer.deribit.session_data import Event
from streamer.errors import ExchangeError
from streamer.log import logger

__all__ = ["Connection", "Sink"]

_log = logger(__name__)
_LARGEST_FRAME_BYTES = 64 * 1024**2
_FRAMES_BETWEEN_PAUSES = 64
_PUMP_SECONDS = 0.1
_NORMAL_CLOSURE = 1000


class Sink(Protocol):
    """Where a connection delivers."""

    def take_frame(self, frame: bytes, received_ns: int, connection_id: int) -> None:
        """Take a frame the moment it is read."""

    def take_event(self, connection: Connection, event: Event) -> None:
        """Take an event of the session."""

    def connection_lost(self, connection: Connection, cause: str, detail: str) -> None:
        """Take note that nothing comes from this connection any more."""

    def connection_complete(self, connection: Connection) -> None:
        """Take note that data flows on every channel."""

    def next_connection_id(self) -> int:
        """Return a number that no socket of this process had."""


class Connection:
    """Keeps one session connected.

    Parameters
    ----------
    number
        Of this connection among those that run side by side.
    url
        Of the WebSocket.
    session
        The protocol; this object owns it.
    sink
        Where frames and events go.
    clock
        Where the time comes from.
    seed
        Of the jitter between attempts.
    backoff
        Shortest and longest pause between attempts, seconds.
    """

    def __init__(
        self,
        number: int,
        url: str,
        session: Session,
        sink: Sink,
        *,
        clock: Clock,
        seed: int,
        backoff: tuple[float, float],
    ) -> None:
        self.number = number
        self.session = session
        self.connection_id = 0
        self.is_complete = False
        self.last_received_ns = 0
        self._url = url
        self._sink = sink
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311 - jitter, not a secret
        self._backoff = backoff
        self._work = asyncio.Event()
        self._close_code: int | None = None

    def wake(self) -> None:
        """Say that the session wants other channels now."""
        self._work.set()

    async def run(self, *, once: bool = False, on_attempt: Callable[[], None] | None = None) -> int:
        """Stay connected until cancelled.

        Parameters
        ----------
        once
            Return when the exchange closes the socket, instead of coming back.
        on_attempt
            Called before each attempt to connect.

        Returns
        -------
        int
            With ``once``: the code with which the exchange closed.

        Raises
        ------
        ExchangeError
            The exchange refuses for good: no attempt can succeed before a person acts.
        """
        attempts = 0
        while True:
            if on_attempt is not None:
                on_attempt()
            cause, detail = await self._connect_and_read()
            had_data = self.is_complete
            self.is_complete = False
            if self.session.failure_is_final:
                raise ExchangeError(f"{self._url}: {self.session.failure}")
            if once and self._close_code is not None:
                return self._close_code
            self._sink.connection_lost(self, cause, detail)
            # Only data on every channel counts as success; a socket that connects and stays
            # silent is no better than none.
            attempts = 0 if had_data else attempts + 1
            shortest, longest = self._backoff
            pause = min(longest, shortest * 2 ** min(attempts, 10)) * self._random.uniform(0.5, 1.0)
            _log.warning(
                "exchange_lost",
                url=self._url,
                connection=self.number,
                cause=cause,
                detail=detail,
                next_try_seconds=round(pause, 2),
            )
            await asyncio.sleep(pause)

    async def _connect_and_read(self) -> tuple[str, str]:
        """Hold one socket until it ends; return the cause and the detail."""
        self._close_code = None
        self.session.failure = None
        try:
            async with connect(
                self._url,
                max_size=_LARGEST_FRAME_BYTES,
                compression=None,
                open_timeout=10.0,
                close_timeout=1.0,
                # The exchange's own heartbeat and the silence watchdog stand in for pings.
                ping_interval=None,
                user_agent_header="vol-streamer",
            ) as socket:
                self.connection_id = self._sink.next_connection_id()
                self.session.open(self._clock.monotonic())
                return await self._hold(socket)
        except (OSError, TimeoutError, InvalidHandshake, InvalidMessage) as error:
            return "unreachable", str(error) or type(error).__name__

    async def _hold(self, socket: ClientConnection) -> tuple[str, str]:
        reader = asyncio.create_task(self._read(socket))
        pump = asyncio.create_task(self._pump(socket))
        try:
            done, _ = await asyncio.wait({reader, pump}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reader, pump):
                task.cancel()
            results = await asyncio.gather(reader, pump, return_exceptions=True)
        for task, result in zip((reader, pump), results, strict=True):
            if task in done and isinstance(result, BaseException):
                if isinstance(result, ConnectionClosed):
                    received = result.rcvd
                    self._close_code = received.code if received is not None else None
                    return "closed", str(result)
                raise result
        return "failed", self.session.failure or "the socket ended"

    async def _read(self, socket: ClientConnection) -> None:
        clock, sink, session = self._clock, self._sink, self.session
        connection_id = self.connection_id
        while True:
            for _ in range(_FRAMES_BETWEEN_PAUSES):
                message = await socket.recv(decode=False)
                received_ns = clock.wall_ns()
                sink.take_frame(message, received_ns, connection_id)
                session.receive(message, clock.monotonic())
                self.last_received_ns = received_ns
            self._work.set()
            # Frames that wait already are read without a pause; others must get their turn.
            await asyncio.sleep(0)

    async def _pump(self, socket: ClientConnection) -> None:
        """Send what the session wants to send, and watch it."""
        session = self.session
        while session.failure is None:
            now = self._clock.monotonic()
            session.tick(now)
            for event in session.events():
                self._sink.take_event(self, event)
            for frame in session.outgoing(now):
                await socket.send(frame, text=True)
            is_complete = session.is_complete
            if is_complete and not self.is_complete:
                self.is_complete = True
                self._sink.connection_complete(self)
            elif not is_complete:
                self.is_complete = False
            self._work.clear()
            try:
                await asyncio.wait_for(self._work.wait(), _PUMP_SECONDS)
            except TimeoutError:
                continue
