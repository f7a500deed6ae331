"""The other end of the wire for the streamer's benchmarks: a cheap exchange of pre-encoded frames.

``python -m vol_platform_tests.benchmarks._streamer_sender MESSAGES RATE [BURST]`` prints its port.
Every client that has subscribed to what it wants gets that many option tickers: a whole simulated
board again and again, each time with a new timestamp, at a rate in messages a second or, with 0, as
fast as the socket takes them; then code 1000.  The first BURST messages never wait.  SIGTERM ends
the feed earlier.  When a feed has ended it prints ``sent N``.  It prices nothing while it sends.
No two tickers of one instrument have the same timestamp, so that what arrived can be counted.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
from contextlib import suppress
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from vol_platform.simulator.exchange.connection import frame_bytes
from vol_platform.simulator.exchange.venue import Venue
from vol_platform.simulator.market.market import Market

SEED = 7
_CHUNK_SECONDS = 0.005
_QUIET_SECONDS = 1.0
_ANY_TIME = b"1700000000000"


class Board:
    """The frames of one board, and the list of its instruments."""

    def __init__(self) -> None:
        now = int(time.time() * 1000)
        venue = Venue({"BTC": Market(SEED, "BTC")}, now, 1.0)
        self.instruments = [
            row for row in venue.instruments("BTC", now, expired=False) if row["kind"] == "option"
        ]
        names = [f"ticker.{row['instrument_name']}.100ms" for row in self.instruments]
        self._stamp = 0
        self.frames = [
            frame_bytes(re.sub(rb'"timestamp":\d{13}', b'"timestamp":' + _ANY_TIME, payload))
            for _, payload in venue.first_messages(names, now)
        ]

    def chunk(self, first: int, count: int) -> bytes:
        """Return frames, beginning with the n-th of an endless repetition, with the time of now.

        Chunks shorter than the board have a millisecond of their own.
        """
        size = len(self.frames)
        places = range(first, first + count)
        self._stamp = max(self._stamp + 1, int(time.time() * 1000))
        stamp = str(self._stamp).encode()
        return b"".join([self.frames[place % size] for place in places]).replace(_ANY_TIME, stamp)


class Sender:
    """Serves one port.

    Parameters
    ----------
    messages, rate
        How many tickers each client gets, and how many a second; 0 does not wait.
    burst
        How many of them are sent at once at the beginning.
    """

    def __init__(self, messages: int, rate: float, burst: int) -> None:
        self._burst = burst
        self._board = Board()
        self._messages = messages
        self._rate = rate

    def stop(self) -> None:
        """End every feed now, as if it had been that long."""
        self._messages = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client hangs up."""
        with suppress(ConnectionError):
            await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"upgrade: websocket" not in head.lower():
            body = json.dumps({"jsonrpc": "2.0", "result": self._board.instruments}).encode()
            size = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + size.encode())
            writer.write(body)
            await writer.drain()
            writer.close()
            return
        server = ServerProtocol()
        server.receive_data(head)
        (request,) = server.events_received()
        assert isinstance(request, Request)
        server.send_response(server.accept(request))
        sending: asyncio.Task[None] | None = None
        self._write(server, writer)
        while data := await reader.read(65536):
            server.receive_data(data)
            for event in server.events_received():
                if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    answer, subscribes = _answer(json.loads(bytes(event.data)))
                    server.send_text(answer)
                    if subscribes:
                        if sending is not None:
                            sending.cancel()
                        sending = asyncio.create_task(self._send(server, writer))
            self._write(server, writer)
        writer.close()

    def _write(self, server: ServerProtocol, writer: asyncio.StreamWriter) -> None:
        for data in server.data_to_send():
            if data:
                writer.write(data)
            elif writer.can_write_eof():
                writer.write_eof()

    async def _send(self, server: ServerProtocol, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(_QUIET_SECONDS)  # more subscriptions may follow
        with suppress(ConnectionError):
            print(f"sent {await self._send_all(writer)}", flush=True)
        server.send_close(1000)
        self._write(server, writer)

    async def _send_all(self, writer: asyncio.StreamWriter) -> int:
        begun, sent = time.monotonic(), 0
        while sent < self._messages:
            count = min(500, self._messages - sent)
            if sent < self._burst:
                begun = time.monotonic()
            elif self._rate:
                due = self._burst + int((time.monotonic() - begun) * self._rate) + 1
                count = min(max(due - sent, 0), count)
                await asyncio.sleep(_CHUNK_SECONDS)
            writer.write(self._board.chunk(sent, count))
            await writer.drain()
            sent += count
        return sent


def _answer(request: dict[str, Any]) -> tuple[bytes, bool]:
    method = request.get("method", "")
    now = int(time.time() * 1e6)
    result: Any = "ok"
    if method.endswith("subscribe"):
        result = request["params"]["channels"]
    elif method == "public/get_time":
        result = now // 1000
    reply = {"jsonrpc": "2.0", "id": request.get("id"), "result": result}
    times = {"usIn": now, "usOut": now, "usDiff": 0, "testnet": False}
    return json.dumps(reply | times).encode(), method == "public/subscribe"


async def _main(messages: int, rate: float, burst: int) -> None:
    sender = Sender(messages, rate, burst)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sender.stop)
    server = await asyncio.start_server(sender.serve, "127.0.0.1", 0, limit=2**20)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2]), int([*sys.argv, "0"][3])))
