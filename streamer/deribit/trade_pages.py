"""Asking for missing trades page by page, by their numbers: what to ask next and when it is done.

Paging by time loses trades when a page ends inside a millisecond; numbers have no such seam.
"""

from __future__ import annotations

import msgspec

from streamer.deribit.messages import RestAnswer
from streamer.deribit.sequences import Hole, TradeHead

__all__ = ["HoleFilling"]

_PAGE = 1000  # the most that the exchange gives at once


class _Page(msgspec.Struct):
    trades: list[TradeHead]


class HoleFilling:
    """Fills one hole.

    Parameters
    ----------
    hole
        What is missing.

    Attributes
    ----------
    attempts
        How often it was asked for from its beginning, without getting all.
    not_before
        Monotonic seconds of the next attempt.
    """

    def __init__(self, hole: Hole) -> None:
        self.hole = hole
        self.attempts = 0
        self.not_before = 0.0
        self._next = hole.first_seq
        self._found: set[int] = set()

    @property
    def is_filled(self) -> bool:
        """Whether every missing trade came."""
        return not self.missing

    @property
    def missing(self) -> int:
        """How many trades did not come so far."""
        return self.hole.count - len(self._found)

    @property
    def has_next(self) -> bool:
        """Whether there is a page that this attempt has not asked for."""
        return self._next <= self.hole.last_seq and not self.is_filled

    def query(self) -> dict[str, str]:
        """Return the parameters of the next call of get_last_trades_by_instrument."""
        return {
            "instrument_name": self.hole.instrument_name,
            "start_seq": str(self._next),
            "end_seq": str(self._page_end),
            "count": str(_PAGE),
            "sorting": "asc",
        }

    def take(self, body: bytes) -> bool:
        """Take an answer; return whether it has trades that did not come before.

        Raises
        ------
        msgspec.DecodeError
            The answer cannot be read.
        """
        answer = msgspec.json.decode(body, type=RestAnswer)
        page = msgspec.json.decode(answer.result, type=_Page)
        came = {it.trade_seq for it in page.trades if self._next <= it.trade_seq <= self._page_end}
        is_new = bool(came - self._found)
        self._found |= came
        self._next = self._page_end + 1
        return is_new

    def try_again(self, now: float, pause_seconds: float) -> None:
        """Begin anew after a pause: the exchange did not have all yet."""
        self.attempts += 1
        self.not_before = now + pause_seconds
        self._next = self.hole.first_seq

    @property
    def _page_end(self) -> int:
        return min(self.hole.last_seq, self._next + _PAGE - 1)
