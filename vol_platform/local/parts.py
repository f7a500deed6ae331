"""What a part of the stack is, and how to tell that it is ready."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from vol_platform.local.ports import HOST

__all__ = ["Part", "Probe", "http_probe", "redis_probe", "tcp_probe"]

Probe = Callable[[], Awaitable[bool]]
_PROBE_SECONDS = 2.0


@dataclass(frozen=True)
class Part:
    """A child process of the stack.

    A ``service`` runs until the stack stops and is started again when it ends; a ``job`` runs
    until it ends with exit code 0, and is tried again a few times when it does not.
    """

    name: str
    purpose: str
    command: tuple[str, ...]
    kind: Literal["service", "job"] = "service"
    environment: Mapping[str, str] = field(default_factory=dict)
    probe: Probe | None = None
    """Answers whether the part is ready; None: it is once it has run for `settle_seconds`."""
    settle_seconds: float = 1.0
    port: int | None = None
    after: tuple[str, ...] = ()
    """Parts that must be ready (or, for a job, done) before this one starts."""
    ready_seconds: float = 60.0
    stop_seconds: float = 15.0
    """How long it may take to stop by itself before it is killed."""
    optional: bool = False
    """Whether the stack is up without it; a job that fails then stays failed."""


def tcp_probe(port: int) -> Probe:
    """Return a probe that is true once something accepts connections on `port`."""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                _, writer = await asyncio.open_connection(HOST, port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    return probe


def redis_probe(port: int) -> Probe:
    """Return a probe that is true once Redis answers PING with PONG (not while it still loads)."""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                reader, writer = await asyncio.open_connection(HOST, port)
                writer.write(b"PING\r\n")
                answer = await reader.readline()
        except (OSError, TimeoutError):
            return False
        writer.close()
        return answer.startswith(b"+PONG")

    return probe


def http_probe(url: str) -> Probe:
    """Return a probe that is true once a GET of `url` succeeds."""

    def get() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2.0) as response:  # noqa: S310 - our own http address
                return bool(response.status < 400)
        except (urllib.error.URLError, OSError):
            return False

    async def probe() -> bool:
        return await asyncio.to_thread(get)

    return probe
