"""Gaps open once, close once, and say how they were repaired."""

from __future__ import annotations

import msgspec
import pytest

from streamer.gaps import GapBook, decode_gap, encode_gap


@pytest.fixture
def book() -> GapBook:
    return GapBook("tested", 77)


def open_one(book: GapBook, key: str = "a", **more):
    return book.open(key, from_ns=10, cause="silence", detail="why", **more)


def test_a_gap_opens_once_and_closes_once(book):
    opened = open_one(book)
    assert (opened.gap_id, opened.version, opened.to_ns) == ("tested-77-1", 1, None)
    assert open_one(book) is None
    assert book.is_open("a")
    assert len(book) == 1
    closed = book.close("a", 99)
    assert (closed.gap_id, closed.version, closed.to_ns) == ("tested-77-1", 2, 99)
    assert (closed.repaired_ns, closed.repair_method) == (None, "")
    assert book.close("a", 99) is None
    assert open_one(book).gap_id == "tested-77-2"


def test_a_gap_closed_by_its_repair_says_when_and_how(book):
    open_one(book, to_ns=20, gap_id="known")
    closed = book.close("a", 99, repair_method="trades_rest")
    assert (closed.gap_id, closed.to_ns) == ("known", 20)  # its end was known before
    assert (closed.repaired_ns, closed.repair_method) == (99, "trades_rest")


def test_a_bridged_gap_stays_open(book):
    open_one(book)
    bridged = book.repair("a", 50, "book_summary")
    assert (bridged.version, bridged.to_ns, bridged.repaired_ns) == (2, None, 50)
    closed = book.close("a", 99)
    assert (closed.version, closed.to_ns, closed.repaired_ns) == (3, 99, 50)
    assert book.repair("a", 50, "book_summary") is None


def test_a_gap_of_an_earlier_process_is_closed_under_its_own_id(book):
    earlier = open_one(GapBook("tested", 1))
    key = book.adopt(earlier)
    assert book.keys("earlier ") == [key]
    closed = book.close(key, 99)
    assert (closed.gap_id, closed.version) == ("tested-1-1", 2)


def test_a_gap_travels_as_bytes(book):
    gap = open_one(book, channel="c", instrument_name="i")
    assert decode_gap(encode_gap(gap)) == gap
    with pytest.raises(msgspec.DecodeError):
        decode_gap(b"[]")


def test_a_gap_written_before_repairs_were_known_is_still_read(book):
    old = msgspec.json.decode(encode_gap(open_one(book)))
    del old["repaired_ns"], old["repair_method"]
    assert decode_gap(msgspec.json.encode(old)).repaired_ns is None
