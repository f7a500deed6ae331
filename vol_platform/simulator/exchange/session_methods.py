"""Methods of a session: heartbeat, authentication, subscriptions."""

from __future__ import annotations

from typing import Any

from vol_platform.clock import monotonic_seconds
from vol_platform.simulator.exchange.calls import (
    Method,
    Parameters,
    Request,
    integer,
    socket_of,
    text,
)
from vol_platform.simulator.exchange.channels import Channel, parse_channel
from vol_platform.simulator.exchange.errors import RpcError, invalid_params

__all__ = ["SESSION_METHODS"]

VERSION = {"version": "1.2.26"}
_MAXIMUM_CHANNELS = 500
_MINIMUM_HEARTBEAT_SECONDS = 10


def _test(request: Request) -> Any:
    if request.params.get("expected_result") == "exception":
        raise RpcError(11094, "internal_server_error")
    if request.connection is not None:
        request.connection.answered()
    return VERSION


def _hello(request: Request) -> Any:
    text(request.params, "client_name")
    text(request.params, "client_version")
    return VERSION


def _get_time(request: Request) -> Any:
    return request.exchange.now_ms() + request.exchange.chaos.timestamp_offset_ms


def _status(request: Request) -> Any:
    if request.exchange.chaos.maintenance:
        return {
            "locked": "true",
            "locked_indices": [
                m.specification.index_name for m in request.exchange.venue.markets.values()
            ],
        }
    return {"locked": "false", "locked_indices": []}


def _set_heartbeat(request: Request) -> Any:
    interval = integer(request.params, "interval")
    if interval < _MINIMUM_HEARTBEAT_SECONDS:
        raise invalid_params("interval", f"must be at least {_MINIMUM_HEARTBEAT_SECONDS}")
    socket_of(request.connection).set_heartbeat(float(interval))
    return "ok"


def _disable_heartbeat(request: Request) -> Any:
    socket_of(request.connection).disable_heartbeat()
    return "ok"


def _auth(request: Request) -> Any:
    grant = text(request.params, "grant_type")
    exchange, socket = request.exchange, request.connection
    options = exchange.options
    if grant == "client_credentials":
        given = (text(request.params, "client_id"), text(request.params, "client_secret"))
        if given != (options.client_id, options.client_secret):
            raise RpcError(13004, "invalid_credentials")
    elif grant == "refresh_token":
        token = text(request.params, "refresh_token")
        if socket is None or not token or token != socket.refresh_token:
            raise RpcError(13004, "invalid_credentials")
    else:
        raise invalid_params("grant_type", "must be client_credentials or refresh_token")
    exchange.logins.append(grant)
    refresh_token = f"simulated-refresh-token-{len(exchange.logins)}"
    if socket is not None:
        socket.login_ends = monotonic_seconds() + options.login_seconds
        socket.refresh_token = refresh_token
    return {
        "access_token": "simulated-access-token",
        "expires_in": options.login_seconds,
        "refresh_token": refresh_token,
        "scope": "request.connection mainaccount",
        "enabled_features": [],
        "token_type": "bearer",
        "sid": "simulated",
    }


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
    socket = socket_of(request.connection)
    parsed = [parse_channel(name) for name in _channel_names(request.params)]
    known: list[Channel] = [channel for channel in parsed if channel is not None]
    if not socket.authenticated and any(channel.needs_authentication for channel in known):
        raise RpcError(13778, "raw_subscriptions_not_available_for_unauthorized")
    return request.exchange.subscribe(socket, known)


def _private_subscribe(request: Request) -> Any:
    socket = socket_of(request.connection)
    if not socket.authenticated and request.params.get("access_token") != "simulated-access-token":
        raise RpcError(13009, "unauthorized", {"reason": "invalid_token", "param": "access_token"})
    socket.login_ends = monotonic_seconds() + request.exchange.options.login_seconds
    return _subscribe(request)


def _unsubscribe(request: Request) -> Any:
    return request.exchange.unsubscribe(
        socket_of(request.connection), _channel_names(request.params)
    )


def _unsubscribe_all(request: Request) -> Any:
    socket = socket_of(request.connection)
    request.exchange.unsubscribe(socket, list(socket.channels))
    return "ok"


SESSION_METHODS: dict[str, Method] = {
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
}
