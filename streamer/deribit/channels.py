"""Channel names: what each family of channels carries and how soon it must speak."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache

__all__ = ["Family", "family_of", "instrument_of", "repeats", "speaks_at_once"]


class Family(StrEnum):
    """What the frames of a channel are."""

    TICKER = "ticker"
    QUOTE = "quote"
    BOOK = "book"
    GROUPED_BOOK = "grouped_book"
    TRADES = "trades"
    PRICE_INDEX = "deribit_price_index"
    VOLATILITY_INDEX = "deribit_volatility_index"
    MARK_PRICES = "markprice"
    INTEREST = "perpetual"
    LIFECYCLE = "lifecycle"
    """instrument.state and platform_state: they steer the collector and are not stored."""
    UNSUPPORTED = "unsupported"
    """A channel that the exchange has and that no table of ours keeps."""
    UNKNOWN = "unknown"


_SIMPLE = {
    "ticker": Family.TICKER,
    "quote": Family.QUOTE,
    "trades": Family.TRADES,
    "deribit_price_index": Family.PRICE_INDEX,
    "deribit_volatility_index": Family.VOLATILITY_INDEX,
    "markprice": Family.MARK_PRICES,
    "perpetual": Family.INTEREST,
    "platform_state": Family.LIFECYCLE,
}
_UNSUPPORTED = frozenset(
    {
        "block_rfq",
        "block_trade_confirmations",
        "chart",
        "deribit_price_ranking",
        "deribit_price_statistics",
        "estimated_expiration_price",
        "incremental_ticker",
        "rfq",
        "user",
    }
)
_BOOK_PARTS = 3  # book.{instrument}.{interval}; a grouped book has group and depth as well
_GROUPED_BOOK_PARTS = 5


@lru_cache(maxsize=65536)
def family_of(channel: str) -> Family:
    """Return the family of a channel.

    Examples
    --------
    >>> family_of("book.BTC-PERPETUAL.none.10.100ms").value
    'grouped_book'
    """
    head = channel.partition(".")[0]
    simple = _SIMPLE.get(head)
    if simple is not None:
        return simple
    if head == "book":
        # A price group such as 0.5 does not occur: groups are whole numbers or "none".
        parts = channel.count(".") + 1
        return {_BOOK_PARTS: Family.BOOK, _GROUPED_BOOK_PARTS: Family.GROUPED_BOOK}.get(
            parts, Family.UNKNOWN
        )
    if channel.startswith("instrument.state."):
        return Family.LIFECYCLE
    return Family.UNSUPPORTED if head in _UNSUPPORTED else Family.UNKNOWN


_BY_INSTRUMENT = frozenset(
    {Family.TICKER, Family.QUOTE, Family.BOOK, Family.GROUPED_BOOK, Family.INTEREST}
)


def instrument_of(channel: str) -> str:
    """Return the instrument that a channel is about, or an empty text when it is about many.

    Examples
    --------
    >>> instrument_of("ticker.BTC-27DEC24-100000-C.100ms")
    'BTC-27DEC24-100000-C'
    >>> instrument_of("trades.option.BTC.100ms")
    ''
    """
    parts = channel.split(".")
    if family_of(channel) in _BY_INSTRUMENT and len(parts) > 1:
        return parts[1]
    if parts[0] == "trades" and len(parts) == _BOOK_PARTS:
        return parts[1]
    return ""


_AT_ONCE = frozenset({Family.TICKER, Family.BOOK, Family.GROUPED_BOOK, Family.PRICE_INDEX})


def speaks_at_once(channel: str) -> bool:
    """Tell whether a channel sends a first frame by itself soon after it was subscribed.

    A ticker and a book send their state within a second and an index ticks about every second;
    trades and lifecycle events come when something happens, which may be never.
    """
    return family_of(channel) in _AT_ONCE


_REPEATED = frozenset({Family.TICKER, Family.PRICE_INDEX})


def repeats(channel: str) -> bool:
    """Tell whether a channel speaks again and again although nothing changes.

    A ticker is sent anew every 5.03 s (measured) and an index about every second, so their silence
    means something; a book or a trade channel may be silent for hours by right.
    """
    return family_of(channel) in _REPEATED
