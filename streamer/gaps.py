"""Gaps: intervals in which data may be missing, kept as rows of their own.

A gap travels through the spool like a message, so that it reaches the database exactly once and in
order, whatever happens in between.  It is written when it opens and again, with a higher version
and its end, when it closes; the newest version wins.
"""

from __future__ import annotations

import msgspec

__all__ = ["Gap", "GapBook", "decode_gap", "encode_gap"]


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a gap.

    Attributes
    ----------
    gap_id
        Collector, start of the process and number.
    channel
        A channel, or ``*`` for all of the connection.
    instrument_name
        Empty when it is not about one instrument.
    from_ns, to_ns
        Last data before and first data after, nanoseconds since the epoch; ``to_ns`` is None while
        the gap is open.
    cause
        restart, reconnect, silence, spool_full, spool_damaged, change_id, trade_seq, clock or
        maintenance.
    detail
        In words, with values.
    version
        1 when it opens, higher later.
    """

    gap_id: str
    channel: str
    instrument_name: str
    from_ns: int
    to_ns: int | None
    cause: str
    detail: str
    version: int


class GapBook:
    """The gaps that are open, and the numbering of all.

    Parameters
    ----------
    collector
        Name of the collector.
    started_ns
        Start of the process, so that two processes never share an id.
    """

    def __init__(self, collector: str, started_ns: int) -> None:
        self._prefix = f"{collector}-{started_ns}"
        self._number = 0
        self._open: dict[str, Gap] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open_channels(self) -> set[str]:
        """Return the channels that have a gap of their own open."""
        return {gap.channel for gap in self._open.values() if gap.channel != "*"}

    def open(
        self,
        key: str,
        *,
        from_ns: int,
        cause: str,
        detail: str,
        channel: str = "*",
        instrument_name: str = "",
    ) -> Gap | None:
        """Open a gap; None when the same one is open already."""
        if key in self._open:
            return None
        self._number += 1
        gap = Gap(
            gap_id=f"{self._prefix}-{self._number}",
            channel=channel,
            instrument_name=instrument_name,
            from_ns=from_ns,
            to_ns=None,
            cause=cause,
            detail=detail,
            version=1,
        )
        self._open[key] = gap
        return gap

    def close(self, key: str, to_ns: int) -> Gap | None:
        """Close a gap; None when it is not open."""
        gap = self._open.pop(key, None)
        if gap is None:
            return None
        return msgspec.structs.replace(gap, to_ns=to_ns, version=gap.version + 1)


def encode_gap(gap: Gap) -> bytes:
    """Return a gap as the payload of a spool record."""
    return msgspec.json.encode(gap)


def decode_gap(payload: bytes) -> Gap:
    """Read a gap back.

    Raises
    ------
    msgspec.DecodeError
        The payload is not a gap.
    """
    return msgspec.json.decode(payload, type=Gap)
