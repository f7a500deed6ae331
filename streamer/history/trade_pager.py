"""Trades of a currency, paged by time and proven complete by their numbers.

Each page begins at the millisecond at which the one before ended, and trades that were handed out
already are left out, so that no page edge loses a trade of the same millisecond.  The numbers of
each instrument must follow one another; what is missing between them is asked for by number.
"""

from __future__ import annotations

from collections import deque

import msgspec

from streamer.deribit.sequences import Hole
from streamer.deribit.trade_pages import HoleFilling
from streamer.history.intervals import Interval
from streamer.history.pager import Call

__all__ = ["TradePager"]

_PAGE = 1000  # the most that the exchange gives at once
_BY_CURRENCY = "public/get_last_trades_by_currency_and_time"
_BY_INSTRUMENT = "public/get_last_trades_by_instrument"


class _Key(msgspec.Struct):
    instrument_name: str
    trade_seq: int
    trade_id: str
    timestamp: int


class _Page(msgspec.Struct):
    trades: list[msgspec.Raw]
    has_more: bool = False


class TradePager:
    """Pages through the trades of one currency and kind.

    Parameters
    ----------
    currency, kind
        As the exchange names them; kind is ``option`` or ``future``, perpetuals are futures.
    interval
        Which time.
    page_size
        Trades a page; 1,000 is the most that the exchange gives.

    Attributes
    ----------
    missing
        Trades that the exchange did not give although their numbers were skipped.
    """

    table = "trades"

    def __init__(
        self, currency: str, kind: str, interval: Interval, *, page_size: int = _PAGE
    ) -> None:
        self.missing = 0
        self._currency = currency
        self._kind = kind
        self._interval = interval
        self._page_size = page_size
        self._cursor = interval.from_ms
        self._settled = interval.from_ms
        self._at_cursor: set[str] = set()
        self._newest: dict[str, tuple[int, int]] = {}
        self._holes: deque[HoleFilling] = deque()
        self._is_crowded = False

    @property
    def done_to_ms(self) -> int:
        """Everything before this moment was handed out, its holes too."""
        return self._settled

    def next_call(self) -> Call | None:
        """Return what to ask next: the missing trades of the last page, then the next page."""
        if self._holes:
            query = self._holes[0].query() | {"include_old": "true"}
            return Call(_BY_INSTRUMENT, query)
        if self._cursor >= self._interval.to_ms:
            return None
        end = self._cursor if self._is_crowded else self._interval.to_ms - 1
        return Call(
            _BY_CURRENCY,
            {
                "currency": self._currency,
                "kind": self._kind,
                "start_timestamp": str(self._cursor),
                "end_timestamp": str(end),
                "count": str(self._page_size),
                "sorting": "desc" if self._is_crowded else "asc",
                "include_old": "true",
            },
        )

    def take(self, result: msgspec.Raw) -> list[bytes]:
        """Take a page and return its new trades.

        Raises
        ------
        msgspec.DecodeError
            The page has another form; the pager is as before.
        """
        page = msgspec.json.decode(result, type=_Page)
        keys = [msgspec.json.decode(raw, type=_Key) for raw in page.trades]
        if self._holes:
            return self._take_filling(result, page.trades)
        rows = []
        for raw, key in zip(page.trades, keys, strict=True):
            if key.trade_id not in self._at_cursor:
                rows.append(bytes(raw))
                self._at_cursor.add(key.trade_id)
        self._look_for_holes(keys)
        self._advance(keys, is_full=page.has_more or len(keys) >= self._page_size)
        self._settle()
        return rows

    def give_up(self) -> bool:
        """Go on without trades that the exchange refuses to give; False for a whole page."""
        if not self._holes:
            return False
        self.missing += self._holes.popleft().missing
        self._settle()
        return True

    def _take_filling(self, result: msgspec.Raw, trades: list[msgspec.Raw]) -> list[bytes]:
        filling = self._holes[0]
        filling.take(msgspec.json.encode({"result": result}))
        if not filling.has_next:
            self.missing += filling.missing
            self._holes.popleft()
        self._settle()
        return [bytes(raw) for raw in trades]

    def _advance(self, keys: list[_Key], *, is_full: bool) -> None:
        """Move to where the next page begins."""
        if self._is_crowded:
            # Both ends of a millisecond with more trades than a page were taken; what lies between
            # them shows as holes in the numbers of what follows.
            self._is_crowded = False
            self._move_to(self._cursor + 1, [])
        elif not is_full:
            self._move_to(self._interval.to_ms, [])
        elif (last_ms := max(key.timestamp for key in keys)) > self._cursor:
            self._move_to(last_ms, keys)
        else:
            self._is_crowded = True

    def _move_to(self, cursor: int, keys: list[_Key]) -> None:
        self._cursor = cursor
        self._at_cursor = {key.trade_id for key in keys if key.timestamp == cursor}

    def _settle(self) -> None:
        if not self._holes:
            self._settled = self._cursor

    def _look_for_holes(self, keys: list[_Key]) -> None:
        for key in sorted(keys, key=lambda each: each.trade_seq):
            before = self._newest.get(key.instrument_name)
            if before is None or key.trade_seq > before[0]:
                self._newest[key.instrument_name] = (key.trade_seq, key.timestamp)
            if before is not None and key.trade_seq > before[0] + 1:
                hole = Hole(
                    key.instrument_name, before[0] + 1, key.trade_seq - 1, before[1], key.timestamp
                )
                self._holes.append(HoleFilling(hole))
