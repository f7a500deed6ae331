"""Chains of books and numbers of trades: what is missing is found, what is not is not."""

from __future__ import annotations

import random

import msgspec
import pytest

from streamer.deribit.sequences import BookChain, Hole, Link, TradeHead, TradeWatch

NAME = "BTC-25DEC26-100000-C"


def book(change_id: int, before: int | None = None, kind: str | None = "change") -> bytes:
    data = {"change_id": change_id, "prev_change_id": before, "type": kind}
    return msgspec.json.encode({name: it for name, it in data.items() if it is not None})


@pytest.mark.parametrize(
    ("messages", "links"),
    [
        ([book(5, kind="snapshot"), book(9, 5), book(10, 9)], "SCC"),
        ([book(5, kind="snapshot"), book(9, 5), book(9, 5), book(10, 9)], "SCRC"),
        ([book(5, kind="snapshot"), book(9, 7)], "SB"),
        ([book(5, kind="snapshot"), book(9, 5), book(7, 5)], "SCB"),  # backwards
        ([book(9, 5)], "B"),  # the snapshot was lost
        ([book(9, 0)], "S"),  # a book that was never quoted begins with a change
        ([book(5, kind=None), book(9, 5, kind=None)], "SC"),  # before 2020
        ([book(5, 3, "snapshot"), book(9, 5)], "SC"),  # seen on LINK_USDC in 2022
        ([book(5, kind="snapshot"), b"{", book(9, 8)], "SRB"),
        ([book(5, kind="snapshot"), b'{"change_id":"\xff"}', book(9, 5)], "SRC"),
    ],
)
def test_how_a_book_message_fits_to_the_one_before(messages, links):
    chain = BookChain()
    assert "".join(chain.take(message).name[0] for message in messages) == links


def test_a_break_says_what_was_expected():
    chain = BookChain()
    chain.take(book(9, 8))
    assert chain.detail == "expected to follow a snapshot, but follows change_id 8"
    chain.take(book(12, 11))
    assert chain.detail == "expected to follow change_id 9, but follows change_id 11"
    assert chain.take(book(13, 12)) is Link.CHAINED  # the newest change is the one to follow


def trades(*numbers: int, name: str = NAME) -> bytes:
    return msgspec.json.encode([TradeHead(name, number, number * 1000) for number in numbers])


def test_trades_in_order_repeated_or_unordered_in_one_message_are_whole():
    watch = TradeWatch()
    for message in (trades(7), trades(8, 9), trades(9), trades(11, 10), trades(2)):
        assert watch.take(message) == []
    assert len(watch) == 1


def test_a_hole_has_both_sides():
    watch = TradeWatch()
    watch.take(trades(7))
    (hole,) = watch.take(trades(12))
    assert hole == Hole(NAME, 8, 11, 7_000, 12_000)
    assert hole.count == 4


def test_instruments_are_counted_apart():
    watch = TradeWatch()
    watch.take(trades(7))
    assert watch.take(trades(100, name="BTC-PERPETUAL")) == []


@pytest.mark.parametrize("data", [b"{}", b"[1]", b"\xff", b'[{"instrument_name":"\xff"}]'])
def test_unreadable_trades_change_nothing(data):
    watch = TradeWatch()
    watch.take(trades(7))
    assert watch.take(data) == []
    assert watch.take(trades(8)) == []


def test_what_an_earlier_process_stored_shows_the_hole_of_the_restart():
    watch = TradeWatch()
    watch.take(trades(7))
    watch.take(trades(30, name="whole"))
    stored = [
        TradeHead(NAME, 4, 4_000),
        TradeHead("whole", 29, 29_000),
        TradeHead("quiet", 3, 3_000),
    ]
    assert watch.remember(stored) == [Hole(NAME, 5, 6, 4_000, 7_000)]
    assert watch.take(trades(5, name="quiet")) == [Hole("quiet", 4, 4, 3_000, 5_000)]
    assert watch.take(trades(8)) == []


def test_a_later_trade_with_an_earlier_time_makes_no_hole_that_ends_before_it_begins():
    watch = TradeWatch()
    watch.take(trades(7))
    late = msgspec.json.encode([TradeHead(NAME, 9, 6_000)])
    assert watch.take(late) == [Hole(NAME, 8, 8, 7_000, 7_000)]


def test_forgotten_instruments_begin_anew():
    watch = TradeWatch()
    watch.take(trades(7))
    watch.forget([NAME, "never seen"])
    assert watch.take(trades(99)) == []


def test_any_set_of_lost_trades_is_found_exactly():
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - so that a failure can be repeated
    chance = random.Random(seed)
    for _ in range(200):
        watch, found = TradeWatch(), []
        lost = set(chance.sample(range(2, 60), chance.randrange(40)))
        for number in range(1, 61):
            if number not in lost:
                found += watch.take(trades(number))
        assert {n for it in found for n in range(it.first_seq, it.last_seq + 1)} == lost
