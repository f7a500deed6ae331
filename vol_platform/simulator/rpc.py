"""The exchange's methods: parameters in, result out, Deribit's errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vol_platform.simulator.board import instrument_rows
from vol_platform.simulator.channels import Channel, parse_channel
from vol_platform.simulator.connection import Connection
from vol_platform.simulator.errors import RpcError, invalid_params, method_not_found
from vol_platform.simulator.market import CURRENCIES
from vol_platform.simulator.wire import plain

if TYPE_CHECKING:
    from vol_platform.simulator.exchange import Exchange

__all__ = ["METHODS", "Parameters", "Request", "answer"]

Parameters = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A call: its parameters, and the session it came in (None for plain HTTP)."""

    exchange: Exchange
    connection: Connection | None
    params: Parameters


Method = Callable[[Request], Any]

VERSION = {"version": "1.2.26"}
_MAXIMUM_CHANNELS = 500
_MINIMUM_HEARTBEAT_SECONDS = 10
_KINDS = ("option", "future", "spot", "future_combo", "option_combo", "any")
_DEPTHS = (1, 5, 10, 20, 50, 100, 1000, 10000)


def answer(exchange: Exchange, connection: Connection | None, method: str, params: Any) -> Any:
    """Return the result of a call.

    Raises
    ------
    RpcError
        The call is refused.
    """
    handler = METHODS.get(method)
    if handler is None:
        raise method_not_found()
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise RpcError(-32600, "Invalid Request", {"reason": "params must be an object"})
    return handler(Request(exchange, connection, params))


def _text(params: Parameters, name: str, default: str | None = None) -> str:
    value = params.get(name, default)
    if value is None:
        raise invalid_params(name, "value required")
    if not isinstance(value, str):
        raise invalid_params(name, "value must be a string")
    return value


def _integer(params: Parameters, name: str, default: int | None = None) -> int:
    value = params.get(name, default)
    if value is None:
        raise invalid_params(name, "value required")
    try:
        return int(value)
    except (TypeError, ValueError):
        raise invalid_params(name, "value must be an integer") from None


def _flag(params: Parameters, name: str) -> bool:
    value = params.get(name, False)
    if isinstance(value, str):
        return value.lower() == "true"
    return bool(value)


def _currencies(exchange: Exchange, params: Parameters) -> list[str]:
    currency = _text(params, "currency").upper()
    if currency == "ANY":
        return list(exchange.feeds)
    if currency not in {*CURRENCIES, "USDC", "USDT", "EURR", "SOL"}:
        raise invalid_params("currency", "invalid currency")
    return [currency] if currency in exchange.feeds else []


def _kind(params: Parameters) -> str:
    kind = _text(params, "kind", "any")
    if kind not in _KINDS:
        raise invalid_params("kind", f"must be one of {', '.join(_KINDS)}")
    return kind


# ------------------------------------------------------------------ session


def _test(request: Request) -> Any:
    if request.params.get("expected_result") == "exception":
        raise RpcError(11094, "internal_server_error")
    if request.connection is not None:
        request.connection.answered()
    return VERSION


def _hello(request: Request) -> Any:
    _text(request.params, "client_name")
    _text(request.params, "client_version")
    return VERSION


def _get_time(request: Request) -> Any:
    return request.exchange.now_ms()


def _status(request: Request) -> Any:
    if request.exchange.chaos.maintenance:
        return {
            "locked": "true",
            "locked_indices": [
                m.specification.index_name for m in request.exchange.markets.values()
            ],
        }
    return {"locked": "false", "locked_indices": []}


def _socket(connection: Connection | None) -> Connection:
    if connection is None:
        raise RpcError(10030, "must_be_websocket_request")
    return connection


def _set_heartbeat(request: Request) -> Any:
    interval = _integer(request.params, "interval")
    if interval < _MINIMUM_HEARTBEAT_SECONDS:
        raise invalid_params("interval", f"must be at least {_MINIMUM_HEARTBEAT_SECONDS}")
    _socket(request.connection).set_heartbeat(float(interval))
    return "ok"


def _disable_heartbeat(request: Request) -> Any:
    _socket(request.connection).disable_heartbeat()
    return "ok"


def _auth(request: Request) -> Any:
    grant = _text(request.params, "grant_type")
    options = request.exchange.options
    if grant == "client_credentials":
        given = (_text(request.params, "client_id"), _text(request.params, "client_secret"))
        if given != (options.client_id, options.client_secret):
            raise RpcError(13004, "invalid_credentials")
    elif grant == "refresh_token":
        if _text(request.params, "refresh_token") != "simulated-refresh-token":
            raise RpcError(13004, "invalid_credentials")
    else:
        raise invalid_params("grant_type", "must be client_credentials or refresh_token")
    if request.connection is not None:
        request.connection.authenticated = True
    return {
        "access_token": "simulated-access-token",
        "expires_in": 900,
        "refresh_token": "simulated-refresh-token",
        "scope": "request.connection mainaccount",
        "enabled_features": [],
        "token_type": "bearer",
        "sid": "simulated",
    }


# ------------------------------------------------------------- subscriptions


def _channel_names(params: Parameters) -> list[str]:
    names = params.get("channels")
    if not isinstance(names, list):
        raise invalid_params("channels", "value must be a list")
    if not all(isinstance(name, str) for name in names):
        raise invalid_params("channels", "every channel must be a string")
    if len(names) > _MAXIMUM_CHANNELS:
        raise RpcError(-32600, "request entity too large")
    return names


