"""What the exchange trades: every currency's feed, and the messages of each channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vol_platform.simulator.exchange.channels import Channel, parse_channel
from vol_platform.simulator.exchange.errors import RpcError
from vol_platform.simulator.market.board import board_at, instrument_rows
from vol_platform.simulator.market.books import (
    BookState,
    Levels,
    book_changes,
    change_number,
    levels,
)
from vol_platform.simulator.market.feed import Feed, Roll
from vol_platform.simulator.market.market import Market
from vol_platform.simulator.market.past_trades import past_trades
from vol_platform.simulator.market.trades import Trade, trades_between
from vol_platform.simulator.market.wire import TickerData, encode, notification_head

__all__ = ["Publisher", "Venue"]

_AGG2_MS = 2_000
_INDEX_MS = 1_000
_THIRTY_DAYS_YEARS = 30 / 365
_FAST_INTERVALS = ("raw", "100ms")


@dataclass(frozen=True, slots=True)
class Publisher:
    """Where messages go: whether anybody listens to a channel, and how to tell them."""

    has_subscribers: Callable[[str], bool]
    publish: Callable[[str, bytes], None]


class Venue:
    """The simulated market of every currency, seen through channels.

    Parameters
    ----------
    markets
        Market by currency.
    time_ms
        Where trading begins.
    rate
        Multiplies how often quotes change.
    """

    def __init__(self, markets: dict[str, Market], time_ms: int, rate: float) -> None:
        self.markets = markets
        self.feeds = {name: Feed(market, time_ms, rate) for name, market in markets.items()}
        self._heads: dict[str, bytes] = {}
        self._aggregated: dict[str, TickerData] = {}
        self._books: dict[str, BookState] = {}
        self._marks_said: dict[str, dict[str, tuple[float, float]]] = {}

    # ---------------------------------------------------------------- questions

    def exists(self, channel: Channel, time_ms: int) -> bool:
        """Return whether a channel can be subscribed."""
        match channel.kind:
            case "deribit_price_index" | "markprice.options":
                return self._market_of_index(channel.subject) is not None
            case "deribit_volatility_index":
                market = self._market_of_index(channel.subject)
                return market is not None and not market.is_linear
            case "platform_state" | "platform_state.public_methods_state":
                return True
            case "instrument.state":
                return self._is_scope(channel.subject)
            case "trades" if "." in channel.subject:
                return self._is_scope(channel.subject)
            case "perpetual" if not channel.subject.endswith("-PERPETUAL"):
                return False
            case "ticker" | "book" | "quote" | "trades" | "perpetual":
                return self._listed(channel.subject, time_ms)
            case _:
                return False

    def _is_scope(self, subject: str) -> bool:
        kind, _, currency = subject.partition(".")
        settled = {market.settlement for market in self.markets.values()}
        return kind in {"any", "option", "future"} and currency in {"any", *settled}

    def _listed(self, name: str, time_ms: int) -> bool:
        return any(
            name in feed.board.row_of
            or any(future.name == name for future in feed.board.open_futures(time_ms))
            for feed in self.feeds.values()
        )

    def _market_of_index(self, index_name: str) -> Market | None:
        for market in self.markets.values():
            if market.specification.index_name == index_name:
                return market
        return None

    def ticker(self, name: str, time_ms: int) -> TickerData:
        """Return what an instrument shows now.

        Raises
        ------
        RpcError
            It is not listed.
        """
        for feed in self.feeds.values():
            found = feed.snapshot([name], time_ms)
            if name in found:
                return found[name]
        raise RpcError(10020, "invalid_or_unsupported_instrument")

    def book(self, ticker: TickerData) -> tuple[Levels, Levels, int]:
        """Return (bids, asks, change id) around a ticker."""
        name = ticker.instrument_name
        market = self.markets[name.split("-", 1)[0]]
        is_option = name.endswith(("-C", "-P"))
        specification = market.specification
        tick = specification.ladder.coarse if is_option else specification.future_tick
        bids, asks = levels(market.seed, ticker, tick)
        return bids, asks, change_number(market.seed, name, ticker.timestamp)

    def instruments(self, currency: str, time_ms: int, *, expired: bool) -> list[dict[str, Any]]:
        """Return the rows of get_instruments; `expired` shows what ended at the last 08:00 UTC."""
        feed = self.feeds[currency]
        if not expired:
            return instrument_rows(feed.market, feed.board, time_ms)
        ended_ms = feed.board.start_ms
        ended = board_at(feed.market, ended_ms - 1)
        gone = {"is_active": False, "state": "archivized"}
        return [
            row | gone
            for row in instrument_rows(feed.market, ended, ended_ms - 1)
            if row["expiration_timestamp"] == ended_ms
        ]

    def trades(
        self,
        currency: str,
        start_ms: int,
        end_ms: int,
        *,
        only: str | None = None,
        kind: str = "any",
    ) -> Iterator[Trade]:
        """Yield trades with start <= time <= end of any time, oldest first."""
        return past_trades(self.markets[currency], start_ms, end_ms, only=only, kind=kind)

    # ----------------------------------------------------------------- messages

    def notification(self, channel: str, data: Any) -> bytes:
        """Return a notification frame."""
        return self._frame(channel, encode(data))

    def _frame(self, channel: str, body: bytes) -> bytes:
        head = self._heads.get(channel)
        if head is None:
            head = self._heads[channel] = notification_head(channel)
        return head + body + b"}}"

    def first_messages(self, names: Sequence[str], time_ms: int) -> list[tuple[str, bytes]]:
        """Return (channel, frame) of what follows a subscription: tickers, then book snapshots."""
        parsed = [channel for channel in map(parse_channel, names) if channel is not None]
        wanted = [c.subject for c in parsed if c.kind in {"ticker", "quote", "book"}]
        tickers: dict[str, TickerData] = {}
        for feed in self.feeds.values():
            tickers.update(feed.snapshot(wanted, time_ms))
        frames: list[tuple[str, bytes]] = []
        books: list[tuple[str, bytes]] = []
        for channel in parsed:
            name = channel.name
            if channel.kind == "ticker":
                frames.append((name, self.notification(name, tickers[channel.subject])))
            elif channel.kind == "quote":
                frames.append((name, self.notification(name, _quote(tickers[channel.subject]))))
            elif channel.kind == "book":
                books.append((name, self._book_snapshot(channel, tickers[channel.subject])))
            elif channel.kind == "markprice.options":
                frames.append(
                    (name, self.notification(name, self._marks(channel.subject, time_ms)))
                )
            elif channel.kind.startswith("deribit_"):
                data = self._index_data(channel.kind, channel.subject, time_ms)
                frames.append((name, self.notification(name, data)))
        return frames + books

    def _index_data(self, kind: str, index_name: str, time_ms: int) -> dict[str, Any]:
        market = self._market_of_index(index_name)
        if market is None:
            raise RpcError(13020, "not_found")
        if kind == "deribit_price_index":
            price = float(market.index_price(time_ms)[0])
            return {"timestamp": time_ms, "price": price, "index_name": index_name}
        variance = market.surface(time_ms).swap_variance(_THIRTY_DAYS_YEARS)
        vol = round(100.0 * float(np.sqrt(variance)[0]), 2)
        return {"timestamp": time_ms, "volatility": vol, "index_name": index_name}

    def _marks(self, index_name: str, time_ms: int) -> list[dict[str, Any]]:
        """Return the marks of all options on an index, as coarse as the exchange writes them."""
        market = self._market_of_index(index_name)
        if market is None:
            raise RpcError(13020, "not_found")
        feed = self.feeds[market.currency]
        rows = np.arange(len(feed.board.names))
        return [
            {
                "timestamp": time_ms,
                "iv": round(ticker.mark_iv / 100, 4),
                "instrument_name": ticker.instrument_name,
                "mark_price": round(ticker.mark_price, 4),
            }
            for ticker in feed.source.options(rows, np.full(rows.size, time_ms))
        ]

    def _say_marks(self, currency: str, time_ms: int, publisher: Publisher) -> None:
        """Say the marks that changed, and the interest of the perpetual."""
        channel = f"markprice.options.{self.markets[currency].specification.index_name}"
        if publisher.has_subscribers(channel):
            said = self._marks_said.setdefault(channel, {})
            changed = []
            for mark in self._marks(self.markets[currency].specification.index_name, time_ms):
                values = (mark["iv"], mark["mark_price"])
                if said.get(mark["instrument_name"]) != values:
                    said[mark["instrument_name"]] = values
                    changed.append(mark)
            if changed:
                publisher.publish(channel, self.notification(channel, changed))
        name = f"{currency}-PERPETUAL"
        for interval in ("raw", "100ms", "agg2"):
            channel = f"perpetual.{name}.{interval}"
            if publisher.has_subscribers(channel):
                price = float(self.markets[currency].index_price(time_ms)[0])
                data = {"timestamp": time_ms, "interest": 2.203e-05, "index_price": price}
                publisher.publish(channel, self.notification(channel, data))

    def _book_snapshot(self, channel: Channel, ticker: TickerData) -> bytes:
        bids, asks, change_id = self.book(ticker)
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

    def step(self, currency: str, time_ms: int, publisher: Publisher) -> None:
        """Say everything that one step of one currency has to say."""
        feed = self.feeds[currency]
        roll = feed.roll(time_ms)
        if roll is not None:
            self._announce_roll(roll, time_ms, publisher)
        for ticker in feed.step(time_ms):
            self._say_ticker(ticker, time_ms, publisher)
        if time_ms % _AGG2_MS < feed.step_ms:
            self._say_aggregated(publisher)
        if time_ms % _INDEX_MS < feed.step_ms:
            name = feed.market.specification.index_name
            for kind in ("deribit_price_index", "deribit_volatility_index"):
                channel = f"{kind}.{name}"
                if publisher.has_subscribers(channel):
                    data = self._index_data(kind, name, time_ms)
                    publisher.publish(channel, self.notification(channel, data))
            self._say_marks(currency, time_ms, publisher)
        before_ms = time_ms - feed.step_ms
        if roll is None:
            trades: Iterable[Trade] = trades_between(feed.source, before_ms, time_ms)
        else:  # of the step's two boards
            trades = self.trades(currency, before_ms + 1, time_ms)
        for trade in trades:
            self._say_trade(currency, trade, publisher)

    def _say_ticker(self, ticker: TickerData, time_ms: int, publisher: Publisher) -> None:
        name = ticker.instrument_name
        body: bytes | None = None
        for interval in _FAST_INTERVALS:
            channel = f"ticker.{name}.{interval}"
            if publisher.has_subscribers(channel):
                body = body or encode(ticker)
                publisher.publish(channel, self._frame(channel, body))
        if publisher.has_subscribers(f"ticker.{name}.agg2"):
            self._aggregated[name] = ticker
        channel = f"quote.{name}"
        if publisher.has_subscribers(channel):
            publisher.publish(channel, self.notification(channel, _quote(ticker)))
        for interval in ("raw", "100ms", "agg2"):
            channel = f"book.{name}.{interval}"
            if channel in self._books and publisher.has_subscribers(channel):
                self._say_book(channel, ticker, time_ms, publisher)

    def _say_aggregated(self, publisher: Publisher) -> None:
        waiting, self._aggregated = self._aggregated, {}
        for name, ticker in waiting.items():
            channel = f"ticker.{name}.agg2"
            publisher.publish(channel, self.notification(channel, ticker))

    def _say_book(
        self, channel: str, ticker: TickerData, time_ms: int, publisher: Publisher
    ) -> None:
        bids, asks, change_id = self.book(ticker)
        state = self._books[channel]
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
        publisher.publish(channel, self.notification(channel, data))

    def _say_trade(self, currency: str, trade: Trade, publisher: Publisher) -> None:
        name = trade["instrument_name"]
        kind = "option" if "iv" in trade else "future"
        for subject in (name, *_scopes(kind, self.markets[currency].settlement)):
            for interval in ("raw", "100ms", "agg2"):
                channel = f"trades.{subject}.{interval}"
                if publisher.has_subscribers(channel):
                    publisher.publish(channel, self.notification(channel, [trade]))

    def _announce_roll(self, roll: Roll, time_ms: int, publisher: Publisher) -> None:
        for ticker in roll.last_tickers:
            self._say_ticker(ticker, time_ms, publisher)
        before = _kinds(roll.ended.names, (future.name for future in roll.ended.futures))
        after = _kinds(roll.began.names, (future.name for future in roll.began.futures))
        changes = [(name, kind, "closed") for name, kind in before.items() if name not in after]
        changes += [(name, kind, "created") for name, kind in after.items() if name not in before]
        for name, kind, state in changes:
            data = {"instrument_name": name, "state": state, "timestamp": time_ms}
            for scope in _scopes(kind, self.markets[roll.began.currency].settlement):
                channel = f"instrument.state.{scope}"
                if publisher.has_subscribers(channel):
                    publisher.publish(channel, self.notification(channel, data))


def _scopes(kind: str, currency: str) -> list[str]:
    return [f"{k}.{c}" for k in (kind, "any") for c in (currency, "any")]


def _kinds(options: Iterable[str], futures: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(options, "option") | dict.fromkeys(futures, "future")


def _quote(ticker: TickerData) -> dict[str, Any]:
    return {
        "timestamp": ticker.timestamp,
        "instrument_name": ticker.instrument_name,
        "best_ask_price": ticker.best_ask_price,
        "best_bid_price": ticker.best_bid_price,
        "best_ask_amount": ticker.best_ask_amount,
        "best_bid_amount": ticker.best_bid_amount,
    }
