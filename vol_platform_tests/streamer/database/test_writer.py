"""Segments into a real database: exactly once, in whatever way it fails."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.clock import SYSTEM_CLOCK, Clock
from streamer.database.hours import HourKeeper
from streamer.database.store import Store
from streamer.database.writer import SegmentWriter, WriterStopped
from streamer.gaps import GapBook, encode_gap
from streamer.spool.segment import RecordKind
from streamer.spool.spool import Spool, SpoolLimits
from vol_platform.store.client import connect
from vol_platform_tests.streamer.support import (
    RECEIVED_MS,
    RECEIVED_NS,
    frame,
    streamer_settings,
    ticker_frame,
)


class ForgetfulStore(Store):
    """A database whose answers are lost: the rows arrive, the acknowledgement does not."""

    forgets = 0

    def insert(self, table: str, columns: Any, token: str) -> None:
        super().insert(table, columns, token)
        if self.forgets > 0:
            self.forgets -= 1
            raise ConnectionResetError("the answer was lost")


class Bench:
    """A spool, a writer and a database to look into."""

    def __init__(self, database, directory: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        settings = streamer_settings(database, directory)
        self.database = database
        self.store = ForgetfulStore(settings.clickhouse)
        self.spool = Spool(
            directory,
            collector="tested",
            source="stream",
            testnet=False,
            clock=clock,
            limits=SpoolLimits(disk_floor_bytes=0),
        )
        self.hours = HourKeeper(
            store=self.store, collector="tested", clock=clock, grace_seconds=5.0, is_replay=True
        )
        self.writer = SegmentWriter(
            spool=self.spool,
            store=self.store,
            clock=clock,
            hours=self.hours,
            seed=1,
            backoff_limit_seconds=0.01,
        )

    def segment(self, *frames: bytes, kind: RecordKind = RecordKind.FRAME) -> Path:
        for number, each in enumerate(frames):
            assert self.spool.append(kind, RECEIVED_NS + number * 1000, 7, each)
        segment = self.spool.roll()
        assert segment is not None
        return self.spool.seal(segment)

    def one(self, query: str) -> tuple[Any, ...]:
        with connect(self.database) as client:
            return client.query(query).first_row

    def close(self) -> None:
        self.spool.close()
        self.store.close()


@pytest.fixture
def bench(database, tmp_path):
    bench = Bench(database, tmp_path)
    yield bench
    bench.close()


def quotes(count: int, start: int = 0) -> list[bytes]:
    return [
        ticker_frame(timestamp=RECEIVED_MS - 60_000 + number, best_bid_amount=number + 1)
        for number in range(start, start + count)
    ]


def test_repaired_trades_and_bridged_quotes_are_rows_marked_as_such(bench):
    trade = {
        "instrument_name": "BTC-PERPETUAL",
        "timestamp": RECEIVED_MS - 90_000,
        "trade_id": "7",
        "trade_seq": 12,
        "price": 90000.5,
        "amount": 10.0,
        "direction": "buy",
    }
    trades = msgspec.json.encode({"result": {"trades": [trade], "has_more": False}})
    names = ["BTC-25DEC26-100000-C", "BTC-PERPETUAL", "BTC-FS-25DEC26_PERP"]
    summaries = [
        {"instrument_name": name, "creation_timestamp": RECEIVED_MS - 10, "bid_price": 0.05,
         "ask_price": None, "mark_iv": 44.5, "underlying_price": 91000.25, "volume": 1.5}
        for name in names
    ]  # fmt: skip
    summary = msgspec.json.encode({"result": summaries})
    for kind, body in (
        (RecordKind.FRAME, ticker_frame()),
        (RecordKind.TRADES, trades),
        (RecordKind.BOOK_SUMMARY, summary),
        (RecordKind.TRADES, b'{"error":{"code":10028,"message":"no"}}'),
        (RecordKind.BOOK_SUMMARY, b'{"result":[{"instrument_name":"x"}]}'),
        (RecordKind.BOOK_SUMMARY, summary.replace(str(RECEIVED_MS - 10).encode(), b"1")),
    ):
        bench.spool.append(kind, RECEIVED_NS, 0, body)
    path = bench.spool.seal(bench.spool.roll())
    written = bench.writer.write(path)
    assert written.batch.bridged_exchange_ms == [RECEIVED_MS - 10, RECEIVED_MS - 90_000]
    assert bench.writer.totals.is_balanced
    with connect(bench.database) as client:
        rows = client.query(
            "SELECT source, toFloat64(bid_price), toFloat64(ask_price), toFloat64(mark_iv), "
            "delta, underlying_price FROM options_quotes ORDER BY source"
        ).result_rows
        assert rows[0] == ("bridge", 0.05, None, 44.5, None, 91000.25)
        assert rows[1][0] == "stream"
        assert client.query("SELECT source FROM futures_prices").result_rows == [("bridge",)]
        assert client.query("SELECT source, trade_seq FROM trades").result_rows == [("bridge", 12)]
        reasons = client.query("SELECT reason FROM dead_letters ORDER BY reason").result_rows
    assert reasons == [("error_answer",), ("missing_field",), ("timestamp_out_of_range",)]


def test_the_versions_of_a_gap_say_how_it_was_repaired(bench):
    book = GapBook("tested", 1)
    opened = book.open("a", from_ns=RECEIVED_NS, cause="change_id", detail="why")
    closed = book.close("a", RECEIVED_NS + 5_000_000_000, repair_method="book_snapshot")
    bench.writer.write(bench.segment(*map(encode_gap, (opened, closed)), kind=RecordKind.GAP))
    row = bench.one(
        "SELECT cause, repair_method, dateDiff('second', from_ts, to_ts), repaired_ts = to_ts "
        "FROM ingest_gaps FINAL"
    )
    assert row == ("change_id", "book_snapshot", 5, True)


def test_lost_answers_neither_lose_nor_double_a_row_nor_a_state(bench):
    path = bench.segment(*quotes(50), b"not json", b'{"id":1,"result":[]}')
    bench.store.forgets = 9
    bench.writer.write(path)
    assert bench.writer.failures == 9
    assert bench.one("SELECT count(), uniqExact(content_checksum) FROM options_quotes") == (50, 50)
    assert bench.one("SELECT count(), any(raw), any(reason) FROM dead_letters") == (
        1,
        "not json",
        "malformed",
    )
    account = bench.one(
        "SELECT count(), sum(frames), sum(data_messages), sum(control_messages), "
        "sum(dead_letters), any(rows['options_quotes']) FROM ingest_segments"
    )
    assert account == (1, 52, 50, 1, 1, 50)
    assert bench.one("SELECT bid_amount FROM options_quotes_latest")[0] == 50
    assert path.with_suffix(".done").exists()


def test_a_crash_between_insert_and_done_is_repaired_by_writing_again(bench, monkeypatch):
    path = bench.segment(*quotes(5))
    with monkeypatch.context() as patch:
        patch.setattr(bench.spool, "finish", lambda _: None)
        for _ in range(2):
            assert bench.writer.write(path) is not None
    assert bench.writer.write(path) is not None
    assert path.with_suffix(".done").exists()
    assert bench.writer.write(path) is None  # it does not wait any more
    assert bench.one("SELECT count() FROM options_quotes") == (5,)
    assert bench.one("SELECT count() FROM ingest_segments") == (1,)
    bench.writer.write(path)


def test_segments_are_written_in_order_and_counted(bench):
    for number in range(3):
        bench.segment(*quotes(4, start=number * 4))
    assert bench.writer.write_all() == 3
    assert bench.writer.write_all() == 0
    assert bench.writer.totals.frames == 12
    assert bench.writer.totals.is_balanced
    order = bench.one(
        "SELECT groupArray(segment_id) = arraySort(groupArray(segment_id)) FROM "
        "(SELECT segment_id FROM ingest_segments ORDER BY inserted_ts)"
    )
    assert order == (True,)


def test_a_value_that_no_column_holds_buries_its_message_and_no_other(bench):
    big = ticker_frame(open_interest=1e15)
    trades = [
        {
            "trade_seq": 1,
            "trade_id": "1",
            "timestamp": RECEIVED_MS,
            "price": price,
            "amount": 1,
            "instrument_name": "BTC-PERPETUAL",
            "direction": "buy",
        }
        for price in (5.0, 1e14)
    ]
    bench.writer.write(bench.segment(*quotes(3), big, frame("trades.BTC-PERPETUAL.raw", trades)))
    assert bench.one("SELECT count() FROM options_quotes") == (3,)
    assert bench.one("SELECT count() FROM trades") == (0,)  # one message, one fate
    letters = bench.one("SELECT count(), groupUniqArray(reason), groupArray(raw) FROM dead_letters")
    assert letters[:2] == (2, ["out_of_range"])
    assert big.decode() in letters[2]
    assert bench.writer.totals.is_balanced


def test_a_frame_of_twenty_megabytes_is_a_dead_letter_byte_for_byte(bench):
    large = frame("ticker.BTC-25DEC26-1-C.100ms", "x" * (20 * 1024**2))
    bench.segment(large, *quotes(2))
    assert bench.writer.write_all() == 1
    assert bench.one("SELECT count() FROM options_quotes") == (2,)
    raw, reason = bench.one("SELECT raw, reason FROM dead_letters")
    assert reason == "wrong_type"
    assert raw.encode() == large


def test_a_value_with_too_many_digits_is_stored_rounded_and_named(bench):
    exact = ticker_frame(mark_price=0.05284217)
    long = ticker_frame().replace(b"0.05284217", b"0.052842171234567890123")
    tiny = ticker_frame().replace(b"0.0521", b"1e-310")
    bench.writer.write(bench.segment(exact, long, tiny))
    with connect(bench.database) as client:
        stored = client.query(
            "SELECT rounded_fields, toString(mark_price), toString(bid_price) FROM options_quotes "
            "ORDER BY received_ts"
        ).result_rows
    assert [tuple(row) for row in stored] == [
        ("", "0.05284217", "0.0521"),
        ("mark_price", "0.05284217", "0.0521"),
        ("bid_price", "0.05284217", "0"),
    ]


def test_a_damaged_segment_keeps_its_sound_part_and_says_what_is_missing(bench):
    path = bench.segment(*quotes(10))
    buffer = bytearray(path.read_bytes())
    buffer[-5] ^= 1
    path.write_bytes(buffer)
    bench.writer.write(path)
    assert path.with_suffix(".bad").exists()
    assert bench.spool.sealed() == []
    assert bench.one("SELECT count() FROM options_quotes") == (9,)
    gap = bench.one(
        "SELECT count(), any(cause), any(detail), any(from_ts < to_ts) FROM ingest_gaps"
    )
    assert gap[:2] == (1, "spool_damaged")
    assert path.name in gap[2]


def test_a_segment_without_a_header_is_put_aside_and_the_next_is_written(bench):
    path = bench.segment(*quotes(1))
    path.write_bytes(b"rubbish")
    bench.segment(*quotes(2))
    assert bench.writer.write_all() == 2
    assert bench.one("SELECT count() FROM options_quotes") == (2,)
    assert bench.one("SELECT count(), any(collector) FROM ingest_gaps") == (1, "tested")


@pytest.mark.parametrize("harm", ["vanished", "unreadable"])
def test_a_segment_that_is_gone_is_a_gap_row_and_the_next_is_written(bench, harm):
    path = bench.segment(*quotes(2))
    bench.segment(*quotes(1, start=2))
    path.unlink()
    if harm == "unreadable":
        path.mkdir()  # reading it fails, as that of a bad sector does
    assert bench.writer.write_all() == 2
    assert bench.one("SELECT count() FROM options_quotes") == (1,)
    (cause, detail, is_closed) = bench.one(
        "SELECT cause, detail, isNotNull(to_ts) FROM ingest_gaps"
    )
    assert (cause, is_closed) == ("spool_damaged", 1)
    assert detail.startswith(f"{path.name}: [Errno")
    assert bench.spool.sealed() == []


def test_a_disk_that_takes_no_name_is_asked_until_it_does(bench, monkeypatch):
    path = bench.segment(*quotes(2))
    real, refusals = bench.spool.finish, [OSError(errno.EROFS, "Read-only file system")] * 3

    def finish(segment: Path) -> None:
        if refusals:
            raise refusals.pop()
        real(segment)

    monkeypatch.setattr(bench.spool, "finish", finish)
    assert bench.writer.write_all() == 1
    assert path.with_suffix(".done").exists()
    assert bench.writer.failures == 3
    assert bench.one("SELECT count() FROM options_quotes") == (2,)


def test_both_versions_of_a_gap_arrive_and_the_newest_wins(bench):
    book = GapBook("tested", 1)
    opened = book.open("x", from_ns=RECEIVED_NS, cause="reconnect", detail="closed")
    closed = book.close("x", RECEIVED_NS + 10**9)
    assert opened is not None
    assert closed is not None
    assert book.open("y", from_ns=1, cause="silence", detail="", channel="c") is not None
    assert book.open("y", from_ns=1, cause="silence", detail="") is None
    assert book.close("z", 1) is None
    path = bench.segment(encode_gap(opened), encode_gap(closed), b"{}", kind=RecordKind.GAP)
    bench.writer.write(path)
    assert bench.one("SELECT count(), any(to_ts - from_ts) FROM ingest_gaps FINAL") == (1, 1)
    # An unreadable event of our own is buried like any other message.
    assert bench.writer.totals.dead_letters == 1
    assert bench.writer.totals.is_balanced


def test_a_writer_that_is_stopped_leaves_the_segment_on_disk(bench, database, tmp_path):
    away = streamer_settings(database, tmp_path).clickhouse.model_copy(update={"port": 9})
    bench.writer._store = Store(away)
    bench.segment(*quotes(1))
    thread = threading.Thread(target=bench.writer.run, kwargs={"until_empty": lambda: True})
    thread.start()
    bench.writer.stop()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert len(bench.spool.sealed()) == 1
    with pytest.raises(WriterStopped):
        bench.writer.write_all()


def test_the_store_tells_away_from_refused(database, tmp_path):
    settings = streamer_settings(database, tmp_path).clickhouse
    assert Store(settings.model_copy(update={"port": 9})).check() is False
    store = Store(settings)
    assert store.check() is True
    store.close()
