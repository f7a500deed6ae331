"""Pagers of candles, DVOL candles, funding, delivery prices and the index chart."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import msgspec

from streamer.history.intervals import Interval
from streamer.history.messages import Candle, Delivery, Funding, IndexPoint, VolatilityCandle
from streamer.history.pager import Call

__all__ = ["CandlePager", "DeliveryPager", "FundingPager", "IndexChartPager", "VolatilityPager"]

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_CANDLES = 1_000
_FUNDING_HOURS = 672  # the exchange gives at most a month
_DELIVERIES = 1_000
_DELIVERY_HOUR = timedelta(hours=8)
_CHART_RANGES = (
    ("1h", _HOUR_MS),
    ("1d", _DAY_MS),
    ("2d", 2 * _DAY_MS),
    ("1m", 28 * _DAY_MS),
    ("1y", 365 * _DAY_MS),
)


class _Chart(msgspec.Struct):
    status: str
    ticks: list[int] = []
    open: list[float] = []
    high: list[float] = []
    low: list[float] = []
    close: list[float] = []
    volume: list[float | None] = []
    cost: list[float | None] = []


class _VolatilityData(msgspec.Struct):
    data: list[tuple[int, float, float, float, float]]
    continuation: int | None = None


class _FundingRow(msgspec.Struct):
    timestamp: int
    index_price: float | None = None
    prev_index_price: float | None = None
    interest_8h: float | None = None
    interest_1h: float | None = None


class _DeliveryRow(msgspec.Struct):
    date: date
    delivery_price: float


class _DeliveryData(msgspec.Struct):
    data: list[_DeliveryRow]
    records_total: int = 0


class _Windows:
    """Cuts an interval into windows of which each fits into one answer."""

    table = ""

    def __init__(self, interval: Interval, window_ms: int) -> None:
        self._interval = interval
        self._window_ms = window_ms
        self._cursor = interval.from_ms

    @property
    def done_to_ms(self) -> int:
        """Everything before this moment was handed out."""
        return self._cursor

    @property
    def _window(self) -> Interval:
        end = min(self._cursor + self._window_ms, self._interval.to_ms)
        return Interval(self._cursor, end)

    @property
    def _is_done(self) -> bool:
        return self._cursor >= self._interval.to_ms

    def _bounds(self) -> dict[str, str]:
        window = self._window
        return {"start_timestamp": str(window.from_ms), "end_timestamp": str(window.to_ms - 1)}

    def _inside(self, timestamp_ms: int) -> bool:
        window = self._window
        return window.from_ms <= timestamp_ms < window.to_ms

    def give_up(self) -> bool:
        """Return False: a window cannot be left out."""
        return False


class CandlePager(_Windows):
    """Pages through candles of one instrument.

    Parameters
    ----------
    instrument_name
        Which.
    resolution_minutes
        1, 3, 5, 10, 15, 30, 60, 120, 180, 360, 720 or 1440.
    interval
        Which candles, by their start.
    """

    table = "candles"

    def __init__(self, instrument_name: str, resolution_minutes: int, interval: Interval) -> None:
        super().__init__(interval, _CANDLES * resolution_minutes * 60_000)
        self._name = instrument_name
        self._minutes = resolution_minutes

    def next_call(self) -> Call | None:
        """Return the next window's call."""
        if self._is_done:
            return None
        resolution = "1D" if self._minutes == 1440 else str(self._minutes)
        wanted = {"instrument_name": self._name, "resolution": resolution}
        return Call("public/get_tradingview_chart_data", wanted | self._bounds())

    def take(self, result: msgspec.Raw) -> list[bytes]:
        """Take a window's candles.

        Raises
        ------
        msgspec.DecodeError
            They have another form, or columns of different length.
        """
        chart = msgspec.json.decode(result, type=_Chart)
        absent: list[float | None] = [None] * len(chart.ticks)
        columns = (chart.ticks, chart.open, chart.high, chart.low, chart.close)
        extra = (chart.volume or absent, chart.cost or absent)
        if len({len(column) for column in (*columns, *extra)}) > 1:
            raise msgspec.ValidationError("the columns of the chart differ in length")
        rows = [
            msgspec.json.encode(Candle(self._name, self._minutes * 60, *values))
            for values in zip(*columns, *extra, strict=True)
            if self._inside(values[0])
        ]
        self._cursor = self._window.to_ms
        return rows


class VolatilityPager(_Windows):
    """Pages through DVOL candles of one currency; inside a window the exchange pages backwards.

    Parameters
    ----------
    currency
        BTC or ETH.
    resolution_seconds
        1, 60, 3600, 43200 or 86400.
    interval
        Which candles, by their start.
    """

    table = "volatility_index_candles"

    def __init__(self, currency: str, resolution_seconds: int, interval: Interval) -> None:
        super().__init__(interval, _CANDLES * resolution_seconds * 1_000)
        self._currency = currency
        self._seconds = resolution_seconds
        self._end: int | None = None

    def next_call(self) -> Call | None:
        """Return the next window's call, or that of its older part."""
        if self._is_done:
            return None
        bounds = self._bounds()
        if self._end is not None:
            bounds["end_timestamp"] = str(self._end)
        resolution = "1D" if self._seconds == 86_400 else str(self._seconds)
        wanted = {"currency": self._currency, "resolution": resolution}
        return Call("public/get_volatility_index_data", wanted | bounds)

    def take(self, result: msgspec.Raw) -> list[bytes]:
        """Take a page of candles.

        Raises
        ------
        msgspec.DecodeError
            They have another form.
        """
        page = msgspec.json.decode(result, type=_VolatilityData)
        name = f"{self._currency.lower()}_usd"
        rows = [
            msgspec.json.encode(VolatilityCandle(name, self._seconds, *values))
            for values in page.data
            if self._inside(values[0])
        ]
        older = page.continuation
        is_older = older is not None and older >= self._cursor
        if is_older and (self._end is None or (older or 0) < self._end):
            self._end = older
        else:
            self._end = None
            self._cursor = self._window.to_ms
        return rows


