"""F14 and F15: a disk that is full, fails, or changed what was written."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from streamer.clock import SYSTEM_CLOCK
from streamer.decoding.batch import read_segment
from streamer.decoding.decode import FrameDecoder
from streamer.errors import SegmentError
from streamer.spool.segment import RecordKind
from streamer.spool.spool import Spool, SpoolLimits
from vol_platform_tests.faults.shim import FailingFiles
from vol_platform_tests.streamer.support import ticker_frame

SEED = 20261122


def open_spool(directory: Path, files: FailingFiles, **limits: int) -> Spool:
    return Spool(
        directory,
        collector="tested",
        source="stream",
        testnet=False,
        clock=SYSTEM_CLOCK,
        limits=SpoolLimits(**({"disk_floor_bytes": 0} | limits)),
        files=files,
    )


def append(spool: Spool, number: int) -> bool:
    frame = ticker_frame(f"BTC-25DEC26-{number}-C")
    return spool.append(RecordKind.FRAME, SYSTEM_CLOCK.wall_ns(), 1, frame)


def stored_strikes(directory: Path) -> list[int]:
    """Return the strikes of all tickers in sealed segments, which must be sound."""
    strikes = []
    for path in sorted(directory.glob("*.seg")):
        batch = read_segment(path.read_bytes(), FrameDecoder())
        assert batch.damage is None
        table = batch.tables.get("options_quotes")
        if table is not None:
            names = table.column("instrument_name").to_pylist()
            strikes += [int(name.split("-")[2]) for name in names]
    return strikes


def test_f14_a_disk_that_fills_up_keeps_what_was_accepted_and_resumes_by_itself(
    tmp_path, record_property
):
    chance = random.Random(SEED)
    accepted: list[int] = []
    files = FailingFiles()
    spool = open_spool(tmp_path, files)
    refused = 0
    for number in range(1, 400):
        if number % 40 == 0:
            files.room = chance.randrange(3_000)  # the disk takes a part of a record, or none
        if append(spool, number):
            accepted.append(number)
        else:
            refused += 1
        spool.flush()
        if number % 40 == 20:
            files.room = None
            spool.check_disk()
            assert not spool.is_full
        if spool.is_full:
            assert spool.full_reason == "ENOSPC"
        elif number % 10 == 0:
            segment = spool.roll()
            if segment is not None:
                spool.seal(segment)
    files.room = None
    spool.check_disk()
    spool.close()
    assert stored_strikes(tmp_path) == accepted
    assert refused == spool.refused_messages > 0
    text = f"ENOSPC 9 times: {len(accepted)} accepted and stored, {refused} refused and counted"
    record_property("measured", text)


@pytest.mark.parametrize(("call", "number"), [("sync", errno.EIO), ("rename", errno.EROFS)])
def test_f14_a_segment_that_cannot_be_sealed_waits_and_nothing_more_is_accepted(
    tmp_path, call, number
):
    files = FailingFiles()
    spool = open_spool(tmp_path, files)
    assert append(spool, 1)
    segment = spool.roll()
    assert segment is not None
    files.failures[call] = number
    assert spool.seal(segment) is None
    assert spool.is_full
    assert spool.full_reason == errno.errorcode[number]
    assert not append(spool, 2)
    spool.check_disk()
    assert spool.is_full, "the disk fails still"
    files.failures.clear()
    spool.check_disk()
    assert not spool.is_full
    assert append(spool, 3)
    spool.close()
    assert stored_strikes(tmp_path) == [1, 3]


def test_f14_an_error_of_the_sync_against_loss_of_power_stops_acceptance(tmp_path):
    files = FailingFiles()
    spool = open_spool(tmp_path, files)
    assert append(spool, 1)
    files.failures["sync"] = errno.EIO
    spool.sync()
    assert spool.is_full
    assert not append(spool, 2)
    files.failures.clear()
    spool.check_disk()
    assert append(spool, 3)
    spool.close()
    assert stored_strikes(tmp_path) == [1, 3]


def test_f14_a_read_only_disk_refuses_and_says_so_until_it_can_be_written(tmp_path):
    files = FailingFiles()
    spool = open_spool(tmp_path, files)
    files.failures["open"] = errno.EROFS
    assert not append(spool, 1)
    assert spool.full_reason == "EROFS"
    files.failures.clear()
    spool.check_disk()
    assert append(spool, 2)
    spool.close()
    assert stored_strikes(tmp_path) == [2]


def test_f14_below_the_floor_of_free_space_messages_are_refused(tmp_path):
    files = FailingFiles()
    spool = open_spool(tmp_path, files, disk_floor_bytes=1_000)
    assert append(spool, 1)
    files.free = 999
    spool.check_disk()
    assert not append(spool, 2)
    files.free = 1_050
    spool.check_disk()
    assert spool.is_full, "room must be 10 % above the floor, so that it does not flap"
    files.free = 1_101
    spool.check_disk()
    assert append(spool, 3)
    spool.close()
    assert stored_strikes(tmp_path) == [1, 3]


def test_f15_any_flipped_bit_is_found_and_what_stands_before_it_is_kept(tmp_path, record_property):
    chance = random.Random(SEED)
    spool = open_spool(tmp_path, FailingFiles())
    for number in range(1, 21):
        append(spool, number)
    spool.close()
    (path,) = tmp_path.glob("*.seg")
    sound = path.read_bytes()
    whole = read_segment(sound, FrameDecoder())
    for _ in range(200):
        place, bit = chance.randrange(len(sound)), chance.randrange(8)
        damaged = bytearray(sound)
        damaged[place] ^= 1 << bit
        try:
            batch = read_segment(bytes(damaged), FrameDecoder())
        except SegmentError:
            continue  # the header: the whole segment is put aside
        assert batch.damage is not None, f"bit {bit} of byte {place} was not noticed"
        kept = batch.accounts.frames
        quotes = batch.tables.get("options_quotes")
        assert kept < 20
        if quotes is not None:
            assert quotes.equals(whole.tables["options_quotes"].slice(0, kept))
    record_property("measured", f"200 flipped bits (seed {SEED}), all found")
