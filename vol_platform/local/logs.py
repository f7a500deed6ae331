"""A log file with a bound: when full it becomes the old one, and the old one goes."""

from __future__ import annotations

from collections import deque
from pathlib import Path

__all__ = ["BoundedLog"]

_LIMIT_BYTES = 8 * 1024 * 1024
_TAIL_LINES = 30


class BoundedLog:
    """Two files at most, `path` and `path`.1, each up to `limit_bytes`.

    Parameters
    ----------
    path : Path
        The newest file.
    limit_bytes : int
        When the newest file reaches this it is renamed.
    """

    def __init__(self, path: Path, limit_bytes: int = _LIMIT_BYTES) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._file = path.open("ab")
        self._size = path.stat().st_size
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        """The last lines of this run, for error messages."""

    def write(self, chunk: bytes) -> None:
        """Append `chunk` and let it reach the file at once."""
        if self._size + len(chunk) > self._limit_bytes:
            self._file.close()
            self.path.replace(self.path.with_name(self.path.name + ".1"))
            self._file = self.path.open("ab")
            self._size = 0
        self._file.write(chunk)
        self._file.flush()
        self._size += len(chunk)
        lines = chunk.decode(errors="replace").splitlines()
        self.tail.extend(line for line in lines if line.strip())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
