"""Methods that answer market data."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import merge
from itertools import islice
from typing import Any

import numpy as np

from vol_platform.simulator.exchange.calls import (
    Method,
    Parameters,
    Request,
    currencies,
    flag,
    integer,
    kind_of,
    text,
)
from vol_platform.simulator.exchange.errors import RpcError, invalid_params
from vol_platform.simulator.market.board import instrument_rows
from vol_platform.simulator.market.market import Market
from vol_platform.simulator.market.trades import Trade, sequence_window
from vol_platform.simulator.market.wire import TickerData, plain

__all__ = ["MARKET_METHODS"]

_DEPTHS = (1, 5, 10, 20, 50, 100, 1000, 10000)
_MAXIMUM_TRADES = 1000
_TRADE_HISTORY_MS = 86_400_000
"""The main host only answers trades of the last day; older ranges are empty without an error;
`include_old`, which is for the history host, lifts the limit."""
_LARGEST_SEQUENCE = 2**63 - 1


def _get_instruments(request: Request) -> Any:
    kind = kind_of(request.params)
    exchange = request.exchange
    expired = flag(request.params, "expired")
    rows: list[dict[str, Any]] = []
    if exchange.playback is not None:
        if not expired:
            rows = exchange.playback.instruments(text(request.params, "currency").upper())
    else:
        now = exchange.now_ms()
        for currency in currencies(request):
            rows += exchange.venue.instruments(currency, now, expired=expired)
    return [row for row in rows if kind in {"any", row["kind"]}]


def _get_instrument(request: Request) -> Any:
    name = text(request.params, "instrument_name")
    for feed in request.exchange.venue.feeds.values():
        for row in instrument_rows(feed.market, feed.board, request.exchange.now_ms()):
            if row["instrument_name"] == name:
                return row
    raise RpcError(13020, "not_found", {"reason": "instrument not found"})


def _ticker_of(request: Request) -> TickerData:
    name = text(request.params, "instrument_name")
    return request.exchange.venue.ticker(name, request.exchange.now_ms())


def _ticker(request: Request) -> Any:
    return plain(_ticker_of(request))


def _get_order_book(request: Request) -> Any:
    depth = integer(request.params, "depth", 5)
    if depth not in _DEPTHS:
        raise invalid_params("depth", f"must be one of {', '.join(map(str, _DEPTHS))}")
    ticker = _ticker_of(request)
    bids, asks, change_id = request.exchange.venue.book(ticker)
    fields = plain(ticker)
    return fields | {"bids": bids[:depth], "asks": asks[:depth], "change_id": change_id}


def _get_book_summary(request: Request) -> Any:
    kind = kind_of(request.params)
    now = request.exchange.now_ms()
    result: list[dict[str, Any]] = []
    for currency in currencies(request):
        feed = request.exchange.venue.feeds[currency]
        if kind in {"any", "option"}:
            rows = np.arange(len(feed.board.names))
            options = feed.source.options(rows, np.full(rows.size, now))
            result += [_summary(plain(each), feed.market, now, is_option=True) for each in options]
        if kind in {"any", "future"}:
            names = [future.name for future in feed.board.futures]
            futures = feed.source.futures(names, now)
            result += [_summary(plain(each), feed.market, now, is_option=False) for each in futures]
    return result


def _summary(ticker: Parameters, market: Market, now: int, *, is_option: bool) -> Parameters:
    bid = ticker["best_bid_price"] or None
    ask = ticker["best_ask_price"] or None
    stats = ticker["stats"]
    summary = {
        "high": stats["high"],
        "low": stats["low"],
        "last": ticker["last_price"],
        "instrument_name": ticker["instrument_name"],
        "bid_price": bid,
        "ask_price": ask,
        "open_interest": ticker["open_interest"],
        "mark_price": ticker["mark_price"],
        "creation_timestamp": now,
        "price_change": stats["price_change"],
        "volume": stats["volume"],
        "estimated_delivery_price": ticker["estimated_delivery_price"],
        "base_currency": market.coin,
        "quote_currency": market.settlement if is_option or market.is_linear else "USD",
        "volume_usd": stats["volume_usd"],
        "mid_price": round((bid + ask) / 2, 8) if bid and ask else None,
    }
    if is_option:
        for name in ("mark_iv", "underlying_price", "underlying_index", "interest_rate"):
            summary[name] = ticker[name]
    else:
        for name in ("current_funding", "funding_8h"):
            if name in ticker:
                summary[name] = ticker[name]
    return summary


def _get_index_price(request: Request) -> Any:
    name = text(request.params, "index_name")
    for market in request.exchange.venue.markets.values():
        if market.specification.index_name == name:
            price = float(market.index_price(request.exchange.now_ms())[0])
            return {"index_price": price, "estimated_delivery_price": price}
    raise invalid_params("index_name", "invalid index name")


def _get_expirations(request: Request) -> Any:
    kind = kind_of(request.params)
    answer: dict[str, dict[str, list[str]]] = {}
    for currency in currencies(request):
        feed = request.exchange.venue.feeds[currency]
        options = list(dict.fromkeys(name.split("-")[1] for name in feed.board.names))
        futures = [
            future.name.split("-")[1]
            for future in feed.board.open_futures(request.exchange.now_ms())
        ]
        lists = {"option": options, "future": futures}
        answer[currency.lower()] = {k: v for k, v in lists.items() if kind in {"any", k}}
    return answer


def _trades_page(request: Request, trades: Iterable[Trade]) -> Any:
    """Return a page of trades, oldest first by default, and whether there are more."""
    params = request.params
    count = min(max(integer(params, "count", 10), 1), _MAXIMUM_TRADES)
    sorting = text(params, "sorting", "default")
    if sorting not in {"asc", "desc", "default"}:
        raise invalid_params("sorting", "must be asc, desc or default")
    first, last = integer(params, "start_seq", 0), integer(params, "end_seq", _LARGEST_SEQUENCE)
    trades = (trade for trade in trades if first <= trade["trade_seq"] <= last)
    page = list(trades)[::-1] if sorting == "desc" else list(islice(trades, count + 1))
    return {"trades": page[:count], "has_more": len(page) > count}


def _trade_window(request: Request) -> tuple[int, int]:
    """Return the times a call may see: without `include_old` the last day alone."""
    now = request.exchange.now_ms()
    day_ago = now - _TRADE_HISTORY_MS
    start = integer(request.params, "start_timestamp", day_ago)
    if not flag(request.params, "include_old"):
        start = max(start, day_ago)
    return start, min(integer(request.params, "end_timestamp", now), now)


def _trades_by_currency(request: Request) -> Any:
    kind = kind_of(request.params)
    start, end = _trade_window(request)
    venue = request.exchange.venue
    streams = [venue.trades(each, start, end, kind=kind) for each in currencies(request)]
    return _trades_page(request, merge(*streams, key=_trade_time))


def _trade_time(trade: Trade) -> int:
    return int(trade["timestamp"])


def _trades_by_instrument(request: Request) -> Any:
    params = request.params
    name = text(params, "instrument_name")
    currency = name.split("-", 1)[0]
    market = request.exchange.venue.markets.get(currency)
    if market is None:
        raise RpcError(10020, "invalid_or_unsupported_instrument")
    start, end = _trade_window(request)
    if "start_seq" in params and "end_seq" in params:
        # Only the times in which these can have happened: a day of a board is a lot of work.
        first, last = integer(params, "start_seq"), integer(params, "end_seq")
        after, until = sequence_window(market, name, first, last)
        if flag(params, "include_old") and "start_timestamp" not in params:
            start = after
        start, end = max(start, after), min(end, until)
    return _trades_page(request, request.exchange.venue.trades(currency, start, end, only=name))


MARKET_METHODS: dict[str, Method] = {
    "public/get_instruments": _get_instruments,
    "public/get_instrument": _get_instrument,
    "public/ticker": _ticker,
    "public/get_order_book": _get_order_book,
    "public/get_book_summary_by_currency": _get_book_summary,
    "public/get_index_price": _get_index_price,
    "public/get_expirations": _get_expirations,
    "public/get_last_trades_by_currency": _trades_by_currency,
    "public/get_last_trades_by_currency_and_time": _trades_by_currency,
    "public/get_last_trades_by_instrument": _trades_by_instrument,
    "public/get_last_trades_by_instrument_and_time": _trades_by_instrument,
}
