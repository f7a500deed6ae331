"""A client for the simulated exchange, and boards to look at."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Self

import httpx
import pytest
import websockets

from vol_platform.simulator import Exchange, Market
from vol_platform.simulator.exchange.options import make_options

START = datetime(2026, 6, 3, 15, 0, tzinfo=UTC)
START_MS = round(START.timestamp() * 1000)


class Client:
    """A WebSocket client that keeps every frame it was sent, in order."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.frames: list[str] = []
        self._identifier = 0

    async def __aenter__(self) -> Self:
        self.socket = await websockets.connect(self._url, compression=None, max_size=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def receive(self) -> dict[str, Any]:
        """Return the next frame."""
        frame = await self.socket.recv()
        assert isinstance(frame, str)
        self.frames.append(frame)
        decoded: dict[str, Any] = json.loads(frame)
        return decoded

    async def raw(self) -> bytes:
        """Return the bytes of the next frame."""
        frame = await self.socket.recv(decode=False)
        assert isinstance(frame, bytes)
        return frame

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method and return its reply, passing over notifications."""
        self._identifier += 1
        request = {"jsonrpc": "2.0", "id": self._identifier, "method": method, "params": params}
        await self.socket.send(json.dumps(request))
        while True:
            frame = await self.receive()
            if frame.get("id") == self._identifier:
                return frame

    async def read_to_the_end(self) -> None:
        """Receive until the exchange closes; raises `ConnectionClosed`."""
        while True:
            await self.receive()

    async def subscribe(self, *channels: str) -> list[str]:
        """Subscribe and return the accepted channels."""
        accepted: list[str] = (await self.call("public/subscribe", channels=list(channels)))[
            "result"
        ]
        return accepted

    async def notification(self, channel: str) -> Any:
        """Return the data of the next notification of a channel."""
        while True:
            frame = await self.receive()
            if frame.get("method") == "subscription" and frame["params"]["channel"] == channel:
                return frame["params"]["data"]


async def listed_names(running: Exchange, kind: str = "option") -> list[str]:
    """Return the instruments that a running exchange lists."""
    async with httpx.AsyncClient() as http:
        answer = await http.get(
            f"{running.rest_url}/public/get_instruments", params={"currency": "BTC", "kind": kind}
        )
    return [row["instrument_name"] for row in answer.json()["result"]]


@pytest.fixture
def exchange() -> Callable[..., AbstractAsyncContextManager[Exchange]]:
    """Return a maker of exchanges on free ports: ``async with exchange(seed=3) as running:``."""

    def make(**options: Any) -> Exchange:
        return Exchange(make_options(**({"start": START, "seed": 7} | options)))

    return make


@pytest.fixture(scope="session")
def market() -> Market:
    """Return the market of seed 7."""
    return Market(7)
