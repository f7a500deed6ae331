"""Keeps the catalogue of instruments current; tells the sockets which channels follow from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from streamer.clock import Clock
from streamer.errors import ExchangeError
from streamer.feed.catalogue import Catalogue, listing_currency
from streamer.feed.rest import RestClient, instruments_of
from streamer.log import logger
from streamer.settings import StreamerSettings
from streamer.spool.segment import RecordKind

__all__ = ["Lister"]

_log = logger(__name__)
_ROLL_GRACE_SECONDS = 2.0


class Lister:
    """Lists the instruments at the start, when they change, at every expiry, and now and then.

    Parameters
    ----------
    settings
        How often it lists.
    rest
        Where it asks.
    catalogue
        What it keeps current.
    keep
        Puts a body into the spool; False when the disk is full.
    on_channels
        Told of the wanted channels after each list; None when the channels are fixed.
    clock
        Where the time comes from.
    """

    def __init__(
        self,
        settings: StreamerSettings,
        rest: RestClient,
        catalogue: Catalogue,
        *,
        keep: Callable[[RecordKind, bytes], bool],
        on_channels: Callable[[list[str]], object] | None,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._rest = rest
        self._catalogue = catalogue
        self._keep = keep
        self._on_channels = on_channels
        self._clock = clock
        self._due = asyncio.Event()

    def list_soon(self) -> None:
        """Say that the exchange announced a change."""
        self._due.set()

    async def run(self) -> None:
        """List until cancelled."""
        while True:
            self._due.clear()
            has_failed = False
            for market in self._catalogue.markets:
                has_failed |= not await self._list(market)
            pause = self._settings.relist_seconds
            if has_failed and len(self._catalogue) == 0:
                pause = self._settings.backoff_seconds  # without a list there is nothing to stream
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause, self._seconds_to_roll())):
                    await self._due.wait()

    def _seconds_to_roll(self) -> float:
        """Return how long until the next expiry is just past, when new instruments appear."""
        now_ms = self._clock.wall_ns() // 1_000_000
        expiry_ms = self._catalogue.next_expiry_ms(now_ms)
        if expiry_ms is None:
            return float("inf")
        return (expiry_ms - now_ms) / 1000 + _ROLL_GRACE_SECONDS

    async def _list(self, market: str) -> bool:
        try:
            body = await self._rest.get_instruments(listing_currency(market))
            has_news = self._catalogue.update(market, instruments_of(body))
        except ExchangeError as error:
            _log.warning("listing_failed", market=market, error=str(error))
            return False
        if has_news:
            self._keep(RecordKind.INSTRUMENTS, body)
        if self._on_channels is not None:
            await self._ask_prices()
            self._on_channels(self._catalogue.channels())
        return True

    async def _ask_prices(self) -> None:
        for index_name in self._catalogue.priced_indices:
            try:
                price = await self._rest.get_index_price(index_name)
            except ExchangeError as error:
                _log.warning("price_failed", index=index_name, error=str(error))
            else:
                self._catalogue.note_price(index_name, price)
