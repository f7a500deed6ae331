"""Trades are paged without a loss at any page edge, and holes in their numbers are filled."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamer.history.intervals import Interval
from streamer.history.trade_pager import TradePager

PAGE = 5
NAMES = ("BTC-PERPETUAL", "BTC-25DEC26")


class History:
    """An exchange that answers calls from a list; `hidden` trades are found by number alone."""

    def __init__(self, trades: list[dict[str, Any]], hidden: frozenset[str] = frozenset()) -> None:
        self.trades = trades
        self.hidden = hidden
        self.calls = 0

    def answer(self, method: str, parameters: dict[str, str]) -> msgspec.Raw:
        self.calls += 1
        assert parameters["include_old"] == "true"
        if method.endswith("by_instrument"):
            found = [
                trade
                for trade in self.trades
                if trade["instrument_name"] == parameters["instrument_name"]
                and int(parameters["start_seq"]) <= trade["trade_seq"] <= int(parameters["end_seq"])
            ]
        else:
            first, last = int(parameters["start_timestamp"]), int(parameters["end_timestamp"])
            found = [
                trade
                for trade in self.trades
                if first <= trade["timestamp"] <= last and trade["trade_id"] not in self.hidden
            ]
        if parameters["sorting"] == "desc":
            found = found[::-1]
        count = int(parameters["count"])
        page = {"trades": found[:count], "has_more": len(found) > count}
        return msgspec.Raw(msgspec.json.encode(page))


def trades_of(moves: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Return trades: each move is milliseconds since the one before, and which instrument."""
    trades = []
    numbers = dict.fromkeys(NAMES, 0)
    now = 0
    for place, (pause, which) in enumerate(moves):
        now += pause
        numbers[NAMES[which]] += 1
        trades.append(
            {
                "instrument_name": NAMES[which],
                "trade_seq": numbers[NAMES[which]],
                "trade_id": str(place),
                "timestamp": now,
            }
        )
    return trades


def page_through(pager: TradePager, history: History) -> list[str]:
    handed = []
    while (call := pager.next_call()) is not None:
        assert pager.next_call() == call
        before = pager.done_to_ms
        handed += [
            msgspec.json.decode(raw)["trade_id"]
            for raw in pager.take(history.answer(call.method, call.parameters))
        ]
        assert pager.done_to_ms >= before
        assert history.calls < 500
    return handed


MOVES = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 7]), st.integers(0, 1)), max_size=60)


@given(MOVES)
def test_every_trade_is_handed_out(moves):
    trades = trades_of(moves)
    interval = Interval(0, 1_000)
    pager = TradePager("BTC", "future", interval, page_size=PAGE)
    handed = page_through(pager, History(trades))
    # Of a millisecond with more trades than two pages those in the middle show as holes in the
    # numbers of what follows; only what nothing follows could stay unseen.
    crowds = {t["timestamp"]: 0 for t in trades}
    for trade in trades:
        crowds[trade["timestamp"]] += 1
    if all(crowd <= 2 * PAGE for crowd in crowds.values()):
        assert set(handed) == {trade["trade_id"] for trade in trades}
        assert pager.missing == 0
    assert pager.done_to_ms == interval.to_ms


@given(MOVES, st.sets(st.integers(1, 58), max_size=10))
def test_trades_that_a_page_lacks_are_asked_for_by_number(moves, hidden):
    trades = trades_of(moves)
    last_of = {trade["instrument_name"]: trade["trade_id"] for trade in trades}
    first_of = {trade["instrument_name"]: trade["trade_id"] for trade in reversed(trades)}
    ends = {*last_of.values(), *first_of.values()}  # beyond the ends no number is skipped
    gone = frozenset(str(place) for place in hidden) - ends
    pager = TradePager("BTC", "future", Interval(0, 1_000), page_size=1_000)
    assert set(page_through(pager, History(trades, gone))) == {t["trade_id"] for t in trades}


def test_a_millisecond_with_more_trades_than_a_page_is_taken_from_both_ends():
    trades = trades_of([(5, 0)] + [(0, place % 2) for place in range(8)] + [(3, 0)])
    pager = TradePager("BTC", "future", Interval(0, 100), page_size=PAGE)
    assert set(page_through(pager, History(trades))) == {t["trade_id"] for t in trades}


def test_the_middle_of_a_crowded_millisecond_comes_by_number():
    trades = trades_of([(5, 0)] * 1 + [(0, 0)] * 30 + [(3, 0)])
    pager = TradePager("BTC", "future", Interval(0, 100), page_size=PAGE)
    assert set(page_through(pager, History(trades))) == {t["trade_id"] for t in trades}


def test_what_the_exchange_lost_is_counted_and_does_not_stop_the_rest():
    trades = trades_of([(1, 0)] * 6)
    lost = [trade for trade in trades if trade["trade_seq"] not in {3, 4}]
    pager = TradePager("BTC", "future", Interval(0, 100), page_size=PAGE)
    assert len(page_through(pager, History(lost))) == 4
    assert pager.missing == 2


def test_an_instrument_that_is_refused_is_given_up_but_a_page_is_not():
    trades = trades_of([(1, 0)] * 6)
    lost = [trade for trade in trades if trade["trade_seq"] != 3]
    pager = TradePager("BTC", "future", Interval(0, 100), page_size=1_000)
    assert not pager.give_up()
    call = pager.next_call()
    assert call is not None
    pager.take(History(lost).answer(call.method, call.parameters))
    assert pager.done_to_ms == 0  # not done before its holes are
    assert pager.give_up()
    assert (pager.missing, pager.next_call(), pager.done_to_ms) == (1, None, 100)


def test_a_restart_goes_on_where_everything_before_was_handed_out():
    trades = trades_of([(place % 2, 0) for place in range(40)])
    history = History(trades)
    pager = TradePager("BTC", "future", Interval(0, 100), page_size=PAGE)
    handed: set[str] = set()
    for _ in range(3):
        call = pager.next_call()
        assert call is not None
        page = pager.take(history.answer(call.method, call.parameters))
        handed |= {msgspec.json.decode(raw)["trade_id"] for raw in page}
    again = TradePager("BTC", "future", Interval(pager.done_to_ms, 100), page_size=PAGE)
    handed |= set(page_through(again, history))
    assert handed == {trade["trade_id"] for trade in trades}
