"""Hours are closed when nothing of them is missing any more, and remembered across restarts."""

from __future__ import annotations

import msgspec
import pytest

from streamer.database.hours import HourKeeper, hours_of_ticks
from streamer.database.store import Store
from streamer.spool.segment import RecordKind
from vol_platform.store.client import connect
from vol_platform_tests.streamer.database.test_writer import Bench
from vol_platform_tests.streamer.support import ManualClock, streamer_settings, ticker_frame

HOUR_MS = 3_600_000
HOUR = 1_795_000_000_000 // HOUR_MS * HOUR_MS


class Live(Bench):
    """A live bench whose frames are received when their tick says, 50 ms later."""

    def __init__(self, database, directory):
        self.time = ManualClock(HOUR * 10**6)
        super().__init__(database, directory, self.time.clock)
        self.restart()

    def restart(self):
        self.hours = HourKeeper(
            store=self.store, collector="tested", clock=self.time.clock, grace_seconds=5.0
        )
        self.writer._hours = self.hours

    def tick(self, offset_ms: int, connection_id: int = 1) -> None:
        """Store one option tick at so many milliseconds after the hour."""
        stamp = HOUR + offset_ms
        self.time.now_ns = (stamp + 50) * 10**6
        assert self.spool.append(0, self.time.now_ns, connection_id, ticker_frame(timestamp=stamp))
        segment = self.spool.roll()
        assert segment is not None
        self.writer.write(self.spool.seal(segment))

    def bridge(self, offset_ms: int) -> None:
        """Store one quote of a book summary that arrives now, from so long after the hour."""
        summary = {
            "instrument_name": "BTC-25DEC26-100000-C",
            "creation_timestamp": HOUR + offset_ms,
            "bid_price": 0.05,
        }
        body = msgspec.json.encode({"result": [summary]})
        assert self.spool.append(RecordKind.BOOK_SUMMARY, self.time.now_ns, 0, body)
        segment = self.spool.roll()
        assert segment is not None
        self.writer.write(self.spool.seal(segment))

    def closed(self) -> list[tuple[int, str, int]]:
        with connect(self.database) as client:
            rows = client.query(
                "SELECT toUnixTimestamp(hour_ts), reason, rows FROM ingest_hours ORDER BY closed_ts"
            ).result_rows
        return [((hour * 1000 - HOUR) // HOUR_MS, reason, rows) for hour, reason, rows in rows]


@pytest.fixture
def live(database, tmp_path):
    live = Live(database, tmp_path)
    yield live
    live.hours.close()
    live.close()


@pytest.mark.parametrize(
    ("ticks", "hours"),
    [
        ([], set()),
        ([HOUR], {0}),  # the full minute itself
        ([HOUR + 1, HOUR + HOUR_MS - 60_000], {0}),
        ([HOUR + HOUR_MS - 59_999], {1}),  # the first snapshot of the hour after
        ([HOUR + 1, HOUR + HOUR_MS - 1], {0, 1}),
    ],
)
def test_a_tick_belongs_to_the_hour_of_the_snapshot_that_sees_it(ticks, hours):
    assert {(hour - HOUR) // HOUR_MS for hour in hours_of_ticks(ticks)} == hours


def test_an_hour_is_closed_once_the_watermark_is_past_its_end_and_the_grace(live):
    live.tick(1_000)
    live.tick(HOUR_MS - 500)
    live.tick(HOUR_MS + 4_900)
    assert live.closed() == []
    live.tick(HOUR_MS + 5_000)
    assert live.closed() == [(0, "watermark", 1)]
    live.tick(2 * HOUR_MS + 5_000)
    assert live.closed()[1:] == [(1, "watermark", 3)]


def test_the_slowest_connection_holds_the_hour_open(live):
    live.hours.active_connections = frozenset({1, 2})
    live.tick(1_000, connection_id=2)
    live.tick(HOUR_MS + 6_000, connection_id=1)
    assert live.closed() == []
    live.tick(HOUR_MS + 6_001, connection_id=2)
    assert live.closed() == [(0, "watermark", 1)]


def test_late_ticks_close_an_hour_again_but_not_with_every_segment(live):
    live.tick(1_000)
    live.tick(HOUR_MS + 6_000)
    live.tick(2_000)
    live.tick(HOUR_MS + 7_000)
    assert len(live.closed()) == 1
    live.time.seconds += 600
    live.tick(HOUR_MS + 8_000)
    assert live.closed() == [(0, "watermark", 1), (0, "watermark", 2)]


def test_an_hour_that_was_closed_and_then_repaired_is_closed_again_for_that(live):
    live.tick(1_000)
    live.tick(HOUR_MS + 6_000)
    live.restart()  # whichever process closed it
    live.bridge(2_000)
    live.tick(HOUR_MS + 7_000)
    assert live.closed() == [(0, "watermark", 1), (0, "gap_repaired", 2)]
    live.tick(HOUR_MS + 8_000)
    assert len(live.closed()) == 2


def test_an_hour_repaired_before_its_end_is_closed_once_by_the_watermark(live):
    live.tick(1_000)
    live.bridge(2_000)
    live.tick(HOUR_MS + 6_000)
    assert live.closed() == [(0, "watermark", 2)]


def test_a_restart_remembers_the_hours_that_were_left_open(live):
    live.tick(1_000)
    live.restart()
    live.tick(HOUR_MS + 6_000)
    assert live.closed() == [(0, "watermark", 1)]


def test_a_replay_closes_every_hour_it_touched_and_a_repetition_none_twice(database, tmp_path):
    bench = Bench(database, tmp_path)
    stamps = [HOUR + 1_000, HOUR + 2 * HOUR_MS - 1]
    bench.writer.write(bench.segment(*(ticker_frame(timestamp=stamp) for stamp in stamps)))
    closed = bench.hours.close_all("replay", "run-1")
    assert [round(hour.timestamp() * 1000 - HOUR) // HOUR_MS for hour in closed] == [0, 2]
    again = HourKeeper(
        store=Store(streamer_settings(database, tmp_path).clickhouse),
        collector="tested",
        clock=ManualClock().clock,
        grace_seconds=5.0,
        is_replay=True,
    )
    again._pending = {round(hour.timestamp() * 1000) for hour in closed}
    again.close_all("replay", "run-1")
    again.close()
    assert bench.one("SELECT count() FROM ingest_hours") == (2,)
    bench.close()
