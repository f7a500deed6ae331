"""One socket to the exchange: connects, feeds a session, and comes back when it is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from streamer.clock import Clock
from streamer.deribit.session import Session
from streamer.deribit.session_data import Event
from streamer.errors import ExchangeError
from streamer.feed.frames import LARGEST_MESSAGE_BYTES, FrameConnection
from streamer.log import logger
from streamer.tasks import end_tasks

__all__ = ["Connection", "Sink"]

_log = logger(__name__)
_PUMP_SECONDS = 0.1
_NORMAL_CLOSURE = 1000


class Sink(Protocol):
    """Where a connection delivers."""

    def take_frames(self, frames: list[bytes], received_ns: int, connection_id: int) -> None:
        """Take the messages of one read of the socket, the moment they are read."""

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
                create_connection=FrameConnection,
                max_size=LARGEST_MESSAGE_BYTES,
                compression=None,
                open_timeout=10.0,
                close_timeout=1.0,
                # The exchange's own heartbeat and the silence watchdog stand in for pings.
                ping_interval=None,
                user_agent_header="vol-streamer",
            ) as socket:
                self.connection_id = self._sink.next_connection_id()
                self.session.open(self._clock.monotonic())
                return await self._hold(cast("FrameConnection", socket))
        except (OSError, TimeoutError, InvalidHandshake, InvalidMessage) as error:
            return "unreachable", str(error) or type(error).__name__

    async def _hold(self, socket: FrameConnection) -> tuple[str, str]:
        broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        socket.deliver_to(self._taker(broken))
        tasks = (
            asyncio.create_task(socket.wait_closed()),
            asyncio.create_task(self._pump(socket)),
        )
        try:
            done, _ = await asyncio.wait({*tasks, broken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            socket.stop_delivery()
            _, pumped = await end_tasks(tasks)
        if broken.done():
            broken.result()
        if tasks[0] in done or isinstance(pumped, ConnectionClosed):
            closed = socket.protocol.close_exc
            self._close_code = closed.rcvd.code if closed.rcvd is not None else None
            return "closed", str(closed)
        if isinstance(pumped, Exception):
            raise pumped
        return "failed", self.session.failure or "the socket ended"

    def _taker(self, broken: asyncio.Future[None]) -> Callable[[list[bytes]], None]:
        """Return what takes the messages of this socket; an error in it ends ``broken``."""
        clock, sink, session = self._clock, self._sink, self.session
        connection_id = self.connection_id

        def take(frames: list[bytes]) -> None:
            received_ns = clock.wall_ns()
            try:
                sink.take_frames(frames, received_ns, connection_id)
                now = clock.monotonic()
                for frame in frames:
                    session.receive(frame, now)
                if session.has_work:
                    self._work.set()
            except Exception as error:  # noqa: BLE001 - raised again by whoever holds the socket
                if not broken.done():
                    broken.set_exception(error)
            self.last_received_ns = received_ns

        return take

    async def _pump(self, socket: FrameConnection) -> None:
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
            with suppress(TimeoutError):
                async with asyncio.timeout(_PUMP_SECONDS):
                    await self._work.wait()
