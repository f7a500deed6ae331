"""The archive: everything received, by the hour, and back again bit for bit."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from streamer.captures.capture import channels_of_capture, read_capture
from streamer.captures.ingest import ingest_messages
from streamer.captures.recorder import CaptureFile, Recorder, export_archive
from streamer.clock import SYSTEM_CLOCK
from streamer.decoding.decode import FrameDecoder, Outcome
from streamer.errors import CaptureError
from streamer.gaps import GapBook, encode_gap
from streamer.settings import StreamerSettings
from streamer.spool.archive import Archive, ArchiveKeeper, read_archive
from streamer.spool.segment import RecordKind, read_header, read_records
from streamer.spool.spool import Spool, SpoolLimits
from vol_platform.simulator import Exchange, ExchangeOptions
from vol_platform.store.client import connect
from vol_platform_tests.streamer.support import (
    RECEIVED_NS,
    ManualClock,
    frame,
    streamer_settings,
    ticker_frame,
)

HOUR_NS = 3_600 * 10**9
HOUR = RECEIVED_NS // HOUR_NS * HOUR_NS


class Bench:
    """A spool that fills an archive."""

    def __init__(self, directory: Path) -> None:
        self.time = ManualClock(HOUR)
        limits = SpoolLimits(disk_floor_bytes=0, keep_done_segments=1000)
        self.spool = Spool(
            directory / "spool", collector="tested", source="stream", testnet=False,
            clock=self.time.clock, limits=limits,
        )  # fmt: skip
        self.archive = Archive(directory / "archive", keep_days=1.0)
        self.frames: list[tuple[int, int, int, bytes]] = []

    def segment(self, offset_ns: int, count: int = 3) -> tuple[Path, int]:
        """Write a segment of messages from so long after the hour; return it and its start."""
        first = HOUR + offset_ns
        for number in range(count):
            stamp = (first + number * 10**6) // 10**6
            kind, payload = RecordKind.FRAME, ticker_frame(timestamp=stamp)
            if number % 3 == 1:
                payload = b"not json\n\xff"
            if number % 3 == 2:
                kind, payload = RecordKind.BOOK_SUMMARY, b'{"result":[]}'
            record = (kind, first + number * 10**6, 5, payload)
            self.spool.append(*record)
            self.frames.append(record)
        segment = self.spool.roll()
        assert segment is not None
        sealed = self.spool.seal(segment)
        assert sealed is not None
        self.spool.finish(sealed)
        return sealed.with_suffix(".done"), first

    def archived(self) -> list[tuple[int, int, int, bytes]]:
        return [
            (record.kind, record.received_ns, record.connection_id, record.payload)
            for file in self.archive.hours()
            for record in read_archive(file)
        ]


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.spool.close()


def test_an_hour_becomes_one_file_with_every_message_byte_for_byte(bench):
    for offset in range(4):
        bench.archive.add(*bench.segment(offset * 10**9))
    assert bench.archive.close_hours(HOUR + HOUR_NS) == []  # late segments may still come
    (file,) = bench.archive.close_hours(HOUR + HOUR_NS + 300 * 10**9)
    assert file.suffix == ".tar"
    assert bench.archived() == bench.frames
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_step_that_is_repeated_changes_nothing(bench):
    segment, first = bench.segment(0)
    bench.archive.add(segment, first)
    bench.archive.add(segment, first)
    (file,) = bench.archive.close_hours(HOUR + 2 * HOUR_NS)
    # A kill between the file and the removal of its folder.
    bench.archive.add(segment, first)
    assert bench.archive.close_hours(HOUR + 2 * HOUR_NS) == [file]
    bench.archive.catch_up([segment])
    assert bench.archive.close_hours(HOUR + 2 * HOUR_NS) == []
    assert bench.archived() == bench.frames


def test_what_was_stored_before_a_kill_is_archived_after_it_and_late_hours_get_another_file(bench):
    bench.archive.add(*bench.segment(0))
    bench.archive.close_hours(HOUR + 2 * HOUR_NS)
    late, _ = bench.segment(10**9)
    bench.archive.catch_up([late])
    (file,) = bench.archive.close_hours(HOUR + 2 * HOUR_NS)
    assert file.name.endswith(".2.tar")
    assert sorted(bench.archived()) == sorted(bench.frames)


def test_old_hours_are_deleted(bench):
    bench.archive.add(*bench.segment(0))
    assert len(bench.archive.close_hours(HOUR + 2 * HOUR_NS)) == 1
    bench.archive.close_hours(HOUR + 30 * HOUR_NS)
    assert bench.archive.hours() == []


def test_a_disk_that_refuses_does_not_stop_the_feed(bench, capsys):
    segment, first = bench.segment(0)
    keeper = ArchiveKeeper(bench.archive, bench.time.clock)
    keeper.take(segment.with_suffix(".gone"), first)
    keeper.catch_up([segment.with_suffix(".gone")])
    said = capsys.readouterr()
    assert (said.out + said.err).count("archive_failed") == 2
    keeper.take(segment, first)
    bench.time.advance(2 * 3600)
    keeper.take(segment, first)
    assert bench.archived() == bench.frames


def test_the_oldest_hours_give_way_when_the_disk_of_the_spool_is_short(bench, monkeypatch, capsys):
    keeper = ArchiveKeeper(bench.archive, bench.time.clock)
    keeper.give_way(bench.spool)  # there is no archive yet
    for hour in range(3):
        bench.archive.add(*bench.segment(hour * HOUR_NS))
    files = bench.archive.close_hours(HOUR + 4 * HOUR_NS)
    keeper.give_way(bench.spool)
    assert bench.archive.hours() == files  # there is room
    short = sum(file.stat().st_size for file in files[:2])
    monkeypatch.setattr(bench.spool, "missing_room", lambda: short)
    keeper.give_way(bench.spool)
    assert bench.archive.hours() == files[2:]
    said = capsys.readouterr()
    assert (said.out + said.err).count("archive_gave_way") == 2
    monkeypatch.setattr(bench.archive, "shares_disk_with", lambda _: False)
    keeper.give_way(bench.spool)
    assert bench.archive.hours() == files[2:]


def test_a_disk_that_lets_no_hour_go_does_not_stop_the_feed(bench, monkeypatch, capsys):
    def refuse(_wanted: int) -> list[Path]:
        raise OSError(errno.EROFS, "Read-only file system")

    bench.archive.add(*bench.segment(0))
    monkeypatch.setattr(bench.spool, "missing_room", lambda: 1)
    monkeypatch.setattr(bench.archive, "make_room", refuse)
    ArchiveKeeper(bench.archive, bench.time.clock).give_way(bench.spool)
    said = capsys.readouterr()
    assert "archive_failed" in said.out + said.err


@pytest.mark.parametrize("content", [b"", b"no tar at all"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    file = tmp_path / "broken.tar"
    with pytest.raises(CaptureError, match="does not exist"):
        list(read_archive(file))
    file.write_bytes(content)
    with pytest.raises(CaptureError, match="cannot be read"):
        list(read_archive(file))


@pytest.mark.parametrize("suffix", [".txt", ".gz", ".zst"])
def test_an_exported_hour_is_a_capture_of_the_same_messages(bench, tmp_path, suffix):
    bench.archive.add(*bench.segment(0, count=9))
    hours = bench.archive.close_hours(HOUR + 2 * HOUR_NS)
    target = tmp_path / f"hour{suffix}"
    file = CaptureFile(target, "http://127.0.0.1/api/v2")
    export_archive(hours, file)
    assert not target.exists()  # half a capture is none
    file.close()
    read = [(it.record_kind, it.received_ns, it.payload) for it in read_capture(target)]
    sent = [
        (kind, received_ns, payload.decode(errors="replace").encode())
        for kind, received_ns, _, payload in bench.frames
    ]
    assert read == sent
    assert file.messages == 9


async def test_the_exchange_is_recorded_to_a_file(tmp_path):
    target = tmp_path / "live.zst"
    async with Exchange(ExchangeOptions(seed=41)) as exchange:
        settings = StreamerSettings(
            websocket_url=exchange.websocket_url, rest_url=exchange.rest_url, expiries=("next:1",)
        )
        file = CaptureFile(target, settings.rest_url)
        await Recorder(settings, SYSTEM_CLOCK, file).run(4.0)
        file.close()
    messages = list(read_capture(target))
    assert len(messages) == file.messages
    assert sum(message.is_instruments for message in messages) == 1
    channels = channels_of_capture(target)
    assert sum(name.startswith("ticker.") for name in channels) > 20
    decoder = FrameDecoder()
    outcomes = {
        decoder.decode(it.payload, it.received_ns).outcome
        for it in messages
        if not it.is_instruments
    }
    assert outcomes == {Outcome.DATA, Outcome.CONTROL}


def test_a_replayed_hour_gives_the_same_rows(database, tmp_path):
    """Ingest, archive, ingest the archive: every column but the source is the same."""
    now = SYSTEM_CLOCK.wall_ns()
    spool = Spool(
        tmp_path / "spool", collector="tested", source="replay", testnet=False,
        clock=SYSTEM_CLOCK, limits=SpoolLimits(disk_floor_bytes=0),
    )  # fmt: skip
    for number in range(60):
        stamp = now // 10**6 - 60_000 + number
        spool.append(RecordKind.FRAME, now + number * 1000, 3, ticker_frame(timestamp=stamp))
    index = {"index_name": "btc_usd", "timestamp": now // 10**6, "price": 91000.5}
    spool.append(RecordKind.FRAME, now, 4, frame("deribit_price_index.btc_usd", index))
    spool.append(RecordKind.FRAME, now, 4, b"broken\n")
    gap = GapBook("tested", 1).open("x", from_ns=now, cause="silence", detail="")
    assert gap is not None
    spool.append(RecordKind.GAP, now, 0, encode_gap(gap))
    segment = spool.roll()
    assert segment is not None
    sealed = spool.seal(segment)
    assert sealed is not None
    archive = Archive(tmp_path / "archive", keep_days=9.0)
    archive.add(sealed, now)
    spool.close()
    (file,) = archive.close_hours(now + 2 * HOUR_NS)
    header, offset = read_header(sealed.read_bytes())
    assert header.collector == "tested"
    assert len(list(read_archive(file))) == len(list(read_records(sealed.read_bytes(), offset)))

    contents = []
    for run in ("first", "second"):
        settings = streamer_settings(database, tmp_path / run)
        accounting = ingest_messages(
            read_capture(file), settings, SYSTEM_CLOCK, keep_receive_times=True
        )
        assert accounting.is_balanced
        assert accounting.messages == 62
        with connect(database) as client:
            tables = ("options_quotes", "spot_prices", "dead_letters")
            contents.append(
                [
                    sorted(client.query("SELECT * EXCEPT " + except_ + " FROM " + name).result_rows)  # noqa: S608 - ours
                    for name in tables
                    for except_ in ["(segment_id)" if name == "dead_letters" else "(source)"]
                ]
            )
            for name in tables:
                client.command("TRUNCATE TABLE " + name)
    assert repr(contents[0]) == repr(contents[1])
    assert [len(rows) for rows in contents[0]] == [60, 1, 1]
