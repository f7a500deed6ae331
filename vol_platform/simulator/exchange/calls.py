"""What a call is, and how its parameters are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vol_platform.simulator.exchange.channels import Channel
from vol_platform.simulator.exchange.connection import Connection
from vol_platform.simulator.exchange.errors import RpcError, invalid_params
from vol_platform.simulator.exchange.options import ChaosOptions, ExchangeOptions
from vol_platform.simulator.exchange.playback import Playback
from vol_platform.simulator.exchange.venue import Venue
from vol_platform.simulator.market.market import CURRENCIES

__all__ = [
    "Method",
    "Parameters",
    "Request",
    "Service",
    "currencies",
    "flag",
    "integer",
    "kind_of",
    "socket_of",
    "text",
]

Parameters = dict[str, Any]

_KINDS = ("option", "future", "spot", "future_combo", "option_combo", "any")
_OTHER_CURRENCIES = frozenset({"USDC", "USDT", "EURR", "SOL"})


class Service(Protocol):
    """What a call may ask of the exchange."""

    options: ExchangeOptions
    chaos: ChaosOptions
    venue: Venue
    playback: Playback | None
    logins: list[str]

    def now_ms(self) -> int:
        """Return the simulated time in milliseconds."""

    def subscribe(self, connection: Connection, channels: Sequence[Channel]) -> list[str]:
        """Subscribe to the channels that exist and return their names."""

    def unsubscribe(self, connection: Connection, names: Sequence[str]) -> list[str]:
        """Unsubscribe and return the names that were subscribed."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call: its parameters, and the session it came in (None for plain HTTP)."""

    exchange: Service
    connection: Connection | None
    params: Parameters


Method = Callable[[Request], Any]


def text(params: Parameters, name: str, default: str | None = None) -> str:
    """Return a required (or defaulted) string."""
    value = params.get(name, default)
    if value is None:
        raise invalid_params(name, "value required")
    if not isinstance(value, str):
        raise invalid_params(name, "value must be a string")
    return value


def integer(params: Parameters, name: str, default: int | None = None) -> int:
    """Return a required (or defaulted) integer; numbers in text are taken."""
    value = params.get(name, default)
    if value is None:
        raise invalid_params(name, "value required")
    try:
        return int(value)
    except (TypeError, ValueError):
        raise invalid_params(name, "value must be an integer") from None


def flag(params: Parameters, name: str) -> bool:
    """Return a boolean that is false when left out."""
    value = params.get(name, False)
    if isinstance(value, str):
        return value.lower() == "true"
    return bool(value)


def currencies(request: Request) -> list[str]:
    """Return the currencies a call is about that are simulated; an unknown one is an error."""
    currency = text(request.params, "currency").upper()
    if currency == "ANY":
        return list(request.exchange.venue.feeds)
    if currency not in {*CURRENCIES, *_OTHER_CURRENCIES}:
        raise invalid_params("currency", "invalid currency")
    markets = request.exchange.venue.markets
    return [name for name, market in markets.items() if market.settlement == currency]


def kind_of(params: Parameters) -> str:
    """Return the kind of instrument asked for, ``any`` by default."""
    kind = text(params, "kind", "any")
    if kind not in _KINDS:
        raise invalid_params("kind", f"must be one of {', '.join(_KINDS)}")
    return kind


def socket_of(connection: Connection | None) -> Connection:
    """Return the session, or refuse plain HTTP with 10030."""
    if connection is None:
        raise RpcError(10030, "must_be_websocket_request")
    return connection
