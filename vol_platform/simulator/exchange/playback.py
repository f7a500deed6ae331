"""Playing a capture: recorded frames, byte for byte, to whoever subscribes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from vol_platform.clock import monotonic_seconds
from vol_platform.simulator.exchange.capture import Capture, CapturedFrame
from vol_platform.simulator.exchange.channels import Channel, parse_channel
from vol_platform.simulator.exchange.connection import Connection
from vol_platform.simulator.exchange.options import ExchangeOptions
from vol_platform.simulator.exchange.oracle import OracleLog
from vol_platform.simulator.market.names import instrument_of_channel, row_from_name

__all__ = ["Playback", "Stage"]

_QUIET_SECONDS = 0.5
"""Playing begins when a client has not subscribed for so long, so that chunks are complete."""
_BATCH = 64


class Stage(Protocol):
    """What a playback asks of the exchange that plays it."""

    options: ExchangeOptions
    oracle: OracleLog
    connections: dict[Connection, None]

    def deliver(self, connection: Connection, channel: str, frame: bytes) -> None:
        """Queue a frame for one connection, after the faults that are switched on."""


class Playback:
    """Serves one capture.

    Without `capture_all` a client gets the notifications about what it subscribed (the recorded
    interval does not matter) and every frame that is no notification.  With it, a client that
    subscribes to anything gets every frame.

    Parameters
    ----------
    capture
        The frames.
    everything
        Send all frames to whoever subscribes.
    plays
        How many connections get the capture.

    Attributes
    ----------
    sent
        Frames sent so far, over all connections.
    quiet_seconds
        How long a client must not have subscribed before playing begins.
    finished
        Set when a connection has got its last frame.
    """

    def __init__(self, capture: Capture, *, everything: bool, plays: int) -> None:
        self.capture = capture
        self.everything = everything
        self.plays_left = plays
        self.sent = 0
        self.quiet_seconds = _QUIET_SECONDS
        self.finished = asyncio.Event()
        self._subjects = {_subject(channel) for channel in capture.channels}
        self._timers: dict[Connection, asyncio.TimerHandle] = {}
        rows = {row["instrument_name"]: row for row in capture.instrument_rows}
        names = sorted({instrument_of_channel(channel) for channel in capture.channels} - {""})
        for name in names:
            row = row_from_name(name)
            if name not in rows and row is not None:
                rows[name] = row
        self._rows = list(rows.values())

    def exists(self, channel: Channel) -> bool:
        """Return whether a channel is accepted."""
        return self.everything or (channel.kind, channel.subject) in self._subjects

    def instruments(self, currency: str) -> list[dict[str, Any]]:
        """Return the recorded or reconstructed instruments of a currency (``any`` for all).

        A linear instrument belongs to its settlement currency, as in the exchange's own answer.
        """
        if currency == "ANY":
            return list(self._rows)
        return [row for row in self._rows if _currency_of(row) == currency]

    def subscribed(self, exchange: Stage, connection: Connection) -> None:
        """Begin to play for a client soon, once it has stopped subscribing."""
        timer = self._timers.get(connection)
        if timer is not None:
            timer.cancel()
        elif self.plays_left > 0:
            self.plays_left -= 1
        else:
            return
        if connection.playing is None:
            loop = asyncio.get_running_loop()
            self._timers[connection] = loop.call_later(
                self.quiet_seconds, self._begin, exchange, connection
            )

    def _begin(self, exchange: Stage, connection: Connection) -> None:
        if connection in exchange.connections:
            connection.playing = asyncio.create_task(self._play(exchange, connection))
        else:
            del self._timers[connection]
            self.plays_left += 1

    def _frames_for(self, connection: Connection) -> Sequence[CapturedFrame]:
        if self.everything:
            return self.capture.frames
        wanted = {_subject(name) for name in connection.channels}
        return [
            frame
            for frame in self.capture.frames
            if not frame.channel or _subject(frame.channel) in wanted
        ]

    async def _play(self, exchange: Stage, connection: Connection) -> None:
        frames = self._frames_for(connection)
        speed = exchange.options.speed
        began = monotonic_seconds()
        first = next((f.received for f in frames if f.received is not None), None)
        for number, frame in enumerate(frames):
            if speed > 0 and first is not None and frame.received is not None:
                due = began + (frame.received - first) / speed
                if (wait := due - monotonic_seconds()) > 0:
                    connection.flush()
                    await asyncio.sleep(wait)
            elif number % _BATCH == 0:
                connection.flush()
                await asyncio.sleep(0)
            await connection.drain()
            exchange.deliver(connection, frame.channel, frame.payload)
            self.sent += 1
        connection.flush()
        exchange.oracle.finished(connection.number, len(frames))
        self.finished.set()
        if exchange.options.capture_end == "close":
            await connection.writer.drain()
            connection.close(1000, "capture finished")


def _subject(channel: str) -> tuple[str, str]:
    """Return what a channel is about, without its interval."""
    parsed = parse_channel(channel)
    return (parsed.kind, parsed.subject) if parsed is not None else (channel, "")


def _currency_of(row: dict[str, Any]) -> str:
    if row.get("instrument_type") == "linear" or "_" in row["instrument_name"].split("-", 1)[0]:
        return str(row.get("settlement_currency") or row.get("quote_currency"))
    return str(row.get("base_currency"))
