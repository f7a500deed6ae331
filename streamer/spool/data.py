"""What a spool is told and what it reports: plain data without behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Dropped", "OpenSegment", "Recovery", "SpoolLimits"]


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """When a segment is rolled, how much disk is left alone, and what goes when it is short.

    Attributes
    ----------
    keep_newest
        Below the floor the oldest waiting segments are dropped; otherwise new messages are refused.
    """

    roll_seconds: float = 0.75
    roll_bytes: int = 8 * 1024 * 1024
    roll_messages: int = 2_500
    flush_bytes: int = 128 * 1024
    disk_floor_bytes: int = 2 * 1024**3
    keep_done_segments: int = 60
    keep_newest: bool = False


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found at the start.

    Attributes
    ----------
    last_received_ns
        Receive time of the newest record on disk; 0 when the directory was empty.
    sealed
        Segments that were still open and are sealed now.
    torn_bytes
        Bytes cut off behind the last sound record.
    quarantined
        Files that could not be read, not even their header, moved aside.
    """

    last_received_ns: int
    sealed: int
    torn_bytes: int
    quarantined: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dropped:
    """Segments that were given up: their time, nanoseconds since the epoch, and their number."""

    from_ns: int
    to_ns: int
    segments: int


@dataclass(slots=True)
class OpenSegment:
    """The segment being written."""

    path: Path
    descriptor: int
    opened_at: float
    messages: int = 0
    written_bytes: int = 0
    is_synced: bool = False
    is_sealed: bool = False
