"""Numbers that tell a missing message: ``change_id`` of books and ``trade_seq`` of trades.

Pure logic over the data of single messages.  A book is a chain: each change names the change before
it.  Trades of an instrument are numbered one by one, whatever channel or socket they come through,
so their numbers outlive a socket and even a process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import msgspec

from streamer.deribit.messages import Counter, Milliseconds

__all__ = ["BookChain", "Hole", "Link", "TradeHead", "TradeWatch"]


class Link(Enum):
    """How a book message fits to the one before."""

    SNAPSHOT = "the whole book: nothing before it matters"
    CHAINED = "follows the last change"
    REPEATED = "the last change once more; levels are absolute, so it does no harm"
    BROKEN = "something is missing before it"


class _BookHead(msgspec.Struct, gc=False):
    change_id: Counter
    type: str | None = None
    prev_change_id: Counter | None = None


_BOOK_HEAD = msgspec.json.Decoder(_BookHead)


class BookChain:
    """Follows the chain of one book channel.

    Attributes
    ----------
    detail
        After `Link.BROKEN`: which number was expected and which came.
    """

    __slots__ = ("_last", "detail")

    def __init__(self) -> None:
        self._last: int | None = None
        self.detail = ""

    def take(self, data: bytes | msgspec.Raw) -> Link:
        """Take the data of a book message.

        Data that cannot be read counts as the last change repeated: it becomes a dead letter, and
        the change after it breaks the chain.
        """
        try:
            head = _BOOK_HEAD.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Link.REPEATED
        last, self._last = self._last, head.change_id
        # A change with prev_change_id 0 opens a book that was never quoted; before 2020 there was
        # no type.
        if head.type == "snapshot" or not head.prev_change_id:
            return Link.SNAPSHOT
        if last == head.prev_change_id:
            return Link.CHAINED
        if last == head.change_id:
            return Link.REPEATED
        before = "a snapshot" if last is None else f"change_id {last}"
        self.detail = f"expected to follow {before}, but follows change_id {head.prev_change_id}"
        return Link.BROKEN


class TradeHead(msgspec.Struct, gc=False):
    """The part of a trade that its numbering needs."""

    instrument_name: str
    trade_seq: Counter
    timestamp: Milliseconds


_TRADE_HEADS = msgspec.json.Decoder(list[TradeHead])


@dataclass(frozen=True, slots=True)
class Hole:
    """Trades of one instrument that were never received.

    Attributes
    ----------
    first_seq, last_seq
        The missing numbers, both included.
    from_ms, to_ms
        Exchange times of the trades on both sides.
    """

    instrument_name: str
    first_seq: int
    last_seq: int
    from_ms: int
    to_ms: int

    @property
    def count(self) -> int:
        """How many trades are missing."""
        return self.last_seq - self.first_seq + 1


class TradeWatch:
    """Follows the numbering of trades per instrument."""

    def __init__(self) -> None:
        self._last: dict[str, TradeHead] = {}
        self._first: dict[str, TradeHead] = {}

    def __len__(self) -> int:
        return len(self._last)

    def take(self, data: bytes | msgspec.Raw) -> list[Hole]:
        """Take the data of a trades message; return what is missing before its trades.

        Data that cannot be read changes nothing: the next trade shows the hole.
        """
        try:
            heads = _TRADE_HEADS.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return []
        holes = []
        for head in sorted(heads, key=lambda it: it.trade_seq):
            last = self._last.get(head.instrument_name)
            if last is None:
                self._first[head.instrument_name] = head
            elif head.trade_seq <= last.trade_seq:
                continue  # an old one once more, or the same through another channel
            elif head.trade_seq > last.trade_seq + 1:
                holes.append(_between(last, head))
            self._last[head.instrument_name] = head
        return holes

    def remember(self, stored: Iterable[TradeHead]) -> list[Hole]:
        """Take the newest trades that an earlier process stored, one per instrument.

        Returns
        -------
        list of Hole
            Between those and the first trades of this process.
        """
        holes = []
        for head in stored:
            first = self._first.get(head.instrument_name)
            if first is None:
                self._last.setdefault(head.instrument_name, head)
            elif first.trade_seq > head.trade_seq + 1:
                holes.append(_between(head, first))
        self._first.clear()
        return holes

    def forget(self, instruments: Iterable[str]) -> None:
        """Drop instruments that trade no more."""
        for name in instruments:
            self._last.pop(name, None)
            self._first.pop(name, None)


def _between(before: TradeHead, after: TradeHead) -> Hole:
    return Hole(
        after.instrument_name,
        before.trade_seq + 1,
        after.trade_seq - 1,
        before.timestamp,
        max(before.timestamp, after.timestamp),
    )
