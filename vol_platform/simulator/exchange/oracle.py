"""The oracle log: one JSON line for every notification that left, to check a receiver by."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TextIO

import msgspec

from vol_platform.errors import SettingsError

__all__ = ["OracleLog"]


class OracleLog:
    """Writes what was sent; without a path it writes nothing.

    Parameters
    ----------
    path
        File to write, or None.

    Raises
    ------
    SettingsError
        The file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._stream: TextIO | None = None
        if path is None:
            return
        try:
            self._stream = path.open("w", encoding="utf-8")
        except OSError as error:
            msg = f"--oracle-log {path} cannot be written: {error.strerror}; choose another path"
            raise SettingsError(msg) from None

    @property
    def is_on(self) -> bool:
        """Whether anything is written."""
        return self._stream is not None

    def sent(self, connection: int, sequence: int, channel: str, payload: bytes) -> None:
        """Note one frame: who got it, its number there, its channel, size and CRC-32."""
        if self._stream is not None:
            self._write(
                {
                    "connection": connection,
                    "sequence": sequence,
                    "channel": channel,
                    "bytes": len(payload),
                    "crc32": zlib.crc32(payload),
                }
            )

    def finished(self, connection: int, frames: int) -> None:
        """Note that a capture was sent to its end."""
        if self._stream is not None:
            self._write({"connection": connection, "finished": True, "frames": frames})
            self._stream.flush()

    def _write(self, fields: dict[str, object]) -> None:
        if self._stream is not None:
            self._stream.write(msgspec.json.encode(fields).decode() + "\n")

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
