"""What a backfill has to ask for: one task for each currency and kind, instrument or index."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from streamer.deribit.instruments import market_of
from streamer.deribit.messages import Instrument
from streamer.feed.catalogue import listing_currency
from streamer.history.chart_pagers import (
    CandlePager,
    DeliveryPager,
    FundingPager,
    IndexChartPager,
    VolatilityPager,
)
from streamer.history.intervals import Interval
from streamer.history.pager import Pager
from streamer.history.trade_pager import TradePager

__all__ = ["KINDS_OF_DATA", "RESOLUTIONS", "Task", "chart_tasks", "futures_of", "trade_tasks"]

KINDS_OF_DATA = ("trades", "candles", "dvol", "funding", "deliveries", "index")
RESOLUTIONS = (1, 60, 720, 1440)
"""Minutes that both kinds of candles have."""
_TRADE_WEIGHT = 20.0  # a day of trades has about so many pages to one of anything else
_DVOL_MARKETS = ("BTC", "ETH")


@dataclass(frozen=True, slots=True)
class Task:
    """One series over one stretch of time.

    Attributes
    ----------
    what, subject
        Under which its progress is kept.
    interval
        All of it, done or not.
    open
        Makes the pager of a part.
    weight
        How much work a unit of its time is, compared with others.
    """

    what: str
    subject: str
    interval: Interval
    open: Callable[[Interval], Pager]
    weight: float = 1.0


def trade_tasks(markets: Iterable[str], interval: Interval) -> list[Task]:
    """Return the tasks of trades; linear markets are asked for by their settlement currency."""

    def task(currency: str, kind: str) -> Task:
        def start(part: Interval) -> Pager:
            return TradePager(currency, kind, part)

        return Task("trades", f"{currency} {kind}", interval, start, _TRADE_WEIGHT)

    currencies = dict.fromkeys(listing_currency(market) for market in markets)
    return [task(currency, kind) for currency in currencies for kind in ("option", "future")]


def chart_tasks(
    what: Iterable[str],
    markets: list[str],
    interval: Interval,
    *,
    futures: dict[str, Interval],
    resolution_minutes: int,
    now_ms: int,
) -> list[Task]:
    """Return the tasks of everything but trades.

    Parameters
    ----------
    what
        Some of `KINDS_OF_DATA`.
    markets
        BTC, ETH, SOL_USDC and so on.
    interval
        Up to now at most.
    futures
        Futures and perpetuals with the time in which they were listed.
    resolution_minutes
        Of candles; one of `RESOLUTIONS`.
    now_ms
        The exchange's time.
    """
    width = resolution_minutes * 60_000
    # A candle that still grows is not history.
    whole = Interval(interval.from_ms, min(interval.to_ms, now_ms // width * width))
    tasks: list[Task] = []
    for kind in what:
        if kind == "candles":
            tasks += _candle_tasks(markets, whole, futures, resolution_minutes)
        for market in markets:
            index = _index_name(market)
            if kind == "dvol" and market in _DVOL_MARKETS:
                tasks.append(_volatility_task(market, whole, resolution_minutes))
            elif kind == "funding":
                tasks.append(_funding_task(f"{market}-PERPETUAL", interval))
            elif kind == "deliveries":
                tasks.append(_delivery_task(index, interval))
            elif kind == "index":
                tasks.append(_index_task(index, interval, now_ms))
    return [task for task in tasks if task.interval.length_ms]


def futures_of(instruments: Iterable[Instrument], markets: Iterable[str]) -> dict[str, Interval]:
    """Return the futures and perpetuals of some markets with the time in which they are listed."""
    wanted = set(markets)
    return {
        it.instrument_name: Interval(it.creation_timestamp or 0, it.expiration_timestamp or 2**53)
        for it in instruments
        if it.kind == "future" and market_of(it.instrument_name) in wanted
    }


def _candle_tasks(
    markets: list[str], interval: Interval, futures: dict[str, Interval], minutes: int
) -> list[Task]:
    def task(name: str, listed: Interval) -> Task:
        def start(part: Interval) -> Pager:
            return CandlePager(name, minutes, part)

        # Whole candles: the first one begins before the listing.
        width = minutes * 60_000
        first = max(interval.from_ms, listed.from_ms // width * width)
        part = Interval(first, min(interval.to_ms, listed.to_ms))
        return Task("candles", f"{name} {minutes}m", part, start)

    return [
        task(name, listed) for name, listed in sorted(futures.items()) if market_of(name) in markets
    ]


def _volatility_task(market: str, interval: Interval, minutes: int) -> Task:
    def start(part: Interval) -> Pager:
        return VolatilityPager(market, minutes * 60, part)

    return Task("dvol", f"{market} {minutes}m", interval, start)


def _funding_task(name: str, interval: Interval) -> Task:
    def start(part: Interval) -> Pager:
        return FundingPager(name, part)

    return Task("funding", name, interval, start)


def _delivery_task(index: str, interval: Interval) -> Task:
    def start(part: Interval) -> Pager:
        return DeliveryPager(index, part)

    return Task("deliveries", index, interval, start)


def _index_task(index: str, interval: Interval, now_ms: int) -> Task:
    def start(part: Interval) -> Pager:
        return IndexChartPager(index, part, now_ms)

    return Task("index", index, interval, start)


def _index_name(market: str) -> str:
    """Return the price index of a market: btc_usd for BTC, sol_usdc for SOL_USDC."""
    return market.lower() if "_" in market else f"{market.lower()}_usd"
