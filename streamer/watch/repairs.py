"""Fetches over REST what the sockets missed: trades by their numbers, quotes by a book summary."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from streamer.clock import Clock
from streamer.deribit.messages import RestAnswer
from streamer.deribit.sequences import Hole
from streamer.deribit.trade_pages import HoleFilling
from streamer.errors import ExchangeError
from streamer.feed.catalogue import Catalogue, listing_currency
from streamer.feed.rest import RestClient
from streamer.log import logger
from streamer.spool.segment import RecordKind
from streamer.watch.gap_keeper import GapKeeper

__all__ = ["Repairer"]

_log = logger(__name__)
_LOOK_SECONDS = 0.2
_ATTEMPTS = 6
_PAUSE_SECONDS = 2.0
_LARGEST_PAUSE_SECONDS = 60.0
_DAY_MS = 23 * 3_600_000  # older trades are about to leave the main host
_MOST_OLD_TRADES = 100_000
_BRIDGE_SECONDS = 5.0
_BRIDGE_OPEN_SECONDS = 60.0
_BRIDGED_KINDS = ("option", "future")


class _Named(msgspec.Struct):
    instrument_name: str


class Repairer:
    """Repairs gaps; everything fetched goes through the spool like a message.

    Parameters
    ----------
    rest
        Where it asks.
    catalogue
        Which instruments a book summary is kept of.
    gaps
        Told of every repair.
    keep
        Puts a body into the spool; False when the disk is full.
    clock
        Where the time comes from.
    """

    def __init__(
        self,
        rest: RestClient,
        catalogue: Catalogue,
        gaps: GapKeeper,
        *,
        keep: Callable[[RecordKind, bytes], bool],
        clock: Clock,
    ) -> None:
        self._rest = rest
        self._catalogue = catalogue
        self._gaps = gaps
        self._keep = keep
        self._clock = clock
        self._waiting: deque[HoleFilling] = deque()
        self._bridge_at = 0.0
        self.given_up = 0

    def fill(self, holes: Iterable[Hole]) -> None:
        """Ask for the trades of these holes."""
        self._waiting.extend(HoleFilling(hole) for hole in holes)

    async def run(self) -> None:
        """Repair until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = self._clock.monotonic()
            if self._gaps.wants_bridge and now >= self._bridge_at:
                # Once for every gap, and once a minute as long as one is open.
                has_bridged = await self._bridge()
                is_waiting = has_bridged and self._gaps.is_cut_off
                self._bridge_at = now + (_BRIDGE_OPEN_SECONDS if is_waiting else _BRIDGE_SECONDS)
            for _ in range(len(self._waiting)):
                filling = self._waiting.popleft()
                if filling.not_before > now:
                    self._waiting.append(filling)
                else:
                    await self._fill(filling)

    async def _fill(self, filling: HoleFilling) -> None:
        hole = filling.hole
        is_old = hole.from_ms < self._clock.wall_ns() // 1_000_000 - _DAY_MS
        if is_old and hole.count > _MOST_OLD_TRADES:
            self._give_up(hole, f"{hole.count} trades are too many here: run vol-streamer history")
            return
        try:
            while filling.has_next:
                body = await self._rest.get_trades(filling.query(), is_old=is_old)
                if filling.take(body) and not self._keep(RecordKind.TRADES, body):
                    filling = HoleFilling(hole)  # what came is lost again
                    break
            problem = f"{filling.missing} of {hole.count} trades did not come"
        except (ExchangeError, msgspec.DecodeError) as error:
            problem = str(error)
        if filling.is_filled:
            self._gaps.note_trades_repaired(hole)
            _log.info("trades_repaired", instrument=hole.instrument_name, trades=hole.count)
            return
        pause = min(_LARGEST_PAUSE_SECONDS, _PAUSE_SECONDS * 2**filling.attempts)
        filling.try_again(self._clock.monotonic(), pause)
        if filling.attempts < _ATTEMPTS:
            self._waiting.append(filling)
            return
        self._give_up(hole, problem)

    def _give_up(self, hole: Hole, problem: str) -> None:
        self.given_up += 1
        _log.error("trades_not_repaired", instrument=hole.instrument_name, problem=problem)

    async def _bridge(self) -> bool:
        """Store one book summary of every market in the stead of the quotes that do not come."""
        try:
            for currency in {listing_currency(market): None for market in self._catalogue.markets}:
                for kind in _BRIDGED_KINDS:
                    body = await self._rest.get_book_summary(currency, kind)
                    self._keep(RecordKind.BOOK_SUMMARY, self._wanted_rows(body))
        except (ExchangeError, msgspec.DecodeError) as error:
            _log.warning("bridge_failed", error=str(error))
            return False
        self._gaps.note_bridged()
        return True

    def _wanted_rows(self, body: bytes) -> bytes:
        """Return the answer with the instruments of the catalogue alone, each row byte for byte."""
        answer = msgspec.json.decode(body, type=RestAnswer)
        rows = msgspec.json.decode(answer.result, type=list[msgspec.Raw])
        kept = [
            row
            for row in rows
            if self._catalogue.has(msgspec.json.decode(row, type=_Named).instrument_name)
        ]
        return msgspec.json.encode({"jsonrpc": "2.0", "result": kept})