class FundingPager(_Windows):
    """Pages through the funding of one perpetual.

    Parameters
    ----------
    instrument_name
        A perpetual.
    interval
        Which hours.
    """

    table = "funding_rates"

    def __init__(self, instrument_name: str, interval: Interval) -> None:
        super().__init__(interval, _FUNDING_HOURS * _HOUR_MS)
        self._name = instrument_name

    def next_call(self) -> Call | None:
        """Return the next window's call."""
        if self._is_done:
            return None
        wanted = {"instrument_name": self._name}
        return Call("public/get_funding_rate_history", wanted | self._bounds())

    def take(self, result: msgspec.Raw) -> list[bytes]:
        """Take a window's hours.

        Raises
        ------
        msgspec.DecodeError
            They have another form.
        """
        rows = [
            msgspec.json.encode(
                Funding(
                    self._name,
                    row.timestamp,
                    row.index_price,
                    row.prev_index_price,
                    row.interest_8h,
                    row.interest_1h,
                )
            )
            for row in msgspec.json.decode(result, type=list[_FundingRow])
            if self._inside(row.timestamp)
        ]
        self._cursor = self._window.to_ms
        return rows


class DeliveryPager:
    """Pages through the delivery prices of one index, newest first.

    Nothing counts as done before all is: the pages are counted from the newest day.

    Parameters
    ----------
    index_name
        For example btc_usd.
    interval
        Which deliveries.
    """

    table = "delivery_prices"

    def __init__(self, index_name: str, interval: Interval) -> None:
        self._name = index_name
        self._interval = interval
        self._offset = 0
        self._is_done = False

    @property
    def done_to_ms(self) -> int:
        """Everything before this moment was handed out."""
        return self._interval.to_ms if self._is_done else self._interval.from_ms

    def next_call(self) -> Call | None:
        """Return the next page's call."""
        if self._is_done:
            return None
        wanted = {
            "index_name": self._name,
            "offset": str(self._offset),
            "count": str(_DELIVERIES),
        }
        return Call("public/get_delivery_prices", wanted)

    def take(self, result: msgspec.Raw) -> list[bytes]:
        """Take a page.

        Raises
        ------
        msgspec.DecodeError
            It has another form.
        """
        page = msgspec.json.decode(result, type=_DeliveryData)
        moments = [_delivery_ms(row.date) for row in page.data]
        rows = _rows_inside(
            self._interval,
            (
                Delivery(self._name, moment, row.delivery_price)
                for moment, row in zip(moments, page.data, strict=True)
            ),
        )
        self._offset += len(page.data)
        is_last = not page.data or self._offset >= page.records_total
        self._is_done = is_last or min(moments) < self._interval.from_ms
        return rows

    def give_up(self) -> bool:
        """Return False: a page cannot be left out."""
        return False


class IndexChartPager:
    """The chart of one index: a single call, for the shortest range that reaches back far enough.

    Parameters
    ----------
    index_name
        For example btc_usd.
    interval
        Which points.
    now_ms
        The exchange counts its ranges from now.
    """

    table = "spot_prices"

    def __init__(self, index_name: str, interval: Interval, now_ms: int) -> None:
        self._name = index_name
        self._interval = interval
        age_ms = now_ms - interval.from_ms
        self._range = next((name for name, reach in _CHART_RANGES if reach >= age_ms), "all")
        self._is_done = False

    @property
    def done_to_ms(self) -> int:
        """Everything before this moment was handed out."""
        return self._interval.to_ms if self._is_done else self._interval.from_ms

    def next_call(self) -> Call | None:
        """Return the one call."""
        if self._is_done:
            return None
        wanted = {"index_name": self._name, "range": self._range}
        return Call("public/get_index_chart_data", wanted)

    def take(self, result: msgspec.Raw) -> list[bytes]:
        """Take the chart.

        Raises
        ------
        msgspec.DecodeError
            It has another form.
        """
        points = msgspec.json.decode(result, type=list[tuple[int, float]])
        rows = _rows_inside(self._interval, (IndexPoint(self._name, *point) for point in points))
        self._is_done = True
        return rows

    def give_up(self) -> bool:
        """Return False: there is nothing else to ask."""
        return False


def _delivery_ms(day: date) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return round((midnight + _DELIVERY_HOUR).timestamp() * 1_000)


def _rows_inside(interval: Interval, rows: Iterable[Delivery | IndexPoint]) -> list[bytes]:
    return [
        msgspec.json.encode(row)
        for row in rows
        if interval.from_ms <= row.timestamp < interval.to_ms
    ]
