"""The directory of a spool: one owner, and segments in order from sealed to done."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from streamer.errors import SpoolError, SpoolLockedError
from streamer.spool.directory import SpoolDirectory, started_ns
from streamer.spool.files import SYSTEM_FILES, Files


def name(number: int) -> str:
    return f"{1:019d}-{number:08d}"


def make(path: Path, keep_done: int = 60, files: Files = SYSTEM_FILES) -> SpoolDirectory:
    return SpoolDirectory(path, files, keep_done)


def seal(directory: SpoolDirectory, number: int) -> Path:
    path = directory.path / f"{name(number)}.open"
    path.write_text(str(number))
    sealed = directory.rename_sealed(path)
    directory.add_sealed(sealed)
    return sealed


class Stubborn(Files):
    """A disk that deletes nothing, or renames nothing, while it is told so."""

    def __init__(self) -> None:
        self.keeps_files = self.keeps_names = False

    def rename(self, path: Path, target: Path) -> None:
        if self.keeps_names:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        super().rename(path, target)

    def unlink(self, path: Path) -> None:
        if self.keeps_files:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().unlink(path)


def test_a_segment_goes_from_sealed_to_done(tmp_path):
    directory = make(tmp_path)
    first, second = seal(directory, 1), seal(directory, 2)
    assert directory.sealed() == [first, second]
    assert directory.waiting == 2
    directory.finish(first)
    assert directory.sealed() == [second]
    assert directory.newest_first() == [second, first.with_suffix(".done")]
    directory.close()


def test_a_start_finds_what_every_state_left(tmp_path):
    for suffix, number in ((".done", 1), (".seg", 2), (".seg", 3), (".open", 4), (".bad", 5)):
        (tmp_path / f"{name(number)}{suffix}").write_text("")
    (tmp_path / "notes.seg").write_text("of somebody else")
    (tmp_path / "archive").mkdir()
    directory = make(tmp_path)
    assert [path.stem for path in directory.sealed()] == [name(2), name(3)]
    assert [path.stem for path in directory.unfinished] == [name(4)]
    assert [path.stem for path in directory.newest_first()] == [name(3), name(2), name(1)]
    assert directory.newest_started_ns == started_ns(directory.sealed()[0]) == 1
    directory.close()


def test_an_empty_directory_has_no_newest_start(tmp_path):
    directory = make(tmp_path / "new")
    assert (directory.newest_started_ns, directory.waiting) == (0, 0)
    directory.close()


def test_done_segments_are_kept_up_to_the_limit_over_restarts(tmp_path):
    for numbers in ((1, 2, 3), (4, 5)):
        directory = make(tmp_path, keep_done=2)
        for number in numbers:
            directory.finish(seal(directory, number))
        directory.close()
    assert sorted(path.read_text() for path in tmp_path.glob("*.done")) == ["4", "5"]


def test_a_done_segment_that_somebody_deleted_is_not_missed(tmp_path):
    directory = make(tmp_path, keep_done=1)
    directory.finish(seal(directory, 1))
    (tmp_path / f"{name(1)}.done").unlink()
    directory.finish(seal(directory, 2))
    directory.finish(seal(directory, 3))
    assert [path.read_text() for path in tmp_path.glob("*.done")] == ["3"]
    directory.close()


def test_old_segments_that_cannot_be_deleted_are_tried_again_with_the_next(tmp_path):
    files = Stubborn()
    directory = make(tmp_path, keep_done=1, files=files)
    files.keeps_files = True
    for number in (1, 2, 3):
        directory.finish(seal(directory, number))
    assert len(list(tmp_path.glob("*.done"))) == 3
    files.keeps_files = False
    directory.finish(seal(directory, 4))
    assert [path.read_text() for path in tmp_path.glob("*.done")] == ["4"]
    directory.close()


def test_a_name_that_the_disk_refuses_changes_nothing(tmp_path):
    files = Stubborn()
    directory = make(tmp_path, files=files)
    path = seal(directory, 1)
    files.keeps_names = True
    for change in (directory.finish, directory.quarantine):
        with pytest.raises(OSError, match="Read-only"):
            change(path)
        assert directory.sealed() == [path]
    directory.close()


def test_the_oldest_is_dropped_but_not_the_one_that_the_database_is_given(tmp_path):
    files = Stubborn()
    directory = make(tmp_path, files=files)
    assert directory.oldest_but_one() is None
    first, second, third = (seal(directory, number) for number in (1, 2, 3))
    assert directory.oldest_but_one() == second
    files.keeps_files = True
    with pytest.raises(OSError, match="Input/output"):
        directory.drop(second)
    assert directory.holds(second)
    files.keeps_files = False
    directory.drop(second)
    assert (directory.sealed(), second.exists()) == ([first, third], False)
    directory.finish(second)  # the database had it in the very moment
    assert list(tmp_path.glob("*.done")) == []
    directory.close()


def test_a_damaged_segment_is_put_aside_and_may_have_vanished(tmp_path):
    directory = make(tmp_path)
    first, second = seal(directory, 1), seal(directory, 2)
    assert directory.quarantine(first).read_text() == "1"
    second.unlink()
    assert not directory.quarantine(second).exists()
    assert directory.sealed() == []
    directory.close()
    again = make(tmp_path)
    assert again.sealed() == []
    again.close()


def test_a_second_owner_is_told_who_the_first_is(tmp_path):
    directory = make(tmp_path)
    with pytest.raises(SpoolLockedError, match=f"in use by process {os.getpid()}"):
        make(tmp_path)
    directory.close()
    make(tmp_path).close()


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path):
    file = tmp_path / "spool"
    file.write_text("")
    for path in (file, file / "below", Path("/proc/nowhere")):
        with pytest.raises(SpoolError, match=f"{path} cannot be written: .*make it writable"):
            make(path)
