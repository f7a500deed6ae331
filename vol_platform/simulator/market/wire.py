"""Frames as the exchange writes them: field sets, key order, number formats.

An option ticker has the key order of recorded frames.  Keys that a state of the market does not
have are left out (`UNSET`), numbers that the exchange prints as null are null, and whole floats
keep their ``.0``.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

__all__ = [
    "FutureTicker",
    "GreeksFields",
    "OptionTicker",
    "Statistics",
    "TickerData",
    "encode",
    "heartbeat",
    "notification_head",
]

_encoder = msgspec.json.Encoder()
encode = _encoder.encode
"""JSON bytes of a structure."""


class Statistics(msgspec.Struct):
    """The last 24 hours of an instrument."""

    volume_usd: float
    volume: float
    price_change: float | None
    low: float | None
    high: float | None


class FutureStatistics(msgspec.Struct):
    """The last 24 hours of a future; `volume_notional` is printed too."""

    volume_notional: float
    volume_usd: float
    volume: float
    price_change: float | None
    low: float | None
    high: float | None


class GreeksFields(msgspec.Struct):
    """Greeks of an option, five decimals."""

    vega: float
    theta: float
    rho: float
    gamma: float
    delta: float


class OptionTicker(msgspec.Struct):
    """`data` of an option ticker."""

    underlying_price: float
    underlying_index: str
    timestamp: int
    stats: Statistics
    state: str
    settlement_price: float | UnsetType
    open_interest: float
    min_price: float
    max_price: float
    mark_price: float
    mark_iv: float
    last_price: float | None
    interest_rate: float
    instrument_name: str
    index_price: float
    greeks: GreeksFields
    estimated_delivery_price: float | str
    bid_iv: float
    best_bid_price: float
    best_bid_amount: float
    best_ask_price: float
    best_ask_amount: float
    ask_iv: float
    delivery_price: float | UnsetType = UNSET


class FutureTicker(msgspec.Struct):
    """`data` of a future's or the perpetual's ticker; only the perpetual has the funding fields."""

    timestamp: int
    stats: FutureStatistics
    state: str
    settlement_price: float | UnsetType
    open_interest: float
    min_price: float
    max_price: float
    mark_price: float
    last_price: float | None
    instrument_name: str
    index_price: float
    estimated_delivery_price: float | str
    best_bid_price: float
    best_bid_amount: float
    best_ask_price: float
    best_ask_amount: float
    interest_value: float | UnsetType = UNSET
    current_funding: float | UnsetType = UNSET
    funding_8h: float | UnsetType = UNSET
    delivery_price: float | UnsetType = UNSET


TickerData = OptionTicker | FutureTicker


def notification_head(channel: str) -> bytes:
    """Return the bytes of a notification up to its data; close it with ``}}``."""
    return (
        b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":'
        + encode(channel)
        + b',"data":'
    )


def heartbeat(kind: str) -> bytes:
    """Return a heartbeat frame; `kind` is ``heartbeat`` or ``test_request``."""
    return encode({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": kind}})


def plain(structure: TickerData) -> dict[str, Any]:
    """Return a structure as a dictionary without its unset keys."""
    result: dict[str, Any] = msgspec.to_builtins(structure)
    return result
