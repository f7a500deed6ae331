"""Rows of the exchange's past as they stand in JSON between pager and table.

Prices and volatilities are in the units of the wire: USD, and percent.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["ROW_TYPES", "Candle", "Delivery", "Funding", "IndexPoint", "VolatilityCandle"]


class Candle(Struct, gc=False):
    """A candle of the trades of an instrument."""

    instrument_name: str
    resolution_seconds: int
    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float | None = None
    cost: float | None = None


class VolatilityCandle(Struct, gc=False):
    """A candle of a volatility index, percent."""

    index_name: str
    resolution_seconds: int
    timestamp: int
    open: float
    high: float
    low: float
    close: float


class Funding(Struct, gc=False):
    """The funding of a perpetual in one hour."""

    instrument_name: str
    timestamp: int
    index_price: float | None = None
    prev_index_price: float | None = None
    interest_8h: float | None = None
    interest_1h: float | None = None


class Delivery(Struct, gc=False):
    """The price on which an expiry was settled."""

    index_name: str
    timestamp: int
    delivery_price: float


class IndexPoint(Struct, gc=False):
    """A price index at a moment."""

    index_name: str
    timestamp: int
    price: float


ROW_TYPES: dict[str, type[Struct]] = {
    "candles": Candle,
    "volatility_index_candles": VolatilityCandle,
    "funding_rates": Funding,
    "delivery_prices": Delivery,
    "spot_prices": IndexPoint,
}
"""Type of the rows of every table but ``trades``, whose rows are as on the wire."""
