"""A WebSocket that hands over all messages of one read of the socket at once.

The `websockets` library does the handshake, TLS, proxies, pings, closing and everything unusual.
Only the frame that nearly all traffic consists of (a whole text message, not masked) is cut out of
the stream here: that costs less than a microsecond, where the library's queue and a switch of
coroutines per message cost seven.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State

__all__ = ["LARGEST_MESSAGE_BYTES", "FrameConnection"]

LARGEST_MESSAGE_BYTES: Final = 64 * 1024**2
"""A longer message ends the connection with code 1009."""

_WHOLE_TEXT: Final = 0x81  # FIN and opcode text, RFC 6455 section 5.2
_HEADER: Final = 2
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127
_MESSAGES = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})


class FrameConnection(ClientConnection):
    """A client connection whose messages go to a function instead of a queue.

    Make it with ``connect(…, create_connection=FrameConnection)``, and with
    ``max_size=LARGEST_MESSAGE_BYTES``.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Prepare for the first bytes; called by the event loop."""
        super().connection_made(transport)
        self._take: Callable[[list[bytes]], None] | None = None
        self._early: list[bytes] = []
        self._parts: list[bytes] = []  # of a message that comes in several frames
        self._chunks: list[bytes] = []  # the beginning of a frame whose end is not here yet
        self._held = 0
        self._needed = 0
        self._is_whole = False
        self._is_broken = False

    def deliver_to(self, take: Callable[[list[bytes]], None]) -> None:
        """Hand messages to a function from now on, those that came already first.

        Parameters
        ----------
        take
            Gets the payloads in order, at least one at a time; it must not raise.
        """
        self._take = take
        early, self._early = self._early, []
        if early:
            take(early)

    def stop_delivery(self) -> None:
        """Drop what still comes: nobody waits for it any more."""
        self._take = _drop

    def data_received(self, data: bytes) -> None:
        """Take what the socket brought; called by the event loop."""
        while data and self.protocol.state is State.CONNECTING:
            # The library must not see more than the end of the handshake: it would keep the rest.
            line = data.find(b"\n") + 1 or len(data)
            super().data_received(data[:line])
            data = data[line:]
        if self._is_broken:
            super().data_received(data)
            return
        if self._chunks:
            self._chunks.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return
            data = b"".join(self._chunks)
            self._chunks.clear()
        messages: list[bytes] = []
        rest = self._cut(data, messages)
        if rest:
            self._chunks.append(rest)
            self._held = len(rest)
        if not messages:
            return
        if self._take is None:
            self._early += messages
        else:
            self._take(messages)

    def process_event(self, event: Event) -> None:
        """Put a message together that came in several frames; called by the library."""
        if self.response is None or not isinstance(event, Frame) or event.opcode not in _MESSAGES:
            super().process_event(event)
            return
        self._parts.append(bytes(event.data))
        self._is_whole = event.fin

    def _cut(self, data: bytes, messages: list[bytes]) -> bytes:
        """Append the whole messages in ``data``; return the beginning of the next frame."""
        offset, end = 0, len(data)
        while offset < end:
            begin = offset + _HEADER
            if begin > end:
                self._needed = _HEADER
                break
            length = data[offset + 1]
            if length >= _LENGTH_16:
                if length > _LENGTH_64:  # a server must not mask: the library closes with 1002
                    self._break(data[offset:])
                    return b""
                begin += 2 if length == _LENGTH_16 else 8
                if begin > end:
                    self._needed = begin - offset
                    break
                length = int.from_bytes(data[offset + _HEADER : begin], "big")
                if length > LARGEST_MESSAGE_BYTES:
                    self._break(data[offset:])
                    return b""
            stop = begin + length
            if stop > end:
                self._needed = stop - offset
                break
            if data[offset] == _WHOLE_TEXT and not self._parts:
                messages.append(data[begin:stop])
            else:
                self._is_whole = False
                super().data_received(data[offset:stop])
                if self._is_whole:
                    messages.append(b"".join(self._parts))
                    self._parts.clear()
            offset = stop
        return data[offset:]

    def _break(self, data: bytes) -> None:
        self._is_broken = True
        super().data_received(data)


def _drop(messages: list[bytes]) -> None:
    del messages
