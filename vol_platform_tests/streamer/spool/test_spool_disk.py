"""A disk that refuses: nothing accepted is lost, the rest is counted, the spool resumes."""

from __future__ import annotations

import errno
import os
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamer.spool.files import Files
from streamer.spool.segment import RecordKind
from streamer.spool.spool import Dropped, SpoolLimits
from vol_platform_tests.streamer.spool.test_spool import fill, make_spool, payloads_of, seal
from vol_platform_tests.streamer.support import RECEIVED_NS


def test_a_full_disk_refuses_new_messages_and_keeps_the_accepted_ones(tmp_path, monkeypatch):
    spool = make_spool(tmp_path)
    fill(spool, [b"kept"])
    real_write = os.write

    def write_some(descriptor, data):
        if len(data) > 10:
            return real_write(descriptor, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write_some)
    assert not spool.flush()
    assert spool.is_full
    assert spool.full_reason == "ENOSPC"
    assert not spool.append(RecordKind.FRAME, RECEIVED_NS, 1, b"refused")
    assert spool.refused_messages == 1
    assert spool.roll() is None
    spool.check_disk()
    assert spool.is_full  # it is tried, and the disk still refuses
    monkeypatch.undo()
    spool.check_disk()
    assert not spool.is_full
    fill(spool, [b"after"])
    assert payloads_of(seal(spool)) == [b"kept", b"after"]
    spool.close()


def test_a_file_that_cannot_be_opened_refuses_the_message(tmp_path, monkeypatch):
    spool = make_spool(tmp_path)

    def refuse(*arguments, **more):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert not spool.append(RecordKind.FRAME, RECEIVED_NS, 1, b"x")
    assert (spool.full_reason, spool.refused_messages) == ("EIO", 1)
    spool.check_disk()
    fill(spool, [b"again"])
    spool.close()


def test_below_the_floor_of_free_space_it_stops_and_above_it_resumes(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    free = 1_000_000
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(0, 0, free))
    spool = make_spool(tmp_path, limits=SpoolLimits(disk_floor_bytes=500_000))
    spool.check_disk()
    fill(spool, [b"x"])
    assert spool.missing_room() == 0
    free = 499_999
    assert spool.missing_room() == 50_001
    spool.check_disk()
    assert "499999 bytes free" in spool.full_reason
    assert not spool.append(RecordKind.FRAME, RECEIVED_NS, 1, b"y")
    free = 520_000
    spool.check_disk()
    assert spool.is_full  # 10 % above the floor, lest it flaps
    free = 560_000
    spool.check_disk()
    fill(spool, [b"z"])
    assert payloads_of(seal(spool)) == [b"x", b"z"]
    spool.close()


class FailingFiles(Files):
    """A disk whose chosen calls fail with a chosen error, while it is told so."""

    def __init__(self) -> None:
        self.failures: dict[str, int] = {}

    def sync(self, descriptor: int) -> None:
        self._check("sync")
        super().sync(descriptor)

    def sync_directory(self, descriptor: int) -> None:
        self._check("sync_directory")
        super().sync_directory(descriptor)

    def rename(self, path: Path, target: Path) -> None:
        self._check("rename")
        super().rename(path, target)

    def _check(self, method: str) -> None:
        if method in self.failures:
            raise OSError(self.failures[method], os.strerror(self.failures[method]))


@pytest.mark.parametrize("method", ["sync", "rename", "sync_directory"])
def test_a_segment_that_cannot_be_sealed_is_sealed_when_the_disk_can_again(tmp_path, method):
    files = FailingFiles()
    spool = make_spool(tmp_path, files=files)
    fill(spool, [b"kept"])
    files.failures[method] = errno.EIO
    assert seal(spool) is None
    assert spool.sealed() == []
    assert (spool.is_full, spool.full_reason) == (True, "EIO")
    spool.check_disk()
    assert spool.is_full
    files.failures.clear()
    spool.check_disk()
    assert not spool.is_full
    (path,) = spool.sealed()
    assert payloads_of(path) == [b"kept"]
    spool.close()


def test_a_sync_that_fails_stops_the_acceptance_unless_the_segment_is_sealed_meanwhile(tmp_path):
    files = FailingFiles()
    spool = make_spool(tmp_path, files=files)
    fill(spool, [b"x"])
    files.failures["sync"] = errno.EBADF
    spool.sync()
    assert not spool.is_full
    files.failures["sync"] = errno.EIO
    spool.sync()
    assert spool.is_full
    files.failures.clear()
    spool.check_disk()
    spool.close()


@dataclass
class Disk(FailingFiles):
    """A disk on which every segment takes a hundred bytes."""

    size: int

    def __post_init__(self) -> None:
        super().__init__()

    def free_bytes(self, directory: Path) -> int:
        return self.size - 100 * len(list(directory.glob("*.seg")))

    def unlink(self, path: Path) -> None:
        self._check("unlink")
        super().unlink(path)


@pytest.mark.parametrize("keep_newest", [True, False])
def test_below_the_floor_the_oldest_that_wait_are_given_up_when_that_is_wanted(
    tmp_path, keep_newest
):
    disk = Disk(size=1_000)
    limits = SpoolLimits(disk_floor_bytes=500, keep_newest=keep_newest)
    spool = make_spool(tmp_path, limits=limits, files=disk)
    assert spool.drop_oldest() is None
    for number in range(6):
        fill(spool, [str(number).encode()])
        seal(spool)
    first = spool.sealed()[0]
    disk.failures["unlink"] = errno.EIO
    assert spool.drop_oldest() is None
    disk.failures.clear()
    if keep_newest:
        assert spool.drop_oldest() == Dropped(RECEIVED_NS, RECEIVED_NS, 2)
        assert [payloads_of(path) for path in spool.sealed()] == [[b"0"], [b"3"], [b"4"], [b"5"]]
        assert spool.holds(first)
        spool.check_disk()
        assert not spool.is_full
    else:
        assert spool.drop_oldest() is None
        spool.check_disk()
        assert spool.is_full
    spool.close()


def test_a_segment_that_cannot_be_read_is_given_up_all_the_same(tmp_path):
    disk = Disk(size=650)
    limits = SpoolLimits(disk_floor_bytes=500, keep_newest=True)
    spool = make_spool(tmp_path, limits=limits, files=disk)
    for number in range(2):
        fill(spool, [str(number).encode()])
        seal(spool)
    spool.sealed()[1].write_bytes(b"nothing of a segment")
    assert spool.drop_oldest() == Dropped(0, 0, 1)
    spool.close()
