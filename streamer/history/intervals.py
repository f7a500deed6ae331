"""Stretches of time, and what is left of one when others are done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Interval", "without"]


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A stretch of time, milliseconds since the epoch, from <= time < to."""

    from_ms: int
    to_ms: int

    @property
    def length_ms(self) -> int:
        """How long it is; never negative."""
        return max(0, self.to_ms - self.from_ms)


def without(wanted: Interval, done: Iterable[Interval]) -> list[Interval]:
    """Return the parts of an interval that no other one covers, in order.

    Examples
    --------
    >>> without(Interval(0, 10), [Interval(2, 4), Interval(3, 7)])
    [Interval(from_ms=0, to_ms=2), Interval(from_ms=7, to_ms=10)]
    """
    parts = []
    start = wanted.from_ms
    for other in sorted(part for part in done if part.length_ms):
        if other.from_ms > start:
            parts.append(Interval(start, min(other.from_ms, wanted.to_ms)))
        start = max(start, other.to_ms)
        if start >= wanted.to_ms:
            break
    parts.append(Interval(start, wanted.to_ms))
    return [part for part in parts if part.length_ms]
