"""Which channels the collector wants: from the exchange's own list of instruments."""

from __future__ import annotations

from collections.abc import Iterable

from streamer.decoding.rows import specification_checksum
from streamer.deribit.instruments import market_of
from streamer.deribit.messages import Instrument
from streamer.feed.selection import AT_THE_MONEY, choose_books, choose_expiries
from streamer.settings import StreamerSettings

__all__ = ["Catalogue", "listing_currency"]

_STREAMED_KINDS = frozenset({"option", "future"})
_DVOL_MARKETS = {"BTC": "btc_usd", "ETH": "eth_usd"}


def listing_currency(market: str) -> str:
    """Return the currency under which the exchange lists a market.

    Examples
    --------
    >>> listing_currency("BTC"), listing_currency("SOL_USDC")
    ('BTC', 'USDC')
    """
    return market.rpartition("_")[2]


class Catalogue:
    """The instruments known so far and the channels that follow from them.

    Parameters
    ----------
    settings
        Markets, expiries, interval, and which trades, books and indices are wanted.
    all_offered
        Every instrument of every market, with its trades and its book.

    Attributes
    ----------
    markets
        To be listed.
    """

    def __init__(self, settings: StreamerSettings, *, all_offered: bool = False) -> None:
        self._settings = settings
        self._all_offered = all_offered
        self.markets = ("any",) if all_offered else settings.currencies
        self._instruments: dict[str, Instrument] = {}
        self._specifications: dict[str, int] = {}
        self._prices: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._instruments)

    def update(self, market: str, listed: Iterable[Instrument]) -> bool:
        """Take a new list of one market.

        Returns
        -------
        bool
            Whether an instrument is new or its specification changed, so that the list is worth
            storing.
        """
        offered = [
            instrument
            for instrument in listed
            if (self._all_offered or market_of(instrument.instrument_name) == market)
            and instrument.kind in _STREAMED_KINDS
            and instrument.is_active
        ]
        if not self._all_offered:
            options = [it for it in offered if it.kind == "option"]
            expiries = choose_expiries(
                self._settings.expiries, (it.expiration_timestamp or 0 for it in options)
            )
            offered = [
                it
                for it in offered
                if it.kind != "option" or (it.expiration_timestamp or 0) in expiries
            ]
        current = {instrument.instrument_name: instrument for instrument in offered}
        kept = {
            name: instrument
            for name, instrument in self._instruments.items()
            if not self._all_offered and market_of(name) != market
        }
        self._instruments = kept | current
        checksums = {name: specification_checksum(it) for name, it in current.items()}
        has_news = any(self._specifications.get(name) != it for name, it in checksums.items())
        self._specifications |= checksums
        return has_news

    def channels(self) -> list[str]:
        """Return every channel that is wanted now, options first."""
        settings = self._settings
        interval = settings.interval
        ordered = sorted(self._instruments.values(), key=lambda it: (it.kind != "option",))
        channels = [f"ticker.{it.instrument_name}.{interval}" for it in ordered]
        indices = {it.price_index or _usual_index(it) for it in ordered}
        channels += [f"deribit_price_index.{index}" for index in sorted(indices)]
        if self._all_offered:
            names = [it.instrument_name for it in ordered]
            channels += [f"book.{name}.{interval}" for name in names]
            channels += [f"trades.{name}.{interval}" for name in names]
            return [*channels, "platform_state"]
        for market in settings.currencies:
            channels += self._channels_of(market, [it for it in ordered if _is_of(it, market)])
        channels.append("platform_state")
        return list(dict.fromkeys(channels))

    @property
    def priced_indices(self) -> list[str]:
        """The indices whose price is needed to choose at-the-money books."""
        if not any(role.startswith(AT_THE_MONEY) for role in self._settings.books):
            return []
        options = (it for it in self._instruments.values() if it.kind == "option")
        return sorted({it.price_index for it in options if it.price_index})

    def note_price(self, index_name: str, price: float) -> None:
        """Take the price of an index."""
        self._prices[index_name] = price

    def _channels_of(self, market: str, listed: list[Instrument]) -> list[str]:
        settings = self._settings
        interval = settings.interval
        channels = []
        if settings.volatility_index and market in _DVOL_MARKETS:
            channels.append(f"deribit_volatility_index.{_DVOL_MARKETS[market]}")
        currency = listing_currency(market)
        if settings.trades:
            channels.append(f"trades.option.{currency}.{interval}")
            channels.append(f"trades.future.{currency}.{interval}")
        channels.append(f"instrument.state.any.{currency}")
        if settings.mark_prices:
            indices = {it.price_index or _usual_index(it) for it in listed if it.kind == "option"}
            channels += [f"markprice.options.{index}" for index in sorted(indices)]
        perpetuals = choose_books(["perpetual"], listed, {})
        if settings.perpetual_interest:
            channels += [f"perpetual.{name}.{interval}" for name in perpetuals]
        names = [name for name in settings.books if market_of(name) == market]
        names += choose_books(settings.books, listed, self._prices)
        return channels + [self._book_channel(name) for name in names]

    def _book_channel(self, name: str) -> str:
        interval, depth = self._settings.interval, self._settings.book_depth
        if depth == "full":
            return f"book.{name}.{interval}"
        # Grouped books have no raw interval.
        return f"book.{name}.none.{depth}.{'100ms' if interval == 'raw' else interval}"

    def has(self, instrument_name: str) -> bool:
        """Tell whether an instrument is streamed."""
        return instrument_name in self._instruments

    def next_expiry_ms(self, wall_ms: int) -> int | None:
        """Return when the next instrument expires, or None when none will."""
        expiries = (it.expiration_timestamp for it in self._instruments.values())
        return min((it for it in expiries if it is not None and it > wall_ms), default=None)

    def is_expired(self, instrument_name: str, wall_ms: int) -> bool:
        """Tell whether an instrument is gone: past its expiry, or not in the list any more."""
        if instrument_name not in self._instruments:
            return len(self._instruments) > 0
        return self.has_expired(instrument_name, wall_ms)

    def has_expired(self, instrument_name: str, wall_ms: int) -> bool:
        """Tell whether an instrument in the list is past its expiry."""
        instrument = self._instruments.get(instrument_name)
        expiry = None if instrument is None else instrument.expiration_timestamp
        return expiry is not None and wall_ms >= expiry


def _is_of(instrument: Instrument, market: str) -> bool:
    return market_of(instrument.instrument_name) == market


def _usual_index(instrument: Instrument) -> str:
    """Return the index of an instrument whose list does not name it (before 2022)."""
    counter = instrument.counter_currency or "USD"
    return f"{instrument.base_currency}_{counter}".lower()
