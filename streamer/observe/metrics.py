"""Prometheus metrics and health, on a loopback port.

Health means rows landing: a collector that runs but writes nothing is not healthy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from streamer.database.writer import Written
from streamer.errors import PortInUseError
from streamer.observe.lags import Lags

__all__ = ["Health", "Metrics", "MetricsServer"]

_FUTURE_SECONDS = 0.5  # more than clocks may differ before the log says so as an error


class Metrics:
    """Every metric of the collector, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.frames_received = Gauge(
            "vol_streamer_frames_received", "Messages taken since the start", registry=registry
        )
        self.rows = Counter("vol_streamer_rows", "Rows stored", ["table"], registry=registry)
        self.dead_letters = Counter(
            "vol_streamer_dead_letters", "Messages kept as dead letters", registry=registry
        )
        self.future_rows = Counter(
            "vol_streamer_future_rows",
            "Rows stamped by the exchange more than half a second after we received them",
            registry=registry,
        )
        self.control = Counter(
            "vol_streamer_control_messages", "Replies, heartbeats, lifecycle", registry=registry
        )
        self.unknown_fields = Gauge(
            "vol_streamer_unknown_fields", "Fields that no table keeps", registry=registry
        )
        self.gaps = Counter("vol_streamer_gaps", "Gaps opened", ["cause"], registry=registry)
        self.reconnects = Counter(
            "vol_streamer_reconnects", "Sockets lost", ["cause"], registry=registry
        )
        self.refused_messages = Gauge(
            "vol_streamer_refused_messages", "Messages refused by a full disk", registry=registry
        )
        self.segments_waiting = Gauge(
            "vol_streamer_segments_waiting", "Sealed segments on disk", registry=registry
        )
        self.insert_failures = Gauge(
            "vol_streamer_insert_failures", "Inserts tried again", registry=registry
        )
        self.channels_wanted = Gauge(
            "vol_streamer_channels_wanted", "Channels asked for", registry=registry
        )
        self.connections_complete = Gauge(
            "vol_streamer_connections_complete", "Sockets with data everywhere", registry=registry
        )
        self.credits = Gauge(
            "vol_streamer_credits",
            "Fewest credits left on any socket, by pool",
            ["pool"],
            registry=registry,
        )
        self.published_rows = Gauge(
            "vol_streamer_published_rows", "Rows sent to Redis", registry=registry
        )
        self.dropped_rows = Gauge(
            "vol_streamer_dropped_rows", "Rows that Redis did not take", registry=registry
        )
        self.clock_offset = Gauge(
            "vol_streamer_clock_offset_seconds", "Exchange's clock minus ours", registry=registry
        )
        self.lags = Lags()
        registry.register(self.lags)

    def note_written(self, written: Written, wall_ns: int) -> None:
        """Count a segment that the database holds."""
        accounts = written.batch.accounts
        for table, count in accounts.rows.items():
            self.rows.labels(table).inc(count)
        self.dead_letters.inc(accounts.dead_letters)
        self.control.inc(accounts.control_messages)
        batch = written.batch
        ahead = batch.exchange_lags_seconds < -_FUTURE_SECONDS
        self.future_rows.inc(int(np.count_nonzero(ahead)))
        self.lags.exchange_to_receive.add_each(batch.exchange_lags_seconds)
        self.lags.receive_to_queryable.add_each((wall_ns - batch.received_ns) / 1e9)


class Health(msgspec.Struct):
    """The answer to /healthz and /readyz."""

    healthy: bool
    ready: bool
    seconds_since_rows: float | None
    segments_waiting: int
    detail: str


class MetricsServer:
    """Serves /metrics, /healthz and /readyz over HTTP/1.0.

    Parameters
    ----------
    metrics
        What /metrics shows.
    health
        Asked at every request.
    """

    def __init__(self, metrics: Metrics, health: Callable[[], Health]) -> None:
        self._metrics = metrics
        self._health = health
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Start to serve; return the port.

        Raises
        ------
        PortInUseError
            Somebody else listens there.
        """
        try:
            self._server = await asyncio.start_server(self._serve, host, port)
        except OSError:
            raise PortInUseError(
                f"metrics port {host}:{port} is in use; set VOL_STREAMER_METRICS_PORT to another "
                "or to 0 for a free one"
            ) from None
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop to serve."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5.0):
                request = await reader.readline()
            parts = request.split()
            path = parts[1].decode("ascii", "replace") if len(parts) > 1 else ""
            status, kind, body = self._answer(path)
            head = f"HTTP/1.0 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass  # a visitor who hangs up or talks nonsense is no concern of the collector
        finally:
            writer.close()

    def _answer(self, path: str) -> tuple[str, str, bytes]:
        if path == "/metrics":
            text = "text/plain; version=0.0.4; charset=utf-8"
            return "200 OK", text, generate_latest(self._metrics.registry)
        health = self._health()
        answers = {"/healthz": health.healthy, "/readyz": health.ready}
        if path not in answers:
            return "404 Not Found", "text/plain", b"try /metrics, /healthz or /readyz\n"
        status = "200 OK" if answers[path] else "503 Service Unavailable"
        return status, "application/json", msgspec.json.encode(health) + b"\n"
