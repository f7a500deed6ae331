"""The rows of the raw tables, and what turns messages of several shapes into one of them."""

from __future__ import annotations

from typing import Any, Final

import crc32c
import msgspec
from msgspec import Raw, Struct

from streamer.deribit.messages import Book, GroupedBook, Instrument, Quote

__all__ = [
    "EARLIEST_MS",
    "FUTURE_TOLERANCE_MS",
    "LARGEST_DETAIL",
    "BookRow",
    "InterestRow",
    "NotStorableError",
    "Row",
    "book_row",
    "check_time",
    "grouped_row",
    "quote_row",
    "specification_checksum",
]

EARLIEST_MS: Final = 1_451_606_400_000  # 2016-01-01, before the exchange existed
FUTURE_TOLERANCE_MS: Final = 86_400_000
LARGEST_DETAIL: Final = 300
"""Longest text of a reason, in characters."""
_ACTIONS: Final = frozenset({"new", "change", "delete"})


class Row(Struct, gc=False):
    """One row: its table, the decoded message and its bytes."""

    table: str
    message: Any
    raw: Raw | bytes

    @property
    def checksum(self) -> int:
        """The crc32c of the bytes; of an instrument that of its specification."""
        if isinstance(self.message, Instrument):
            return specification_checksum(self.message)
        return crc32c.crc32c(self.raw)


class BookRow(Struct, gc=False):
    """A row of `order_books`, whichever channel it came from."""

    instrument_name: str
    timestamp: int
    kind: str
    change_id: int
    prev_change_id: int | None
    bids: list[tuple[str, float, float]]
    asks: list[tuple[str, float, float]]


class InterestRow(Struct, gc=False):
    """A row of `perpetual_interest`; the wire names the instrument in the channel alone."""

    instrument_name: str
    timestamp: int
    index_price: float | None
    interest: float | None


class NotStorableError(Exception):
    """A frame that becomes a dead letter; carries (reason, detail)."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail[:LARGEST_DETAIL]


def specification_checksum(instrument: Instrument) -> int:
    """Return the crc32c of what makes two specifications differ: all but state and activity."""
    values = [
        getattr(instrument, name)
        for name in instrument.__struct_fields__
        if name not in ("state", "is_active")
    ]
    return int(crc32c.crc32c(msgspec.json.encode(values)))


def check_time(timestamp_ms: int, received_ms: int) -> None:
    """Refuse an exchange time before 2016 or more than a day after the receipt.

    Raises
    ------
    NotStorableError
        It is out of range.
    """
    if not EARLIEST_MS <= timestamp_ms <= received_ms + FUTURE_TOLERANCE_MS:
        detail = f"timestamp {timestamp_ms} ms, received at {received_ms} ms"
        raise NotStorableError("timestamp_out_of_range", detail)


def book_row(book: Book) -> BookRow:
    """Return the row of a full book or of a change of one.

    Raises
    ------
    NotStorableError
        Its type or an action is none of the known ones.
    """
    kind = book.type or ("snapshot" if book.prev_change_id is None else "change")
    if kind not in ("snapshot", "change"):
        raise NotStorableError("wrong_type", f"book type {kind!r}")
    for action, _, _ in (*book.bids, *book.asks):
        if action not in _ACTIONS:
            raise NotStorableError("wrong_type", f"book action {action!r}")
    return BookRow(
        book.instrument_name,
        book.timestamp,
        kind,
        book.change_id,
        book.prev_change_id,
        book.bids,
        book.asks,
    )


def grouped_row(book: GroupedBook) -> BookRow:
    """Return the row of the best levels of a book."""
    bids = [("new", price, amount) for price, amount in book.bids]
    asks = [("new", price, amount) for price, amount in book.asks]
    name, timestamp = book.instrument_name, book.timestamp
    return BookRow(name, timestamp, "grouped", book.change_id, None, bids, asks)


def quote_row(quote: Quote) -> BookRow:
    """Return the row of a best bid and ask."""
    bids = _side(quote.best_bid_price, quote.best_bid_amount)
    asks = _side(quote.best_ask_price, quote.best_ask_amount)
    return BookRow(quote.instrument_name, quote.timestamp, "quote", 0, None, bids, asks)


def _side(price: float | None, amount: float | None) -> list[tuple[str, float, float]]:
    """Return one level, or none for an empty side (0 or missing on the wire)."""
    return [("new", price, amount or 0.0)] if price else []
