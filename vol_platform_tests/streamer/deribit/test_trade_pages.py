"""Missing trades are asked for by number, page by page, until all came."""

from __future__ import annotations

import msgspec
import pytest

from streamer.deribit.sequences import Hole, TradeHead
from streamer.deribit.trade_pages import HoleFilling


def hole(first: int, last: int) -> Hole:
    return Hole("BTC-PERPETUAL", first, last, 0, 1)


def answer(*numbers: int) -> bytes:
    trades = [TradeHead("BTC-PERPETUAL", number, number) for number in numbers]
    return msgspec.json.encode({"result": {"trades": trades, "has_more": False}})


def asked(filling: HoleFilling) -> tuple[int, int]:
    query = filling.query()
    assert query["instrument_name"] == "BTC-PERPETUAL"
    assert (query["count"], query["sorting"]) == ("1000", "asc")
    return int(query["start_seq"]), int(query["end_seq"])


def test_a_small_hole_is_one_page():
    filling = HoleFilling(hole(5, 7))
    assert asked(filling) == (5, 7)
    assert filling.take(answer(4, 5, 6, 7, 8))
    assert filling.is_filled
    assert not filling.has_next


def test_a_large_hole_is_paged_without_seams():
    filling = HoleFilling(hole(1, 2_500))
    pages = []
    while filling.has_next:
        first, last = asked(filling)
        pages.append((first, last))
        assert filling.take(answer(*range(first, last + 1)))
    assert pages == [(1, 1000), (1001, 2000), (2001, 2500)]
    assert filling.is_filled


def test_what_did_not_come_is_asked_for_again_and_what_came_is_not_kept_twice():
    filling = HoleFilling(hole(5, 8))
    assert filling.take(answer(5, 8))
    assert (filling.missing, filling.is_filled, filling.has_next) == (2, False, False)
    filling.try_again(10.0, 2.0)
    assert (filling.attempts, filling.not_before) == (1, 12.0)
    assert filling.has_next
    assert not filling.take(answer(5, 8))
    filling.try_again(20.0, 2.0)
    assert filling.take(answer(5, 6, 7, 8))
    assert filling.is_filled


@pytest.mark.parametrize("body", [b"", b"{}", b'{"result":[]}'])
def test_an_unreadable_answer_is_said(body):
    filling = HoleFilling(hole(5, 8))
    with pytest.raises(msgspec.DecodeError):
        filling.take(body)
    assert filling.has_next
