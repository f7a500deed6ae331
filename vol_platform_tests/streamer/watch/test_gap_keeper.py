"""What happens becomes gap rows: opened once, bridged, closed, and said when the disk has room."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from streamer.deribit.sequences import Hole
from streamer.gaps import Gap, GapBook, decode_gap
from streamer.observe.metrics import Metrics
from streamer.spool.segment import RecordKind, read_header, read_records
from streamer.spool.spool import Dropped, Recovery, Spool, SpoolLimits
from streamer.watch.gap_keeper import GapKeeper
from vol_platform_tests.streamer.support import RECEIVED_NS, ManualClock

OPTION, PERPETUAL = "ticker.BTC-25DEC26-1-C.100ms", "ticker.BTC-PERPETUAL.100ms"
INDEX, BOOK = "deribit_price_index.btc_usd", "book.BTC-PERPETUAL.100ms"
HOLE = Hole("BTC-PERPETUAL", 8, 11, RECEIVED_NS // 10**6 - 9, RECEIVED_NS // 10**6)
AFTER_A_KILL = Recovery(
    last_received_ns=RECEIVED_NS - 10**9, sealed=1, torn_bytes=3, quarantined=()
)


@dataclass
class FakeSession:
    """What the keeper asks a session."""

    is_locked: bool = False
    silent: list[tuple[str, float]] = field(default_factory=list)
    speaking: set[str] = field(default_factory=set)

    def silent_channels(self, seconds: float, now: float) -> list[tuple[str, float]]:
        assert seconds == 30.0
        return [(name, last) for name, last in self.silent if last < now]

    def has_data(self, name: str) -> bool:
        return name in self.speaking


@dataclass
class FakeConnection:
    """What the keeper asks a connection."""

    number: int = 0
    last_received_ns: int = RECEIVED_NS - 5 * 10**9
    is_complete: bool = True
    session: FakeSession = field(default_factory=FakeSession)


class FakeCatalogue:
    """Knows one instrument that is gone."""

    def is_expired(self, instrument_name: str, _wall_ms: int) -> bool:
        return instrument_name in ("", "BTC-PERPETUAL")


class Desk:
    """A keeper, its spool, and what it has said so far."""

    def __init__(self, directory: Path) -> None:
        self.time = ManualClock()
        self.free_floor = SpoolLimits(disk_floor_bytes=0)
        self.spool = Spool(
            directory,
            collector="c",
            source="stream",
            testnet=False,
            clock=self.time.clock,
            limits=self.free_floor,
        )
        self.metrics = Metrics()
        self.keeper: Any = GapKeeper(
            self.spool,
            collector="c",
            started_ns=7,
            metrics=self.metrics,
            clock=self.time.clock,
        )

    def said(self) -> list[Gap]:
        """Return the gap rows since the last call."""
        segment = self.spool.roll()
        if segment is None:
            return []
        path = self.spool.seal(segment)
        assert path is not None
        buffer = path.read_bytes()
        _, offset = read_header(buffer)
        records = list(read_records(buffer, offset))
        assert {record.kind for record in records} <= {RecordKind.GAP}
        return [decode_gap(record.payload) for record in records]

    def counted(self, cause: str) -> float:
        value = self.metrics.registry.get_sample_value("vol_streamer_gaps_total", {"cause": cause})
        return value or 0.0


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.spool.close()


def test_a_first_start_has_no_gap_and_a_restart_has_one_until_data_flows_everywhere(desk):
    desk.keeper.note_start(Recovery(0, 0, 0, ()))
    assert desk.said() == []
    desk.keeper.note_start(AFTER_A_KILL)
    assert desk.keeper.is_cut_off
    desk.keeper.note_all_complete()
    opened, closed = desk.said()
    assert (opened.cause, opened.from_ns, opened.to_ns) == ("restart", RECEIVED_NS - 10**9, None)
    assert opened.detail == "sealed 1 open segments, cut 3 bytes"
    assert (closed.gap_id, closed.version, closed.to_ns) == (opened.gap_id, 2, RECEIVED_NS)
    assert desk.keeper.wants_bridge  # it is closed, and its quotes are still missing
    desk.keeper.note_bridged()
    (bridged,) = desk.said()
    assert (bridged.version, bridged.repair_method) == (3, "book_summary")
    assert not desk.keeper.wants_bridge


def test_gaps_of_an_earlier_process_are_closed_when_data_flows_everywhere(desk):
    earlier = GapBook("c", 1).open("a", from_ns=1, cause="reconnect", detail="")
    desk.keeper.adopt([earlier], is_complete=False)
    assert desk.said() == []
    desk.keeper.adopt([], is_complete=True)
    (closed,) = desk.said()
    assert (closed.gap_id, closed.version) == (earlier.gap_id, 2)


def test_a_lost_connection_is_a_gap_from_its_last_data_and_is_bridged_while_it_lasts(desk):
    connection = FakeConnection()
    desk.keeper.note_lost(connection, "closed", "code 1006" + "x" * 400)
    desk.keeper.note_lost(connection, "closed", "again")
    desk.keeper.note_bridged()
    desk.keeper.note_complete(connection)
    opened, bridged, closed = desk.said()
    assert (opened.cause, opened.from_ns) == ("reconnect", connection.last_received_ns)
    assert len(opened.detail) == 300
    assert (bridged.version, bridged.to_ns) == (2, None)
    assert (closed.version, closed.to_ns) == (3, RECEIVED_NS)
    assert not desk.keeper.wants_bridge
    desk.keeper.note_complete(connection)
    assert desk.said() == []
    assert desk.counted("reconnect") == 1.0


def test_a_connection_that_never_had_data_is_covered_by_the_gap_of_the_restart(desk):
    desk.keeper.note_lost(FakeConnection(last_received_ns=0), "unreachable", "refused")
    assert desk.said() == []


@pytest.mark.parametrize(
    ("is_locked", "detail"), [(True, "code 1001"), (False, "11051 system_maintenance")]
)
def test_a_connection_lost_by_maintenance_says_so(desk, is_locked, detail):
    connection = FakeConnection(session=FakeSession(is_locked=is_locked))
    desk.keeper.note_lost(connection, "closed", detail)
    (gap,) = desk.said()
    assert gap.cause == "maintenance"


def test_a_broken_book_is_a_gap_of_its_instrument_until_its_snapshot(desk):
    desk.keeper.note_book_broken(BOOK, RECEIVED_NS - 5, "expected 9")
    desk.keeper.note_book_whole(BOOK)
    opened, closed = desk.said()
    assert (opened.cause, opened.channel, opened.instrument_name) == (
        "change_id",
        BOOK,
        "BTC-PERPETUAL",
    )
    assert (closed.repair_method, closed.repaired_ns) == ("book_snapshot", RECEIVED_NS)


def test_missing_trades_are_one_gap_however_often_they_are_found(desk):
    assert desk.keeper.note_trades_missing(HOLE, "trades.future.BTC.100ms")
    assert not desk.keeper.note_trades_missing(HOLE, "trades.future.BTC.100ms")
    desk.keeper.note_trades_repaired(HOLE)
    opened, closed = desk.said()
    assert opened.gap_id == "c-trades-BTC-PERPETUAL-8-11"
    assert (opened.to_ns, opened.detail) == (RECEIVED_NS, "4 trades are missing: 8 to 11")
    assert (closed.to_ns, closed.repair_method) == (RECEIVED_NS, "trades_rest")


def test_a_lock_is_a_gap_until_it_is_lifted(desk):
    desk.keeper.note_lock("btc_usd", is_locked=True)
    desk.keeper.note_lock("btc_usd", is_locked=False)
    opened, closed = desk.said()
    assert (opened.cause, opened.detail) == (
        "maintenance",
        "the exchange says that btc_usd is locked",
    )
    assert closed.version == 2


def test_channels_that_are_not_wanted_any_more_have_no_gap(desk):
    desk.keeper.note_mute(OPTION, RECEIVED_NS, "silent")
    desk.keeper.note_book_broken(BOOK, RECEIVED_NS, "broken")
    desk.keeper.note_dropped([OPTION, BOOK, INDEX])
    assert [gap.version for gap in desk.said()] == [1, 1, 2, 2]


def test_a_silent_ticker_and_a_silent_index_are_gaps_until_they_speak_and_the_expired_are_none(
    desk,
):
    last = desk.time.seconds - 31.0
    connection = FakeConnection(
        session=FakeSession(silent=[(OPTION, last), (INDEX, last), (PERPETUAL, last)])
    )
    desk.keeper.watch_silence([connection], FakeCatalogue())
    opened = desk.said()
    assert [gap.channel for gap in opened] == [OPTION, INDEX]
    assert {gap.from_ns for gap in opened} == {RECEIVED_NS - 31 * 10**9}
    assert opened[0].detail == "no data for 31 s"
    connection.session.silent = [(INDEX, last)]
    desk.keeper.watch_silence([connection], FakeCatalogue())
    assert desk.said() == []  # it is silent no more, but of another socket perhaps
    connection.session.speaking = {OPTION}
    desk.keeper.watch_silence([connection], FakeCatalogue())
    (closed,) = desk.said()
    assert (closed.channel, closed.version) == (OPTION, 2)


@pytest.mark.parametrize(
    "connection",
    [FakeConnection(is_complete=False), FakeConnection(session=FakeSession(is_locked=True))],
)
def test_the_silence_of_a_whole_connection_is_no_gap_of_its_channels(desk, connection):
    connection.session.silent = [(OPTION, 0.0)]
    desk.keeper.watch_silence([connection], FakeCatalogue())
    assert desk.said() == []


def test_a_full_disk_is_one_gap_and_what_it_could_not_take_is_said_when_it_has_room(desk):
    desk.keeper.note_book_broken(BOOK, RECEIVED_NS, "broken")
    assert len(desk.said()) == 1
    desk.spool.is_full, desk.spool.full_reason = True, "ENOSPC"
    desk.keeper.note_disk_refused(RECEIVED_NS)
    desk.time.advance(1.0)
    desk.keeper.note_disk_refused(desk.time.now_ns)
    desk.keeper.note_book_whole(BOOK)
    assert desk.spool.refused_messages == 0  # none of the exchange's
    desk.keeper.watch_disk()
    whole, full = desk.said()
    assert (whole.channel, whole.repair_method) == (BOOK, "book_snapshot")
    assert (full.cause, full.detail) == ("spool_full", "ENOSPC")
    assert (full.from_ns, full.to_ns) == (RECEIVED_NS, desk.time.now_ns)
    assert desk.counted("spool_full") == 1.0
    desk.keeper.watch_disk()
    assert desk.said() == []


def test_segments_that_were_given_up_are_a_gap_of_their_time(desk, monkeypatch):
    lost = Dropped(RECEIVED_NS - 9, RECEIVED_NS - 2, 3)
    monkeypatch.setattr(desk.spool, "drop_oldest", lambda: lost)
    desk.keeper.watch_disk()
    (gap,) = desk.said()
    assert (gap.cause, gap.from_ns, gap.to_ns) == ("spool_full", lost.from_ns, lost.to_ns)
    assert gap.detail == "3 segments were dropped to keep the newest"
    desk.keeper.watch_disk()  # the next ones are a gap of their own
    assert desk.said()[0].gap_id != gap.gap_id


def test_what_is_said_in_the_moment_in_which_the_disk_fails_is_said_later(desk, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(desk.spool, "append", lambda *_: False)
        desk.keeper.note_lock("btc_usd", is_locked=True)
    desk.spool.is_full = True
    desk.keeper.watch_disk()
    assert [gap.cause for gap in desk.said()] == ["maintenance"]
