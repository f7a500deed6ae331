"""One client on the exchange's port: a WebSocket session or plain HTTP requests.

The WebSocket side is the `websockets` library without its own I/O, so that many frames leave in
one write and a test can stall, cut or corrupt a connection.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import msgspec
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from vol_platform.clock import monotonic_seconds
from vol_platform.simulator.exchange.errors import RpcError
from vol_platform.simulator.exchange.options import ChaosOptions
from vol_platform.simulator.market.wire import heartbeat

__all__ = ["Connection", "Host", "frame_bytes", "serve_client"]

_MAXIMUM_HEAD = 65_536
_MAXIMUM_BODY = 4_000_000
_MAXIMUM_BACKLOG = 64_000_000
"""A client this many bytes behind is cut off, as the exchange does (connection_too_slow)."""
_BACKLOG_SIGNAL = 1_000_000
_DRIP_SECONDS = 0.01
_PATH = "/api/v2"
_STATUS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


def frame_bytes(payload: bytes) -> bytes:
    """Return the wire bytes of an unmasked, unfragmented text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


class Host(Protocol):
    """What a client's connection asks of the exchange behind it."""

    chaos: ChaosOptions
    heartbeat_scale: float
    connections: dict[Connection, None]

    def next_connection_number(self) -> int:
        """Return 0 for the first connection, then 1 and so on."""

    def receive(self, connection: Connection, message: bytes) -> None:
        """Answer one message of a session."""

    def forget(self, connection: Connection) -> None:
        """Drop a connection that ended."""

    def call_http(self, request: dict[str, Any]) -> tuple[int, bytes]:
        """Return (HTTP status, reply) of a call without a session."""

    def error_reply(self, identifier: Any, error: RpcError) -> bytes:
        """Return an error reply."""


