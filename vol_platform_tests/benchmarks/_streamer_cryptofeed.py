"""cryptofeed 3 as a client of the sender: ``python _streamer_cryptofeed.py PORT MESSAGES FRAMES``.

Runs inside cryptofeed's own environment (Python 3.13) and imports nothing of ours.  First its own
decoding alone, on frames from a file (one a line), then through the socket with a plain callback
that counts; prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptofeed import FeedHandler, connection
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
from cryptofeed.defines import TICKER
from cryptofeed.exchanges import Deribit

PORT, MESSAGES, FRAMES = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])

Deribit.websocket_endpoints = [WebsocketEndpoint(f"wss://127.0.0.1:{PORT}/ws/api/v2")]
Deribit.rest_endpoints = [
    RestEndpoint(
        f"http://127.0.0.1:{PORT}",
        routes=Routes(["/api/v2/public/get_instruments?currency=BTC"] * 2),  # it wants several
    )
]


_connect = connection.connect


def _connect_without_tls(address: str, *arguments: Any, **options: Any) -> Any:
    """Connect as it does, but plainly: it takes no other address than wss, and TLS costs."""
    return _connect(address.replace("wss:", "ws:", 1), *arguments, **options)


connection.connect = _connect_without_tls


class Count:
    """Counts tickers and notes when the first and the last came."""

    def __init__(self) -> None:
        self.seen = 0
        self.begun = self.ended = self.cpu_begun = self.cpu_ended = 0.0

    async def __call__(self, _ticker: Any, _receipt: float) -> None:
        if not self.seen:
            self.begun, self.cpu_begun = time.monotonic(), time.process_time()
        self.seen += 1
        if self.seen == MESSAGES:
            self.ended, self.cpu_ended = time.monotonic(), time.process_time()
            asyncio.get_running_loop().call_later(0.2, asyncio.get_running_loop().stop)


async def feed(callback: Any) -> Any:
    await Deribit.load_symbols()
    symbols = list(Deribit.symbol_mapping())
    options = [name for name in symbols if name.endswith(("-call", "-put"))][:20]
    return Deribit(symbols=options, channels=[TICKER], callbacks={TICKER: callback})


async def decode_alone(frames: list[str]) -> float:
    """Return microseconds a message in its own message handler, without any socket."""

    async def nothing(_ticker: Any, _receipt: float) -> None:
        return None

    client = await feed(nothing)
    client._Deribit__reset()  # what it does itself when it connects
    best = float("inf")
    for _ in range(5):
        begun = time.process_time()
        for frame in frames:
            await client.message_handler(frame, None, 0.0)
        best = min(best, time.process_time() - begun)
    return best / len(frames) * 1e6


def main() -> None:
    """Measure both."""
    frames = FRAMES.read_text().splitlines()
    alone = asyncio.run(decode_alone(frames))
    count = Count()
    client = asyncio.run(feed(count))
    asyncio.set_event_loop(asyncio.new_event_loop())
    handler = FeedHandler()
    handler.add_feed(client)
    with suppress(RuntimeError):  # its loop is stopped under it when the last message came
        handler.run(install_signal_handlers=False)
    print(
        json.dumps(
            {
                "decode_microseconds": alone,
                "seen": count.seen,
                "seconds": count.ended - count.begun,
                "cpu_seconds": count.cpu_ended - count.cpu_begun,
            }
        )
    )


main()
