"""The exchange: one port, its clients, its calls and subscriptions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from vol_platform.clock import monotonic_seconds, utc_now
from vol_platform.errors import PortInUseError
from vol_platform.simulator.exchange.capture import Capture, read_capture
from vol_platform.simulator.exchange.channels import Channel
from vol_platform.simulator.exchange.chaos import concerns, disturb, is_reordered, shifted
from vol_platform.simulator.exchange.connection import Connection, serve_client
from vol_platform.simulator.exchange.errors import RpcError, too_many_requests
from vol_platform.simulator.exchange.options import ExchangeOptions
from vol_platform.simulator.exchange.oracle import OracleLog
from vol_platform.simulator.exchange.playback import Playback
from vol_platform.simulator.exchange.rpc import answer
from vol_platform.simulator.exchange.tariff import FREE_METHODS, drain, pays
from vol_platform.simulator.exchange.venue import Publisher, Venue
from vol_platform.simulator.market.market import Market
from vol_platform.simulator.market.wire import encode

__all__ = ["Exchange"]

_MAXIMUM_LAG_STEPS = 50
"""A machine that stood still skips steps beyond this instead of sending stale ones in a burst."""


class Exchange:
    """A simulated exchange on one port, trading its own market or playing a capture.

    Use it as an asynchronous context manager; inside, `address` is where it listens.

    Parameters
    ----------
    options
        How it behaves.

    Attributes
    ----------
    chaos
        Faults; may be changed while it runs.
    heartbeat_scale
        Multiplies heartbeat intervals, so that a test need not wait ten seconds.
    playback
        The capture being played, None when the market is simulated.
    sent_notifications
        Notifications (and frames of a capture) handed to connections so far.
    answered, refused
        Calls over plain HTTP so far.
    logins
        How every login was granted: ``client_credentials`` or ``refresh_token``.

    Raises
    ------
    ImportFileError
        The capture cannot be read.
    SettingsError
        The oracle log cannot be written.
    """

    def __init__(self, options: ExchangeOptions | None = None) -> None:
        self.options = options or ExchangeOptions()
        self.chaos = self.options.chaos.model_copy()
        self.heartbeat_scale = 1.0
        capture = None if self.options.capture is None else read_capture(self.options.capture)
        self.oracle = OracleLog(self.options.oracle_log)
        self.playback: Playback | None = None
        markets: dict[str, Market] = {}
        if capture is None:
            markets = {name: Market(self.options.seed, name) for name in self.options.currencies}
        else:
            self.playback = Playback(
                capture, everything=self.options.capture_all, plays=self.options.capture_plays
            )
        self._origin_ms = self._start_ms(capture)
        self._origin = monotonic_seconds()
        self.venue = Venue(markets, self._origin_ms, self.options.rate)
        self.connections: dict[Connection, None] = {}
        self.sent_notifications = 0
        self.answered = self.refused = 0
        self.logins: list[str] = []
        self._subscribers: dict[str, dict[Connection, None]] = {}
        self._publisher = Publisher(lambda name: bool(self._subscribers.get(name)), self.publish)
        self._http_credits: dict[str, float] = {}
        self._connection_count = 0
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def _start_ms(self, capture: Capture | None) -> int:
        if self.options.start is not None:
            return round(self.options.start.timestamp() * 1000)
        if capture is not None and capture.first_received is not None:
            return round(capture.first_received * 1000)
        return round(utc_now().timestamp() * 1000)

    # --------------------------------------------------------------- life cycle

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen and begin to trade.

        Raises
        ------
        PortInUseError
            The address cannot be had.
        """
        host, port = self.options.host, self.options.port

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve_client(self, reader, writer)

        try:
            self._server = await asyncio.start_server(serve, host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            msg = (
                f"simulator cannot listen on {host}:{port}: {reason}; "
                "choose another --port, or 0 for a free one"
            )
            raise PortInUseError(msg) from None
        self._origin = monotonic_seconds()
        if self.options.speed > 0:
            self._tasks = [asyncio.create_task(self._trade(name)) for name in self.venue.feeds]

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self.connections):
            connection.close(1001, "going away")
            connection.writer.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        self.oracle.close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._server is None:
            msg = "the exchange is not started: enter its context first"
            raise RuntimeError(msg)
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.options.host}:{self.port}"

    @property
    def websocket_url(self) -> str:
        """Address of the WebSocket."""
        return f"ws://{self.address}/ws/api/v2"

    @property
    def rest_url(self) -> str:
        """Address that methods are appended to."""
        return f"http://{self.address}/api/v2"

    def next_connection_number(self) -> int:
        """Return 0 for the first connection, then 1 and so on."""
        self._connection_count += 1
        return self._connection_count - 1

    def now_ms(self) -> int:
        """Return the simulated time in milliseconds."""
        return self._now_us() // 1000

    def skip(self, seconds: float) -> None:
        """Move the simulated time on at once; what would have been sent in between is not."""
        self._origin_ms += round(1000 * seconds)

    def drain_credits(self) -> None:
        """Take the credits of every session: the next call of each is answered with 10028."""
        for connection in self.connections:
            drain(connection.credits)

    def _now_us(self) -> int:
        elapsed = monotonic_seconds() - self._origin
        return self._origin_ms * 1000 + int(1e6 * elapsed * self.options.speed)

    # -------------------------------------------------------------------- calls

    def receive(self, connection: Connection, message: bytes) -> None:
        """Answer one message of a session."""
        arrived = self._now_us()
        try:
            request = msgspec.json.decode(message)
        except msgspec.DecodeError:
            connection.send(self.error_reply(None, RpcError(-32700, "Parse error")))
            return
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            connection.send(self.error_reply(None, RpcError(-32600, "Invalid Request")))
            return
        identifier = request.get("id")
        method = request["method"]
        try:
            result = self._answer(connection, connection.credits, method, request.get("params"))
        except RpcError as error:
            connection.send(self.error_reply(identifier, error, arrived))
            if error.closes:
                connection.close(1000, error.message)
            return
        reply = self._reply({"jsonrpc": "2.0", "id": identifier, "result": result}, arrived)
        if not self.chaos.reply_after_data:
            connection.push(reply)
        if method.endswith("/subscribe"):
            self._welcome(connection, result)
        if self.chaos.reply_after_data:
            connection.push(reply)
        connection.flush()

    def _answer(
        self,
        connection: Connection | None,
        credits_held: dict[str, float],
        method: str,
        params: Any,
    ) -> Any:
        if self.options.enforce_credits and not pays(credits_held, method):
            raise too_many_requests()
        if self.chaos.maintenance and method not in {*FREE_METHODS, "public/status"}:
            raise RpcError(11051, "system_maintenance")
        return answer(self, connection, method, params)

    def call_http(self, request: dict[str, Any]) -> tuple[int, bytes]:
        """Return (HTTP status, reply) of a call without a session."""
        arrived = self._now_us()
        identifier = request.get("id")
        try:
            result = self._answer(
                None, self._http_credits, str(request["method"]), request.get("params")
            )
        except RpcError as error:
            self.refused += 1
            status = 429 if error.code == 10028 else 400
            return status, self.error_reply(identifier, error, arrived)
        self.answered += 1
        fields = {"jsonrpc": "2.0", "result": result}
        if identifier is not None:
            fields["id"] = identifier
        return 200, self._reply(fields, arrived)

    def error_reply(self, identifier: Any, error: RpcError, arrived_us: int | None = None) -> bytes:
        """Return an error reply."""
        fields: dict[str, Any] = {"jsonrpc": "2.0"}
        if identifier is not None:
            fields["id"] = identifier
        fields["error"] = error.body()
        return self._reply(fields, self._now_us() if arrived_us is None else arrived_us)

    def _reply(self, fields: dict[str, Any], arrived_us: int) -> bytes:
        offset = self.chaos.timestamp_offset_ms * 1000
        arrived_us, left = arrived_us + offset, self._now_us() + offset
        timing = {"usIn": arrived_us, "usOut": left, "usDiff": left - arrived_us}
        return encode(fields | timing | {"testnet": self.options.testnet})

    # ------------------------------------------------------------ subscriptions

    def subscribe(self, connection: Connection, channels: Sequence[Channel]) -> list[str]:
        """Subscribe to the channels that exist and return their names, in the server's order."""
        now = self.now_ms()
        accepted = {
            channel.name
            for channel in channels
            if not any(text in channel.name for text in self.chaos.refuse_channels)
            and (
                self.venue.exists(channel, now)
                if self.playback is None
                else self.playback.exists(channel)
            )
        }
        names = sorted(accepted, reverse=True)
        for name in names:
            connection.channels[name] = None
            self._subscribers.setdefault(name, {})[connection] = None
        return names

    def unsubscribe(self, connection: Connection, names: Sequence[str]) -> list[str]:
        """Unsubscribe and return the names that were subscribed."""
        done = [name for name in names if name in connection.channels]
        for name in done:
            connection.channels.pop(name, None)
            self._subscribers.get(name, {}).pop(connection, None)
        return done

    def forget(self, connection: Connection) -> None:
        """Drop a connection that ended."""
        self.unsubscribe(connection, list(connection.channels))
        self.connections.pop(connection, None)

    def _welcome(self, connection: Connection, names: Sequence[str]) -> None:
        """Send what follows a subscription at once."""
        if self.playback is not None:
            self.playback.subscribed(self, connection)
            return
        for channel, frame in self.venue.first_messages(names, self.now_ms()):
            self.deliver(connection, channel, frame)

    # --------------------------------------------------------------- publishing

    def publish(self, channel: str, frame: bytes) -> None:
        """Queue a notification for every subscriber of a channel."""
        for connection in self._subscribers.get(channel, ()):
            self.deliver(connection, channel, frame)

    def deliver(self, connection: Connection, channel: str, frame: bytes) -> None:
        """Queue a frame for one connection, after the faults that are switched on."""
        chaos = self.chaos
        if chaos.mute:
            return
        connection.sequence += 1
        number = connection.sequence
        if any(text in channel for text in chaos.lose_channels):
            return
        frame = shifted(frame, chaos.timestamp_offset_ms)
        leaving = [frame]
        if concerns(chaos, channel):
            if chaos.lose_snapshots and b'"type":"snapshot"' in frame:
                return
            leaving = disturb(chaos, self.options.seed, connection.number, number, frame)
            if is_reordered(chaos, self.options.seed, connection.number, number):
                connection.held += [(channel, number, each) for each in leaving]
                return
        for each in leaving:
            self._push(connection, channel, number, each)
        held, connection.held = connection.held, []
        for behind in held:
            self._push(connection, *behind)

    def _push(self, connection: Connection, channel: str, number: int, frame: bytes) -> None:
        self.sent_notifications += 1
        connection.push(frame)
        if self.oracle.is_on:
            self.oracle.sent(connection.number, number, channel, frame)

    def flush(self) -> None:
        """Send what is queued on every connection."""
        for connection in list(self.connections):
            connection.flush()

    def set_maintenance(self, on: bool) -> None:
        """Lock or unlock the platform and tell subscribers of platform_state."""
        self.chaos.maintenance = on
        for market in self.venue.markets.values():
            data = {"price_index": market.specification.index_name, "locked": on}
            self.publish("platform_state", self.venue.notification("platform_state", data))
        self.flush()

    def close_all(self, code: int = 1000, *, reset: bool = False) -> None:
        """Close every session; 1006 cuts without a handshake, with ``reset`` by a TCP reset."""
        for connection in list(self.connections):
            if code == 1006:
                connection.abort(reset=reset)
            else:
                connection.close(code)

    # ------------------------------------------------------------------ trading

    async def _trade(self, currency: str) -> None:
        step = self.venue.feeds[currency].step_ms
        number = self.now_ms() // step
        while True:
            number += 1
            speed = self.options.speed
            behind = (monotonic_seconds() - self._origin) * 1000 * speed
            wait = number * step - self._origin_ms - behind
            if -wait > step * _MAXIMUM_LAG_STEPS:
                number = self.now_ms() // step
            await asyncio.sleep(max(wait / 1000 / speed, 0.0))
            self.run_step(currency, number * step)

    def run_step(self, currency: str, time_ms: int) -> None:
        """Send everything that a step of one currency has to say."""
        self.venue.step(currency, time_ms, self._publisher)
        self.flush()
