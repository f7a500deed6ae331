"""The calls by which the spool changes the disk, in one place.

A test hands in its own to fail, or to die, at any of them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["SYSTEM_FILES", "Files"]


class Files:
    """The operating system's files; every method is one system call and raises its OSError."""

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        """Open a file and return its descriptor."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write what the system takes and return how many bytes that were."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Wait until the content is on the disk itself."""
        os.fdatasync(descriptor)

    def sync_directory(self, descriptor: int) -> None:
        """Wait until the names are on the disk itself."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def truncate(self, path: Path, length: int) -> None:
        """Cut a file."""
        os.truncate(path, length)

    def rename(self, path: Path, target: Path) -> None:
        """Give a file another name."""
        path.rename(target)

    def unlink(self, path: Path) -> None:
        """Delete a file."""
        path.unlink()

    def free_bytes(self, directory: Path) -> int:
        """Return the free space of a disk."""
        return shutil.disk_usage(directory).free


SYSTEM_FILES = Files()
