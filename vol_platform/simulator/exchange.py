"""The exchange: one port, its markets, its subscribers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from vol_platform.clock import monotonic_seconds, utc_now
from vol_platform.errors import PortInUseError
from vol_platform.simulator.board import board_at, instrument_rows
from vol_platform.simulator.books import BookState, Levels, book_changes, change_number, levels
from vol_platform.simulator.channels import Channel, parse_channel
from vol_platform.simulator.connection import Connection, serve_client, spend
from vol_platform.simulator.errors import RpcError, too_many_requests
from vol_platform.simulator.feed import Feed
from vol_platform.simulator.market import Market
from vol_platform.simulator.options import ExchangeOptions
from vol_platform.simulator.rpc import answer
from vol_platform.simulator.wire import TickerData, encode, notification_head

__all__ = ["Exchange"]

_SUBSCRIBE_COST = 3_000.0
_SUBSCRIBE_POOL = 30_000.0
_CALL_COST = 500.0
_CALL_POOL = 50_000.0
_REFILL_PER_SECOND = 10_000.0
_AGG2_MS = 2_000
_INDEX_MS = 1_000
_VOLATILITY_INDEX_YEARS = 30 / 365
_MAXIMUM_LAG_STEPS = 50
"""A stalled machine skips steps beyond this instead of sending stale ones in a burst."""
_FREE_METHODS = {"public/test", "public/get_time", "public/hello"}


class Exchange:
    """A simulated exchange on one port.

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
    """

    def __init__(self, options: ExchangeOptions | None = None) -> None:
        self.options = options or ExchangeOptions()
        self.chaos = self.options.chaos.model_copy()
        self.heartbeat_scale = 1.0
        self.markets: dict[str, Market] = {
            name: Market(self.options.seed, name) for name in self.options.currencies
        }
        start_ms = self.options.start_ms
        if start_ms is None:
            start_ms = round(utc_now().timestamp() * 1000)
        self._origin_ms = start_ms
        self._origin = monotonic_seconds()
        self.feeds: dict[str, Feed] = {
            name: Feed(market, start_ms, self.options.rate) for name, market in self.markets.items()
        }
        self.connections: dict[Connection, None] = {}
        self._subscribers: dict[str, dict[Connection, None]] = {}
        self._heads: dict[str, bytes] = {}
        self._aggregated: dict[str, TickerData] = {}
        self._books: dict[str, BookState] = {}
        self._http_credits: dict[str, float] = {}
        self._connection_count = 0
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.sent_frames = 0

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
            Somebody else has the port.
        """
        host, port = self.options.host, self.options.port

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve_client(self, reader, writer)

        try:
            self._server = await asyncio.start_server(serve, host, port)
        except OSError as error:
            msg = (
                f"simulator cannot listen on {host}:{port}: {error.strerror or error}; "
                "choose another --port, or 0 for a free one"
            )
            raise PortInUseError(msg) from None
        self._origin = monotonic_seconds()
        self._tasks = [asyncio.create_task(self._trade(name)) for name in self.feeds]

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
        elapsed = monotonic_seconds() - self._origin
        return self._origin_ms + int(1000 * elapsed * self.options.speed)

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
        try:
            self._charge(connection.credits, request["method"])
            self._refuse_in_maintenance(request["method"])
            result = answer(self, connection, request["method"], request.get("params"))
        except RpcError as error:
            connection.send(self.error_reply(identifier, error, arrived))
            if error.closes:
                connection.close(1000, error.message)
            return
        reply = self._reply({"jsonrpc": "2.0", "id": identifier, "result": result}, arrived)
        first: list[bytes] = []
        if request["method"].endswith("/subscribe"):
            first = self._first_messages(result)
        if self.chaos.reply_after_data:
            for frame in first:
                connection.push(frame)
            connection.push(reply)
        else:
            connection.push(reply)
            for frame in first:
                connection.push(frame)
        self.sent_frames += len(first)
        connection.flush()

    def call_http(self, request: dict[str, Any]) -> tuple[int, bytes]:
        """Return (HTTP status, reply) of a call without a session."""
        arrived = self._now_us()
        identifier = request.get("id")
        try:
            method = request["method"]
            self._charge(self._http_credits, method)
            self._refuse_in_maintenance(method)
            result = answer(self, None, method, request.get("params"))
        except RpcError as error:
            status = 429 if error.code == 10028 else 400
            return status, self.error_reply(identifier, error, arrived)
        fields = {"jsonrpc": "2.0", "result": result}
        if identifier is not None:
            fields["id"] = identifier
        return 200, self._reply(fields, arrived)

    def error_reply(self, identifier: Any, error: RpcError, arrived_us: int | None = None) -> bytes:
        """Return an error reply."""
        fields = {"jsonrpc": "2.0", "id": identifier, "error": error.body()}
        if identifier is None:
            del fields["id"]
        return self._reply(fields, self._now_us() if arrived_us is None else arrived_us)

    def _reply(self, fields: dict[str, Any], arrived_us: int) -> bytes:
        left = self._now_us()
        timing = {
            "usIn": arrived_us,
            "usOut": left,
            "usDiff": left - arrived_us,
            "testnet": self.options.testnet,
        }
        return encode(fields | timing)

    def _now_us(self) -> int:
        elapsed = monotonic_seconds() - self._origin
        return self._origin_ms * 1000 + int(1e6 * elapsed * self.options.speed)

    def _charge(self, held: dict[str, float], method: str) -> None:
        if not self.options.enforce_credits or method in _FREE_METHODS:
            return
        if method.endswith("/subscribe"):
            paid = spend(held, "subscribe", _SUBSCRIBE_COST, _SUBSCRIBE_POOL, _REFILL_PER_SECOND)
        elif method == "public/get_instruments":
            paid = spend(held, method, 1.0, 5.0, 1.0)
        else:
            paid = spend(held, "calls", _CALL_COST, _CALL_POOL, _REFILL_PER_SECOND)
        if not paid:
            raise too_many_requests()

    def _refuse_in_maintenance(self, method: str) -> None:
        if self.chaos.maintenance and method not in {*_FREE_METHODS, "public/status"}:
            raise RpcError(11051, "system_maintenance")

    # ------------------------------------------------------------ subscriptions

    def subscribe(self, connection: Connection, channels: Sequence[Channel]) -> list[str]:
        """Subscribe to the channels that exist and return their names, in the server's order."""
        accepted = sorted({c.name for c in channels if self._exists(c)}, reverse=True)
        for name in accepted:
            connection.channels[name] = None
            self._subscribers.setdefault(name, {})[connection] = None
        return accepted

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

    def _exists(self, channel: Channel) -> bool:
        if any(text in channel.name for text in self.chaos.refuse_channels):
            return False
        indices = {market.specification.index_name for market in self.markets.values()}
        match channel.kind:
            case "deribit_price_index" | "deribit_volatility_index":
                return channel.subject in indices
            case "instrument.state":
                kind, _, currency = channel.subject.partition(".")
                return kind in {"any", "option", "future"} and (
                    currency == "any" or currency in self.feeds
                )
            case "platform_state" | "platform_state.public_methods_state":
                return True
            case "ticker" | "book" | "quote":
                return self._listed(channel.subject)
            case _:
                return False

    def _listed(self, name: str) -> bool:
        now = self.now_ms()
        return any(
            name in feed.board.row_of
            or any(future.name == name for future in feed.board.open_futures(now))
            for feed in self.feeds.values()
        )

    def _first_messages(self, names: Sequence[str]) -> list[bytes]:
        """Return what follows a subscription at once: full tickers, then book snapshots."""
        now = self.now_ms()
        parsed = [channel for channel in map(parse_channel, names) if channel is not None]
        wanted = [c.subject for c in parsed if c.kind in {"ticker", "quote", "book"}]
        tickers: dict[str, TickerData] = {}
        for feed in self.feeds.values():
            tickers.update(feed.snapshot(wanted, now))
        frames: list[bytes] = []
        books: list[bytes] = []
        for channel in parsed:
            if channel.kind == "ticker":
                frames.append(self.notification(channel.name, tickers[channel.subject]))
            elif channel.kind == "quote":
                frames.append(self.notification(channel.name, _quote(tickers[channel.subject])))
            elif channel.kind == "book":
                books.append(self._book_snapshot(channel, tickers[channel.subject]))
            elif channel.kind.startswith("deribit_"):
                frames.append(self.notification(channel.name, self._index_data(channel, now)))
        return frames + books

    # -------------------------------------------------------------- market data

    def ticker(self, name: str) -> TickerData:
        """Return what an instrument shows now.

        Raises
        ------
        RpcError
            It is not listed.
        """
        now = self.now_ms()
        for feed in self.feeds.values():
            found = feed.snapshot([name], now)
            if name in found:
                return found[name]
        raise RpcError(10020, "invalid_or_unsupported_instrument")

    def book(self, name: str, ticker: TickerData) -> tuple[Levels, Levels, int]:
        """Return (bids, asks, change id) of an instrument."""
        currency = name.split("-", 1)[0]
        specification = self.markets[currency].specification
        tick = 0.0005 if name.endswith(("-C", "-P")) else specification.future_tick
        bids, asks = levels(self.options.seed, ticker, tick)
        return bids, asks, change_number(self.options.seed, name, ticker.timestamp)

    def expired_rows(self, currency: str) -> list[dict[str, Any]]:
        """Return the instruments that expired at the last 08:00 UTC."""
        feed = self.feeds[currency]
        ended = board_at(feed.market, feed.board.start_ms - 1)
        gone = {"is_active": False, "state": "archivized"}
        return [
            row | gone
            for row in instrument_rows(feed.market, ended, feed.board.start_ms - 1)
            if row["expiration_timestamp"] == feed.board.start_ms
        ]

    def notification(self, channel: str, data: Any) -> bytes:
        """Return a notification frame."""
        head = self._heads.get(channel)
        if head is None:
            head = self._heads[channel] = notification_head(channel)
        return head + encode(data) + b"}}"

    def _index_data(self, channel: Channel, time_ms: int) -> dict[str, Any]:
        market = next(
            m for m in self.markets.values() if m.specification.index_name == channel.subject
        )
        if channel.kind == "deribit_price_index":
            value = {"price": float(market.index_price(time_ms)[0])}
        else:
            surface = market.surface(time_ms)
            vol = np.sqrt(
                surface.atm_total_variance(_VOLATILITY_INDEX_YEARS) / _VOLATILITY_INDEX_YEARS
            )
            value = {"volatility": round(100.0 * float(vol[0]), 2)}
        return {"timestamp": time_ms} | value | {"index_name": channel.subject}

    def _book_snapshot(self, channel: Channel, ticker: TickerData) -> bytes:
        bids, asks, change_id = self.book(channel.subject, ticker)
        state = self._books.setdefault(channel.name, BookState(change_id, bids, asks))
        data = {
            "type": "snapshot",
            "timestamp": ticker.timestamp,
            "instrument_name": channel.subject,
            "change_id": state.change_id,
            "bids": [["new", *level] for level in state.bids],
            "asks": [["new", *level] for level in state.asks],
        }
        return self.notification(channel.name, data)

    # ------------------------------------------------------------------ trading

    async def _trade(self, currency: str) -> None:
        feed = self.feeds[currency]
        step = feed.step_ms
        number = self.now_ms() // step
        while True:
            number += 1
            speed = max(self.options.speed, 1e-6)
            wait = (number * step - self._origin_ms) / 1000 / speed - (
                monotonic_seconds() - self._origin
            )
            if wait > 0:
                await asyncio.sleep(wait)
            elif -wait * 1000 * speed > step * _MAXIMUM_LAG_STEPS:
                number = self.now_ms() // step
            else:
                await asyncio.sleep(0)
            self.run_step(currency, number * step)

    def run_step(self, currency: str, time_ms: int) -> None:
        """Send everything that a step of one currency has to say."""
        feed = self.feeds[currency]
        roll = feed.roll(time_ms)
        if roll is not None:
            self._announce_roll(roll.ended.names, roll.began.names, roll.last_tickers, time_ms)
        for ticker in feed.step(time_ms):
            self._publish_ticker(ticker, time_ms)
        if time_ms % _AGG2_MS < feed.step_ms:
            self._publish_aggregated()
        if time_ms % _INDEX_MS < feed.step_ms:
            name = feed.market.specification.index_name
            for kind in ("deribit_price_index", "deribit_volatility_index"):
                channel = f"{kind}.{name}"
                if self._subscribers.get(channel):
                    data = self._index_data(Channel(channel, kind, name, ""), time_ms)
                    self._publish(channel, self.notification(channel, data))
        self.flush()

    def flush(self) -> None:
        """Send what is queued on every connection."""
        for connection in list(self.connections):
            connection.flush()

    def _publish(self, channel: str, frame: bytes) -> None:
        for connection in self._subscribers.get(channel, ()):
            connection.sequence += 1
            self.sent_frames += 1
            connection.push(frame)

    def _publish_ticker(self, ticker: TickerData, time_ms: int) -> None:
        name = ticker.instrument_name
        body: bytes | None = None
        for interval in ("raw", "100ms"):
            channel = f"ticker.{name}.{interval}"
            if self._subscribers.get(channel):
                body = body or encode(ticker)
                head = self._heads.get(channel)
                if head is None:
                    head = self._heads[channel] = notification_head(channel)
                self._publish(channel, head + body + b"}}")
        if self._subscribers.get(f"ticker.{name}.agg2"):
            self._aggregated[name] = ticker
        if self._subscribers.get(f"quote.{name}"):
            self._publish(f"quote.{name}", self.notification(f"quote.{name}", _quote(ticker)))
        for interval in ("raw", "100ms", "agg2"):
            channel = f"book.{name}.{interval}"
            if self._subscribers.get(channel):
                self._publish_book(channel, ticker, time_ms)

    def _publish_aggregated(self) -> None:
        waiting, self._aggregated = self._aggregated, {}
        for name, ticker in waiting.items():
            channel = f"ticker.{name}.agg2"
            self._publish(channel, self.notification(channel, ticker))

    def _publish_book(self, channel: str, ticker: TickerData, time_ms: int) -> None:
        bids, asks, change_id = self.book(ticker.instrument_name, ticker)
        state = self._books.get(channel)
        if state is None:
            self._books[channel] = BookState(change_id, bids, asks)
            return
        bid_rows, ask_rows = book_changes(state.bids, bids), book_changes(state.asks, asks)
        if not bid_rows and not ask_rows:
            return
        data = {
            "type": "change",
            "timestamp": time_ms,
            "prev_change_id": state.change_id,
            "instrument_name": ticker.instrument_name,
            "change_id": change_id,
            "bids": bid_rows,
            "asks": ask_rows,
        }
        self._books[channel] = BookState(change_id, bids, asks)
        self._publish(channel, self.notification(channel, data))

    def _announce_roll(
        self,
        ended: Sequence[str],
        began: Sequence[str],
        last: Sequence[TickerData],
        time_ms: int,
    ) -> None:
        for ticker in last:
            self._publish_ticker(ticker, time_ms)
        old, new = set(ended), set(began)
        states = [(name, "closed") for name in ended if name not in new]
        states += [(name, "created") for name in began if name not in old]
        for name, state in states:
            currency = name.split("-", 1)[0]
            data = {"instrument_name": name, "state": state, "timestamp": time_ms}
            for kind in ("option", "any"):
                for scope in (currency, "any"):
                    channel = f"instrument.state.{kind}.{scope}"
                    if self._subscribers.get(channel):
                        self._publish(channel, self.notification(channel, data))

    def set_maintenance(self, on: bool) -> None:
        """Lock or unlock the platform and tell subscribers of platform_state."""
        self.chaos.maintenance = on
        for market in self.markets.values():
            data = {"price_index": market.specification.index_name, "locked": on}
            self._publish("platform_state", self.notification("platform_state", data))
        self.flush()


def _quote(ticker: TickerData) -> dict[str, Any]:
    return {
        "timestamp": ticker.timestamp,
        "instrument_name": ticker.instrument_name,
        "best_ask_price": ticker.best_ask_price,
        "best_bid_price": ticker.best_bid_price,
        "best_ask_amount": ticker.best_ask_amount,
        "best_bid_amount": ticker.best_bid_amount,
    }