def _subscribe(request: Request) -> Any:
    socket = _socket(request.connection)
    parsed = [parse_channel(name) for name in _channel_names(request.params)]
    known: list[Channel] = [channel for channel in parsed if channel is not None]
    if not socket.authenticated and any(channel.needs_authentication for channel in known):
        raise RpcError(13778, "raw_subscriptions_not_available_for_unauthorized")
    return request.exchange.subscribe(socket, known)


def _private_subscribe(request: Request) -> Any:
    socket = _socket(request.connection)
    if not socket.authenticated and request.params.get("access_token") != "simulated-access-token":
        raise RpcError(13009, "unauthorized", {"reason": "invalid_token", "param": "access_token"})
    socket.authenticated = True
    return _subscribe(request)


def _unsubscribe(request: Request) -> Any:
    return request.exchange.unsubscribe(_socket(request.connection), _channel_names(request.params))


def _unsubscribe_all(request: Request) -> Any:
    socket = _socket(request.connection)
    request.exchange.unsubscribe(socket, list(socket.channels))
    return "ok"


# --------------------------------------------------------------- market data


def _get_instruments(request: Request) -> Any:
    kind = _kind(request.params)
    now = request.exchange.now_ms()
    rows: list[dict[str, Any]] = []
    for currency in _currencies(request.exchange, request.params):
        feed = request.exchange.feeds[currency]
        if _flag(request.params, "expired"):
            rows += request.exchange.expired_rows(currency)
        else:
            rows += instrument_rows(feed.market, feed.board, now)
    return [row for row in rows if kind in {"any", row["kind"]}]


def _get_instrument(request: Request) -> Any:
    name = _text(request.params, "instrument_name")
    for feed in request.exchange.feeds.values():
        for row in instrument_rows(feed.market, feed.board, request.exchange.now_ms()):
            if row["instrument_name"] == name:
                return row
    raise RpcError(13020, "not_found", {"reason": "instrument not found"})


def _ticker(request: Request) -> Any:
    return plain(request.exchange.ticker(_text(request.params, "instrument_name")))


def _get_order_book(request: Request) -> Any:
    depth = _integer(request.params, "depth", 5)
    if depth not in _DEPTHS:
        raise invalid_params("depth", f"must be one of {', '.join(map(str, _DEPTHS))}")
    name = _text(request.params, "instrument_name")
    ticker = request.exchange.ticker(name)
    bids, asks, change_id = request.exchange.book(name, ticker)
    fields = plain(ticker)
    return fields | {"bids": bids[:depth], "asks": asks[:depth], "change_id": change_id}


def _get_book_summary(request: Request) -> Any:
    kind = _kind(request.params)
    now = request.exchange.now_ms()
    result: list[dict[str, Any]] = []
    for currency in _currencies(request.exchange, request.params):
        feed = request.exchange.feeds[currency]
        if kind in {"any", "option"}:
            rows = np.arange(len(feed.board.names))
            options = feed.source.options(rows, np.full(rows.size, now))
            result += [_summary(plain(each), currency, now, is_option=True) for each in options]
        if kind in {"any", "future"}:
            names = [future.name for future in feed.board.futures]
            futures = feed.source.futures(names, now)
            result += [_summary(plain(each), currency, now, is_option=False) for each in futures]
    return result


def _summary(ticker: Parameters, currency: str, now: int, *, is_option: bool) -> Parameters:
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
        "base_currency": currency,
        "quote_currency": currency if is_option else "USD",
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
    name = _text(request.params, "index_name")
    for market in request.exchange.markets.values():
        if market.specification.index_name == name:
            price = float(market.index_price(request.exchange.now_ms())[0])
            return {"index_price": price, "estimated_delivery_price": price}
    raise invalid_params("index_name", "invalid index name")


def _get_expirations(request: Request) -> Any:
    kind = _kind(request.params)
    answer: dict[str, dict[str, list[str]]] = {}
    for currency in _currencies(request.exchange, request.params):
        feed = request.exchange.feeds[currency]
        options = list(dict.fromkeys(name.split("-")[1] for name in feed.board.names))
        futures = [
            future.name.split("-")[1]
            for future in feed.board.open_futures(request.exchange.now_ms())
        ]
        lists = {"option": options, "future": futures}
        answer[currency.lower()] = {k: v for k, v in lists.items() if kind in {"any", k}}
    return answer


METHODS: dict[str, Method] = {
    "public/test": _test,
    "public/hello": _hello,
    "public/get_time": _get_time,
    "public/status": _status,
    "public/set_heartbeat": _set_heartbeat,
    "public/disable_heartbeat": _disable_heartbeat,
    "public/auth": _auth,
    "public/subscribe": _subscribe,
    "private/subscribe": _private_subscribe,
    "public/unsubscribe": _unsubscribe,
    "private/unsubscribe": _unsubscribe,
    "public/unsubscribe_all": _unsubscribe_all,
    "private/unsubscribe_all": _unsubscribe_all,
    "public/get_instruments": _get_instruments,
    "public/get_instrument": _get_instrument,
    "public/ticker": _ticker,
    "public/get_order_book": _get_order_book,
    "public/get_book_summary_by_currency": _get_book_summary,
    "public/get_index_price": _get_index_price,
    "public/get_expirations": _get_expirations,
}
