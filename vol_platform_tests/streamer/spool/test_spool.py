"""The spool: order, sealing, recovery, kills and full disks."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer.spool.files import SYSTEM_FILES
from streamer.spool.segment import (
    RecordKind,
    SegmentHeader,
    encode_header,
    encode_record,
    read_header,
    read_records,
    sound_length,
)
from streamer.spool.spool import Spool, SpoolLimits
from vol_platform_tests.streamer.support import RECEIVED_NS, ManualClock

HEADER = SegmentHeader("c-1", "c", "stream", testnet=False, created_ns=1)
NO_FLOOR = SpoolLimits(disk_floor_bytes=0)
PAYLOADS = st.lists(st.binary(max_size=200), min_size=1, max_size=20)


def make_spool(
    directory: Path, time: ManualClock | None = None, limits=NO_FLOOR, files=SYSTEM_FILES
) -> Spool:
    return Spool(
        directory,
        collector="c",
        source="stream",
        testnet=False,
        clock=(time or ManualClock()).clock,
        limits=limits,
        files=files,
    )


def fill(spool: Spool, payloads) -> None:
    for index, payload in enumerate(payloads):
        assert spool.append(RecordKind.FRAME, RECEIVED_NS + index, 3, payload)


def seal(spool: Spool) -> Path:
    segment = spool.roll()
    assert segment is not None
    return spool.seal(segment)


def payloads_of(path: Path) -> list[bytes]:
    buffer = path.read_bytes()
    _, offset = read_header(buffer)
    return [record.payload for record in read_records(buffer, offset)]


def segment_bytes(payloads) -> bytes:
    records = [encode_record(0, RECEIVED_NS + i, 1, each) for i, each in enumerate(payloads)]
    return encode_header(HEADER) + b"".join(records)


# -- the directory -------------------------------------------------------------------------------


def test_a_segment_is_sealed_before_anybody_may_read_it(tmp_path):
    spool = make_spool(tmp_path)
    fill(spool, [b"one", b"two"])
    assert spool.sealed() == []
    path = seal(spool)
    assert spool.sealed() == [path]
    assert payloads_of(path) == [b"one", b"two"]
    assert spool.owns(path)
    spool.close()


def test_segments_are_in_the_order_of_writing_also_after_a_restart_with_a_clock_set_back(tmp_path):
    time = ManualClock()
    spool = make_spool(tmp_path, time)
    fill(spool, [b"first"])
    seal(spool)
    fill(spool, [b"second"])
    spool.close()
    time.now_ns -= 3_600 * 10**9
    spool = make_spool(tmp_path, time)
    spool.recover()
    fill(spool, [b"third"])
    seal(spool)
    assert [payloads_of(path) for path in spool.sealed()] == [[b"first"], [b"second"], [b"third"]]
    assert not spool.owns(spool.sealed()[0])
    spool.close()


def test_no_two_segments_share_an_id_even_when_the_directory_was_emptied(tmp_path):
    ids = []
    time = ManualClock()
    for _ in range(3):
        spool = make_spool(tmp_path, time)
        fill(spool, [b"x"])
        path = seal(spool)
        ids.append(read_header(path.read_bytes())[0].segment_id)
        path.unlink()
        spool.close()
        time.advance(0.001)
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("limits", "seconds", "payload", "is_due"),
    [
        (SpoolLimits(roll_messages=2, disk_floor_bytes=0), 0.0, b"x", True),
        (SpoolLimits(roll_bytes=100, disk_floor_bytes=0), 0.0, b"x" * 100, True),
        (SpoolLimits(roll_seconds=1.0, disk_floor_bytes=0), 1.0, b"x", True),
        (SpoolLimits(roll_seconds=1.0, disk_floor_bytes=0), 0.9, b"x", False),
    ],
)
def test_a_segment_is_rolled_by_age_size_and_count(tmp_path, limits, seconds, payload, is_due):
    time = ManualClock()
    spool = make_spool(tmp_path, time, limits)
    assert not spool.should_roll()
    fill(spool, [payload, payload])
    time.advance(seconds)
    assert spool.should_roll() is is_due
    spool.close()


def test_an_empty_spool_has_nothing_to_roll_flush_or_sync(tmp_path):
    spool = make_spool(tmp_path)
    spool.sync()
    assert spool.flush()
    assert spool.roll() is None
    spool.close()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_large_buffer_is_written_without_waiting_for_the_flush(tmp_path):
    spool = make_spool(tmp_path, limits=SpoolLimits(flush_bytes=1000, disk_floor_bytes=0))
    fill(spool, [b"x" * 1000])
    (path,) = tmp_path.glob("*.open")
    assert path.stat().st_size > 1000
    spool.sync()
    spool.close()


def test_a_quarantined_segment_is_never_read_again(tmp_path):
    spool = make_spool(tmp_path)
    fill(spool, [b"x"])
    bad = spool.quarantine(seal(spool))
    assert bad.suffix == ".bad"
    assert spool.sealed() == []
    spool.close()


def test_files_of_others_in_the_directory_are_left_alone(tmp_path):
    (tmp_path / "notes.seg").write_text("mine")
    spool = make_spool(tmp_path)
    spool.recover()
    assert spool.sealed() == []
    spool.close()
    assert (tmp_path / "notes.seg").read_text() == "mine"


def test_the_messages_of_one_read_are_taken_together(tmp_path):
    spool = make_spool(tmp_path)
    assert spool.append_frames(RECEIVED_NS, 3, [b"one", b"two"])
    path = seal(spool)
    assert payloads_of(path) == [b"one", b"two"]
    assert spool.waiting == 1
    spool.close()


# -- starting again ------------------------------------------------------------------------------


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payloads=PAYLOADS, data=st.data())
def test_recovery_seals_all_whole_records_of_a_torn_file(tmp_path_factory, payloads, data):
    directory = tmp_path_factory.mktemp("spool")
    buffer = segment_bytes(payloads)
    cut = data.draw(st.integers(0, len(buffer)))
    (directory / "0000000000000000001-00000000.open").write_bytes(buffer[:cut])
    spool = make_spool(directory)
    recovery = spool.recover()
    kept = [each for path in spool.sealed() for each in payloads_of(path)]
    assert kept == payloads[: len(kept)]
    length, last = sound_length(buffer[:cut])
    assert recovery.last_received_ns == last
    assert recovery.sealed == (1 if kept else 0)
    assert recovery.torn_bytes == cut - length or recovery.quarantined
    assert list(directory.glob("*.open")) == []
    spool.close()


def test_the_last_receive_time_survives_a_clean_stop(tmp_path):
    spool = make_spool(tmp_path)
    fill(spool, [b"a", b"b"])
    spool.finish(seal(spool))
    spool.close()
    spool = make_spool(tmp_path)
    assert spool.recover().last_received_ns == RECEIVED_NS + 1
    spool.close()


def test_the_last_receive_time_is_that_of_the_newest_segment_that_can_be_read(tmp_path):
    spool = make_spool(tmp_path)
    fill(spool, [b"a"])
    seal(spool)
    fill(spool, [b"b"])
    newest = seal(spool)
    newest.write_bytes(b"nothing of a segment")
    spool.close()
    spool = make_spool(tmp_path)
    assert spool.recover().last_received_ns == RECEIVED_NS
    spool.close()


def test_a_file_that_the_disk_does_not_give_is_put_aside_and_the_start_goes_on(tmp_path):
    spool = make_spool(tmp_path)
    fill(spool, [b"sound"])
    seal(spool)
    spool.close()
    for name in ("2000000000000000000-00000000.done", "2000000000000000000-00000001.open"):
        (tmp_path / name).mkdir()  # reading it fails, as that of a bad sector does
    spool = make_spool(tmp_path)
    recovery = spool.recover()
    assert recovery.last_received_ns == RECEIVED_NS
    assert recovery.quarantined == ("2000000000000000000-00000001.open",)
    spool.close()


WRITER = """
import sys
from pathlib import Path
from streamer.clock import SYSTEM_CLOCK
from streamer.spool.segment import RecordKind
from streamer.spool.spool import Spool, SpoolLimits
spool = Spool(Path(sys.argv[1]), collector="c", source="stream", testnet=False,
              clock=SYSTEM_CLOCK, limits=SpoolLimits(disk_floor_bytes=0, roll_messages=7))
number = 0
while True:
    spool.append(RecordKind.FRAME, SYSTEM_CLOCK.wall_ns(), 1, b"%d" % number)
    number += 1
    if number % 3 == 0:
        spool.flush()
        print(number, flush=True)
    if spool.should_roll():
        spool.seal(spool.roll())
"""


def test_a_kill_at_any_point_loses_nothing_that_was_flushed(tmp_path):
    chance = random.Random(20261122)
    for attempt in range(6):
        directory = tmp_path / str(attempt)
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(directory)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(chance.randint(1, 300)):
            line = process.stdout.readline()
        flushed = int(line)
        process.kill()
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        flushed = int(rest[-1]) if rest else flushed
        spool = make_spool(directory)
        spool.recover()
        kept = [int(each) for path in spool.sealed() for each in payloads_of(path)]
        spool.close()
        assert kept == list(range(len(kept)))
        assert len(kept) >= flushed
