"""How far a backfill is: share done, rows, rate and the time that is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO

from streamer.clock import Clock

__all__ = ["Meter", "ProgressLine"]

_LINE_SECONDS = 0.2
_PLAIN_SECONDS = 10.0


@dataclass(slots=True)
class Meter:
    """Counts work.

    Attributes
    ----------
    started
        Monotonic seconds.
    total, done
        Work, in weighted milliseconds of the past.
    rows
        Received so far.
    """

    started: float
    total: float = 0.0
    done: float = 0.0
    rows: int = 0

    @property
    def share(self) -> float:
        """How much of the work is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 1.0

    def rate(self, now: float) -> float:
        """Return rows a second."""
        return self.rows / max(now - self.started, 1e-9)

    def seconds_left(self, now: float) -> float | None:
        """Return how long the rest takes at this pace; None before anything is done."""
        if self.share <= 0.0:
            return None
        return (now - self.started) * (1.0 - self.share) / self.share


class ProgressLine:
    """Writes the progress: one line that changes on a terminal, a line now and then elsewhere.

    Parameters
    ----------
    stream
        Where to.
    clock
        Where the time comes from.
    """

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._is_terminal = stream.isatty()
        self._last = float("-inf")

    def show(self, label: str, meter: Meter) -> None:
        """Say how far it is, not more often than anybody reads."""
        now = self._clock.monotonic()
        self._write(now, progress_text(label, meter, now))

    def show_count(self, label: str, meter: Meter) -> None:
        """Say how many rows came, where nobody knows how many there are."""
        now = self._clock.monotonic()
        self._write(now, f"{meter.rows:,} rows  {meter.rate(now):,.0f} rows/s  {label}")

    def _write(self, now: float, text: str) -> None:
        pause = _LINE_SECONDS if self._is_terminal else _PLAIN_SECONDS
        if now - self._last < pause:
            return
        self._last = now
        self._stream.write(f"\r\x1b[K{text}" if self._is_terminal else f"{text}\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the line clean for what follows."""
        if self._is_terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def progress_text(label: str, meter: Meter, now: float) -> str:
    """Return the progress in words."""
    left = meter.seconds_left(now)
    ahead = (
        "?"
        if left is None
        else f"{int(left) // 3600}:{int(left) // 60 % 60:02}:{int(left) % 60:02}"
    )
    return (
        f"{100 * meter.share:5.1f} %  {meter.rows:,} rows  {meter.rate(now):,.0f} rows/s  "
        f"{ahead} left  {label}"
    )
