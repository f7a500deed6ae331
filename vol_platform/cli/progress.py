"""One line that says how far a long computation is."""

from __future__ import annotations

from types import TracebackType
from typing import TextIO

from vol_platform.clock import monotonic_seconds

__all__ = ["HoursLine"]


class HoursLine:
    """Hours done, rate and time left: one line that is rewritten on a terminal, else a line each.

    Parameters
    ----------
    stream
        Where it is written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._on_terminal = stream.isatty()
        self._start = monotonic_seconds()

    def __enter__(self) -> HoursLine:
        """Start the clock."""
        self._start = monotonic_seconds()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the line."""
        if self._on_terminal:
            self._stream.write("\n")

    def show(self, done: int, wanted: int) -> None:
        """Write how far it is."""
        taken = monotonic_seconds() - self._start
        left = taken / done * (wanted - done)
        text = (
            f"{done} of {wanted} hours, {60 * done / max(taken, 1e-9):.1f} snapshots/s, "
            f"{left:.0f} s left"
        )
        self._stream.write(f"\r{text:<70}" if self._on_terminal else f"{text}\n")
        self._stream.flush()
