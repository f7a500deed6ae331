"""The calls of the disk do what their names say."""

from __future__ import annotations

import os

from streamer.spool.files import SYSTEM_FILES


def test_every_call_does_what_its_name_says(tmp_path):
    files, path, target = SYSTEM_FILES, tmp_path / "a", tmp_path / "b"
    descriptor = files.open(path, os.O_WRONLY | os.O_CREAT)
    assert not os.get_inheritable(descriptor)
    assert files.write(descriptor, memoryview(b"abcdef")) == 6
    files.sync(descriptor)
    files.close(descriptor)
    files.truncate(path, 3)
    files.rename(path, target)
    directory = files.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    files.sync_directory(directory)
    files.close(directory)
    assert (target.read_bytes(), path.exists()) == (b"abc", False)
    files.unlink(target)
    assert not target.exists()
    assert files.free_bytes(tmp_path) > 0
