"""Finds the method of a call."""

from __future__ import annotations

from typing import Any

from vol_platform.simulator.exchange.calls import Method, Request, Service
from vol_platform.simulator.exchange.connection import Connection
from vol_platform.simulator.exchange.errors import RpcError, method_not_found
from vol_platform.simulator.exchange.market_methods import MARKET_METHODS
from vol_platform.simulator.exchange.past_methods import PAST_METHODS
from vol_platform.simulator.exchange.session_methods import SESSION_METHODS

__all__ = ["METHODS", "answer"]

METHODS: dict[str, Method] = SESSION_METHODS | MARKET_METHODS | PAST_METHODS


def answer(exchange: Service, connection: Connection | None, method: str, params: Any) -> Any:
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
