"""Methods that answer the past: candles, DVOL, funding, delivery prices, the index, old trades.

Everything is computed from the market at the moments that are asked for, so that the past is the
same market as the live exchange of the same seed: candles are made of the trades that are sent,
DVOL candles of the values that are published, deliveries of the averages that options settle on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from vol_platform.simulator.exchange.calls import Method, Parameters, Request, integer, text
from vol_platform.simulator.exchange.errors import RpcError, invalid_params
from vol_platform.simulator.market.expiries import DAY_MS, board_day, day_start_ms
from vol_platform.simulator.market.market import Market
from vol_platform.simulator.market.noise import step_normal, stream_of

__all__ = ["PAST_METHODS"]

_HOUR_MS = 3_600_000
_THIRTY_DAYS_YEARS = 30 / 365
_CANDLE_MINUTES = {str(each): each for each in (1, 3, 5, 10, 15, 30, 60, 120, 180, 360, 720)}
_VOLATILITY_SECONDS = {"1": 1, "60": 60, "3600": 3_600, "43200": 43_200, "1D": 86_400}
_MAXIMUM_CANDLES = 5_000
_MAXIMUM_VOLATILITY_CANDLES = 1_000
_MAXIMUM_FUNDING_HOURS = 744
_MAXIMUM_DELIVERIES = 1_000
_FIRST_DELIVERY_MS = 1_577_865_600_000  # 2020-01-01 08:00 UTC
_CHART_RANGES = {  # length and spacing
    "1h": (_HOUR_MS, 60_000),
    "1d": (DAY_MS, 300_000),
    "2d": (2 * DAY_MS, 600_000),
    "1m": (30 * DAY_MS, _HOUR_MS),
    "1y": (365 * DAY_MS, DAY_MS),
    "all": (1_000 * DAY_MS, DAY_MS),
}
_SAMPLES_OF_A_CANDLE = 5


def _window(params: Parameters) -> tuple[int, int]:
    start, end = integer(params, "start_timestamp"), integer(params, "end_timestamp")
    if end < start:
        raise invalid_params("end_timestamp", "must not be before start_timestamp")
    return start, end


def _market_of_index(request: Request) -> Market:
    name = text(request.params, "index_name")
    for market in request.exchange.venue.markets.values():
        if market.specification.index_name == name:
            return market
    raise invalid_params("index_name", "invalid index name")


def _market_of_instrument(request: Request) -> tuple[str, Market]:
    name = text(request.params, "instrument_name")
    market = request.exchange.venue.markets.get(name.split("-", 1)[0])
    if market is None:
        raise RpcError(10020, "invalid_or_unsupported_instrument")
    return name, market


def _candles(request: Request) -> Any:
    """Return candles of the trades of an instrument; a time without a trade repeats its close."""
    name, market = _market_of_instrument(request)
    start, end = _window(request.params)
    resolution = text(request.params, "resolution")
    minutes = 1_440 if resolution == "1D" else _CANDLE_MINUTES.get(resolution)
    if minutes is None:
        raise invalid_params("resolution", f"must be one of {', '.join(_CANDLE_MINUTES)}, 1D")
    width = minutes * 60_000
    first = -(-start // width) * width
    last = min(end, request.exchange.now_ms()) // width * width
    last = min(last, first + (_MAXIMUM_CANDLES - 1) * width)
    answer: dict[str, list[Any]] = {
        key: [] for key in ("ticks", "open", "high", "low", "close", "volume", "cost")
    }
    venue = request.exchange.venue
    trades = iter(venue.trades(market.currency, first, last + width - 1, only=name))
    trade = next(trades, None)
    for tick in range(first, last + 1, width):
        prices: list[float] = []
        volume = cost = 0.0
        while trade is not None and trade["timestamp"] < tick + width:
            prices.append(trade["price"])
            is_option = "iv" in trade
            coins = trade["amount"]
            if not is_option and not market.is_linear:
                coins = coins / trade["price"]
            volume += coins
            unit = trade["index_price"] if is_option and not market.is_linear else 1.0
            cost += coins * trade["price"] * unit
            trade = next(trades, None)
        if not prices:
            if not answer["close"]:
                continue  # before its first trade an instrument has no candles
            prices = [answer["close"][-1]]
        row = (tick, prices[0], max(prices), min(prices), prices[-1])
        for key, value in zip(answer, (*row, round(volume, 8), round(cost, 4)), strict=True):
            answer[key].append(value)
    return answer | {"status": "ok" if answer["ticks"] else "no_data"}


def _volatility_candles(request: Request) -> Any:
    """Return DVOL candles, the newest of the window; `continuation` ends the next, older page."""
    currency = text(request.params, "currency").upper()
    market = request.exchange.venue.markets.get(currency)
    if market is None or market.is_linear:
        raise invalid_params("currency", "no volatility index of this currency")
    start, end = _window(request.params)
    resolution = text(request.params, "resolution")
    if resolution not in _VOLATILITY_SECONDS:
        raise invalid_params("resolution", f"must be one of {', '.join(_VOLATILITY_SECONDS)}")
    width = _VOLATILITY_SECONDS[resolution] * 1_000
    first = -(-start // width) * width
    last = min(end, request.exchange.now_ms()) // width * width
    oldest = max(first, last - (_MAXIMUM_VOLATILITY_CANDLES - 1) * width)
    ticks = np.arange(oldest, last + 1, width, dtype=np.int64)
    if ticks.size == 0:
        return {"data": [], "continuation": None}
    offsets = np.linspace(0, width - 1, _SAMPLES_OF_A_CANDLE).astype(np.int64)
    moments = (ticks[:, None] + offsets[None, :]).ravel()
    variance = market.surface(moments).swap_variance(_THIRTY_DAYS_YEARS)
    values = np.round(100.0 * np.sqrt(variance), 2).reshape(ticks.size, -1)
    columns = (ticks, values[:, 0], values.max(axis=1), values.min(axis=1), values[:, -1])
    data = [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    return {"data": data, "continuation": int(oldest) - 1 if oldest > first else None}


def _funding(request: Request) -> Any:
    """Return the funding of a perpetual hour by hour, at most a month of it."""
    name, market = _market_of_instrument(request)
    if not name.endswith("-PERPETUAL"):
        raise invalid_params("instrument_name", "must be a perpetual")
    start, end = _window(request.params)
    first = -(-start // _HOUR_MS) * _HOUR_MS
    last = min(end, request.exchange.now_ms()) // _HOUR_MS * _HOUR_MS
    last = min(last, first + (_MAXIMUM_FUNDING_HOURS - 1) * _HOUR_MS)
    hours = np.arange(first, last + 1, _HOUR_MS, dtype=np.int64)
    if hours.size == 0:
        return []
    index = market.index_price(hours).tolist()
    before = market.index_price(hours - _HOUR_MS).tolist()
    premium = 0.0003 * step_normal(market.seed, np.array([stream_of(name)]), hours, _HOUR_MS)
    rates = np.round(0.1 * premium, 8).tolist()
    return [
        {
            "timestamp": hour,
            "index_price": price,
            "prev_index_price": earlier,
            "interest_8h": rate,
            "interest_1h": round(rate / 8, 10),
        }
        for hour, price, earlier, rate in zip(hours.tolist(), index, before, rates, strict=True)
    ]


def _deliveries(request: Request) -> Any:
    """Return the delivery price of every day, newest first."""
    market = _market_of_index(request)
    offset = integer(request.params, "offset", 0)
    count = min(max(integer(request.params, "count", 10), 1), _MAXIMUM_DELIVERIES)
    newest = day_start_ms(board_day(request.exchange.now_ms()))
    total = (newest - _FIRST_DELIVERY_MS) // DAY_MS + 1
    days = [newest - each * DAY_MS for each in range(offset, min(offset + count, total))]
    data = [
        {
            "date": datetime.fromtimestamp(day / 1_000, UTC).date().isoformat(),
            "delivery_price": market.settlement_average(day, day),
        }
        for day in days
    ]
    return {"data": data, "records_total": total}


def _index_chart(request: Request) -> Any:
    """Return [time, price] of an index over one of the ranges, up to now."""
    market = _market_of_index(request)
    chosen = text(request.params, "range")
    if chosen not in _CHART_RANGES:
        raise invalid_params("range", f"must be one of {', '.join(_CHART_RANGES)}")
    length, spacing = _CHART_RANGES[chosen]
    now = request.exchange.now_ms()
    moments = np.arange(-(-(now - length) // spacing) * spacing, now + 1, spacing, dtype=np.int64)
    prices = market.index_price(moments).tolist()
    return [list(point) for point in zip(moments.tolist(), prices, strict=True)]


PAST_METHODS: dict[str, Method] = {
    "public/get_tradingview_chart_data": _candles,
    "public/get_volatility_index_data": _volatility_candles,
    "public/get_funding_rate_history": _funding,
    "public/get_delivery_prices": _deliveries,
    "public/get_index_chart_data": _index_chart,
}