class Connection:
    """A WebSocket session.

    Attributes
    ----------
    channels
        What is subscribed, in order.
    login_ends
        Monotonic seconds until which the login of `public/auth` lasts.
    refresh_token
        The one that prolongs it; it works once.
    sequence
        Number of notifications sent on this connection.
    """

    def __init__(
        self, exchange: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.exchange = exchange
        self.reader = reader
        self.writer = writer
        self.protocol = ServerProtocol(max_size=_MAXIMUM_BODY)
        self.channels: dict[str, None] = {}
        self.login_ends = 0.0
        self.refresh_token = ""
        self.sequence = 0
        self.is_stalled = False
        self.held: list[tuple[str, int, bytes]] = []  # leave after the next notification
        self._dripping: asyncio.Task[None] | None = None
        self._drips = bytearray()
        self.number = exchange.next_connection_number()
        self.credits: dict[str, float] = {}
        self._pending: list[bytes] = []
        self._heartbeat: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()
        self.playing: asyncio.Task[None] | None = None

    @property
    def authenticated(self) -> bool:
        """Whether somebody is logged in here."""
        return monotonic_seconds() < self.login_ends

    # ------------------------------------------------------------------ sending

    def push(self, payload: bytes) -> None:
        """Queue one text frame; `flush` sends what is queued."""
        self._pending.append(frame_bytes(payload))

    def flush(self) -> None:
        """Hand the queued frames to the socket in one write."""
        if not self._pending:
            return
        if self.exchange.chaos.stalled or self.is_stalled:
            self._pending.clear()
            return
        data = b"".join(self._pending)
        self._pending.clear()
        transport = self.writer.transport
        if transport.is_closing():
            return
        chaos = self.exchange.chaos
        if chaos.stall_in_frame:
            self.is_stalled = True
            transport.write(data[: len(data) // 2 + 1])
        elif chaos.drip_bytes_per_second or self._drips:
            self._drip(data)
        else:
            transport.write(data)
        if transport.get_write_buffer_size() > _MAXIMUM_BACKLOG:
            self.close(CloseCode.POLICY_VIOLATION, "connection_too_slow")

    def _drip(self, data: bytes) -> None:
        self._drips += data
        if self._dripping is None or self._dripping.done():
            self._dripping = asyncio.create_task(self._keep_dripping())

    async def _keep_dripping(self) -> None:
        while self._drips and not self.writer.transport.is_closing():
            rate = self.exchange.chaos.drip_bytes_per_second or _MAXIMUM_BACKLOG
            size = max(1, int(rate * _DRIP_SECONDS))
            self.writer.transport.write(bytes(self._drips[:size]))
            del self._drips[:size]
            await asyncio.sleep(_DRIP_SECONDS)

    async def drain(self) -> None:
        """Wait until the socket has taken most of what was sent."""
        if self.writer.transport.get_write_buffer_size() > _BACKLOG_SIGNAL:
            await self.writer.drain()

    def send(self, payload: bytes) -> None:
        """Send one text frame now."""
        self.push(payload)
        self.flush()

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Start the closing handshake."""
        if self.writer.transport.is_closing():
            return
        self.flush()
        if self.protocol.close_rcvd is None and self.protocol.close_sent is None:
            self.protocol.send_close(code, reason)
        self._write_protocol()

    def abort(self, *, reset: bool = False) -> None:
        """Cut the connection without a closing handshake; the client sees 1006."""
        if reset:
            linger = struct.pack("ii", 1, 0)  # closing throws away what is queued and sends RST
            end = self.writer.get_extra_info("socket")
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    def _write_protocol(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self.writer.write(data)
            elif self.writer.can_write_eof():
                with suppress(OSError):  # the other side was killed
                    self.writer.write_eof()

    # ---------------------------------------------------------------- receiving

    async def run(self, head: bytes) -> None:
        """Shake hands and serve calls until either side ends the session."""
        self.protocol.receive_data(head)
        for event in self.protocol.events_received():
            if isinstance(event, Request):
                status = self.exchange.chaos.handshake_status
                response = (
                    self.protocol.reject(status, f"{_STATUS[status]}\n")
                    if status
                    else self.protocol.accept(event)
                )
                self.protocol.send_response(response)
        self._write_protocol()
        if self.exchange.chaos.handshake_status:
            await self.writer.drain()
            return
        self.exchange.connections[self] = None
        try:
            await self._serve()
        finally:
            self.exchange.forget(self)
            if self._heartbeat is not None:
                self._heartbeat.cancel()
            for task in (self.playing, self._dripping):
                if task is not None:
                    task.cancel()

    async def _serve(self) -> None:
        parts: list[bytes] = []
        while True:
            data = await self.reader.read(65_536)
            if data:
                self.protocol.receive_data(data)
            else:
                self.protocol.receive_eof()
            for event in self.protocol.events_received():
                if isinstance(event, Frame) and event.opcode in {
                    Opcode.TEXT,
                    Opcode.BINARY,
                    Opcode.CONT,
                }:
                    parts.append(bytes(event.data))
                    if event.fin:
                        message, parts = b"".join(parts), []
                        self.exchange.receive(self, message)
            if not self.exchange.chaos.stalled and not self.is_stalled:
                self._write_protocol()
            if not data or (self.protocol.close_expected() and self.writer.transport.is_closing()):
                return

    # ---------------------------------------------------------------- heartbeat

    def set_heartbeat(self, interval_seconds: float) -> None:
        """Send heartbeats and test requests; one not answered in time ends the session."""
        self.disable_heartbeat()
        self._heartbeat = asyncio.create_task(self._beat(interval_seconds))

    def disable_heartbeat(self) -> None:
        """Stop sending heartbeats."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None

    def answered(self) -> None:
        """Note that the client called `public/test`."""
        self._answered.set()

    async def _beat(self, interval: float) -> None:
        scaled = interval * self.exchange.heartbeat_scale
        while True:
            await asyncio.sleep(scaled)
            self.send(heartbeat("heartbeat"))
            self._answered.clear()
            self.send(heartbeat("test_request"))
            try:
                async with asyncio.timeout(scaled):
                    await self._answered.wait()
            except TimeoutError:
                self.close(CloseCode.NORMAL_CLOSURE, "heartbeat timeout")
                self.writer.close()
                return


# ------------------------------------------------------------------------- HTTP


async def serve_client(
    exchange: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Serve one TCP connection: HTTP requests, or a WebSocket after its upgrade."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = {
                key.strip().lower(): value.strip()
                for key, _, value in (line.partition(":") for line in lines[1:] if line)
            }
            if headers.get("upgrade", "").lower() == "websocket":
                await Connection(exchange, reader, writer).run(head)
                return
            size = int(headers.get("content-length", "0") or "0")
            body = await reader.readexactly(min(size, _MAXIMUM_BODY))
            keeps = headers.get("connection", "").lower() != "close"
            writer.write(_answer_http(exchange, lines[0], body, keeps=keeps))
            await writer.drain()
            if not keeps:
                return
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
        return
    finally:
        writer.close()


def _answer_http(exchange: Host, request_line: str, body: bytes, *, keeps: bool) -> bytes:
    method, _, rest = request_line.partition(" ")
    target = urlsplit(rest.rpartition(" ")[0])
    if not target.path.startswith(_PATH):
        return _http_response(404, b'{"message":"not found"}', keeps=keeps)
    name = target.path.removeprefix(_PATH).strip("/")
    request: dict[str, Any] = {"params": dict(parse_qsl(target.query, keep_blank_values=True))}
    if method == "POST":
        try:
            decoded = msgspec.json.decode(body) if body else {}
        except msgspec.DecodeError:
            decoded = None
        if not isinstance(decoded, dict):
            return _http_response(
                400, exchange.error_reply(None, RpcError(-32700, "Parse error")), keeps=keeps
            )
        request = decoded if "method" in decoded or "params" in decoded else {"params": decoded}
    elif method != "GET":
        return _http_response(405, b'{"message":"method not allowed"}', keeps=keeps)
    request.setdefault("method", name)
    status, reply = exchange.call_http(request)
    return _http_response(status, reply, keeps=keeps)


def _http_response(status: int, body: bytes, *, keeps: bool) -> bytes:
    lines = (
        f"HTTP/1.1 {status} {_STATUS[status]}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"Connection: {'keep-alive' if keeps else 'close'}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
