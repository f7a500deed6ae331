"""Candles, funding, deliveries: windows without seams, and answers of every shape."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamer.history.chart_pagers import (
    CandlePager,
    DeliveryPager,
    FundingPager,
    IndexChartPager,
    VolatilityPager,
)
from streamer.history.intervals import Interval

HOUR = 3_600_000
DAY = 24 * HOUR


def raw(result: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(result))


def rows(taken: list[bytes]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(row) for row in taken]


def test_candles_come_in_windows_that_touch_and_do_not_overlap():
    pager = CandlePager("BTC-PERPETUAL", 1, Interval(0, 2_500 * 60_000))
    windows = []
    ticks = []
    while (call := pager.next_call()) is not None:
        assert call.parameters["resolution"] == "1"
        first = int(call.parameters["start_timestamp"])
        last = int(call.parameters["end_timestamp"])
        windows.append((first, last))
        # An exchange that says more than it was asked for must not make rows twice.
        starts = list(range(first // 60_000 * 60_000, last + 120_000, 60_000))
        prices = [100.5] * len(starts)
        chart = dict.fromkeys(("open", "high", "low", "close", "volume", "cost"), prices)
        taken = pager.take(raw({"ticks": starts, "status": "ok", **chart}))
        ticks += [row["timestamp"] for row in rows(taken)]
    assert len(windows) == 3
    assert [first for first, _ in windows[1:]] == [last + 1 for _, last in windows[:-1]]
    assert ticks == list(range(0, 2_500 * 60_000, 60_000))
    assert pager.done_to_ms == 2_500 * 60_000


def test_a_day_has_a_name_of_its_own_and_no_data_is_no_row():
    pager = CandlePager("BTC-PERPETUAL", 1440, Interval(0, DAY))
    call = pager.next_call()
    assert call is not None
    assert call.parameters["resolution"] == "1D"
    assert pager.take(raw({"status": "no_data", "ticks": []})) == []
    assert pager.next_call() is None


def test_a_chart_with_a_short_column_is_refused_and_can_be_asked_for_again():
    pager = CandlePager("BTC-PERPETUAL", 60, Interval(0, DAY))
    before = pager.next_call()
    chart = {"status": "ok", "ticks": [0, HOUR], "open": [1.0, 1.0], "high": [1.0, 1.0]}
    with pytest.raises(msgspec.ValidationError, match="length"):
        pager.take(raw(chart | {"low": [1.0, 1.0], "close": [1.0]}))
    assert pager.next_call() == before


def test_volatility_candles_page_backwards_inside_a_window():
    pager = VolatilityPager("BTC", 3_600, Interval(0, 5 * HOUR))
    first = pager.next_call()
    assert first is not None
    newest = [[4 * HOUR, 40, 41, 39, 40.5], [3 * HOUR, 40, 41, 39, 40.5]]
    taken = rows(pager.take(raw({"data": newest, "continuation": 3 * HOUR - 1})))
    assert [row["timestamp"] for row in taken] == [4 * HOUR, 3 * HOUR]
    assert pager.done_to_ms == 0
    older = pager.next_call()
    assert older is not None
    assert older.parameters["end_timestamp"] == str(3 * HOUR - 1)
    assert older.parameters["start_timestamp"] == first.parameters["start_timestamp"]
    taken = rows(pager.take(raw({"data": [[HOUR, 40, 41, 39, 40]], "continuation": None})))
    assert taken[0]["index_name"] == "btc_usd"
    assert (pager.done_to_ms, pager.next_call()) == (5 * HOUR, None)


def test_a_continuation_that_does_not_move_ends_the_window():
    pager = VolatilityPager("BTC", 3_600, Interval(0, 5 * HOUR))
    for _ in range(2):
        pager.take(raw({"data": [], "continuation": 2 * HOUR}))
    assert pager.next_call() is None


def test_funding_is_asked_for_by_the_month():
    pager = FundingPager("BTC-PERPETUAL", Interval(0, 60 * DAY))
    windows = 0
    while (call := pager.next_call()) is not None:
        first = int(call.parameters["start_timestamp"])
        answer = [{"timestamp": first, "interest_8h": 1e-5, "interest_1h": 1e-6}]
        (row,) = rows(pager.take(raw(answer)))
        assert row["instrument_name"] == "BTC-PERPETUAL"
        windows += 1
    assert windows == 3


def test_deliveries_are_paged_from_the_newest_until_the_first_wanted_day():
    pager = DeliveryPager("btc_usd", Interval(10 * DAY, 13 * DAY))
    days = [f"1970-01-{day:02}" for day in range(20, 0, -1)]
    kept = []
    while (call := pager.next_call()) is not None:
        assert pager.done_to_ms == 10 * DAY
        offset = int(call.parameters["offset"])
        page = [{"date": day, "delivery_price": 9.5} for day in days[offset : offset + 6]]
        kept += rows(pager.take(raw({"data": page, "records_total": len(days)})))
    # The 11th of January, 08:00, is the first after the tenth day.
    assert [row["timestamp"] - 8 * HOUR for row in kept] == [12 * DAY, 11 * DAY, 10 * DAY]
    assert pager.done_to_ms == 13 * DAY


def test_deliveries_end_with_the_list():
    pager = DeliveryPager("btc_usd", Interval(0, DAY))
    assert pager.take(raw({"data": [], "records_total": 0})) == []
    assert pager.next_call() is None


@pytest.mark.parametrize(
    ("age", "name"), [(HOUR, "1h"), (DAY, "1d"), (7 * DAY, "1m"), (400 * DAY, "all")]
)
def test_the_index_chart_is_the_shortest_that_reaches_back(age, name):
    now = 1_000 * DAY
    pager = IndexChartPager("btc_usd", Interval(now - age, now), now)
    call = pager.next_call()
    assert call is not None
    assert call.parameters == {"index_name": "btc_usd", "range": name}
    taken = pager.take(raw([[now - age - 1, 1.5], [now - age, 2.5], [now, 3.5]]))
    assert [row["price"] for row in rows(taken)] == [2.5]
    assert pager.next_call() is None
    assert not pager.give_up()
