"""Gaps: intervals in which data may be missing, kept as rows of their own.

A gap travels through the spool like a message, so that it reaches the database exactly once and in
order, whatever happens in between.  It is written when it opens and again, with a higher version
and its end, when it closes; the newest version wins.
"""

from __future__ import annotations

import msgspec

__all__ = ["Gap", "GapBook", "bridged", "decode_gap", "encode_gap"]


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
    repaired_ns
        When what was missing, or something in its place, was stored; None while it is not.
    repair_method
        book_snapshot, trades_rest, book_summary or empty.
    """

    gap_id: str
    channel: str
    instrument_name: str
    from_ns: int
    to_ns: int | None
    cause: str
    detail: str
    version: int
    repaired_ns: int | None = None
    repair_method: str = ""


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
        self.collector = collector
        self._prefix = f"{collector}-{started_ns}"
        self._number = 0
        self._open: dict[str, Gap] = {}

    def __len__(self) -> int:
        return len(self._open)

    def is_open(self, key: str) -> bool:
        """Tell whether a gap is open."""
        return key in self._open

    def open(
        self,
        key: str,
        *,
        from_ns: int,
        cause: str,
        detail: str,
        channel: str = "*",
        instrument_name: str = "",
        to_ns: int | None = None,
        gap_id: str = "",
    ) -> Gap | None:
        """Open a gap; None when the same one is open already.

        Parameters
        ----------
        to_ns
            Its end, when that is known; it stays open here until it is repaired or closed.
        gap_id
            An id that is the same in every process, for a gap that may be found twice.
        """
        if key in self._open:
            return None
        self._number += 1
        gap = Gap(
            gap_id=gap_id or f"{self._prefix}-{self._number}",
            channel=channel,
            instrument_name=instrument_name,
            from_ns=from_ns,
            to_ns=to_ns,
            cause=cause,
            detail=detail,
            version=1,
        )
        self._open[key] = gap
        return gap

    def close(self, key: str, to_ns: int, *, repair_method: str = "") -> Gap | None:
        """Close a gap, repaired by a method or not; None when it is not open.

        An end that was known before is kept.
        """
        gap = self._open.pop(key, None)
        if gap is None:
            return None
        if repair_method:
            gap = msgspec.structs.replace(gap, repaired_ns=to_ns, repair_method=repair_method)
        return msgspec.structs.replace(
            gap, to_ns=to_ns if gap.to_ns is None else gap.to_ns, version=gap.version + 1
        )

    def repair(self, key: str, repaired_ns: int, repair_method: str) -> Gap | None:
        """Note that an open gap was bridged; it stays open.  None when it is not open."""
        gap = self._open.get(key)
        if gap is None:
            return None
        self._open[key] = bridged(gap, repaired_ns, repair_method)
        return self._open[key]

    def adopt(self, gap: Gap) -> str:
        """Take over a gap that an earlier process left open; return its key."""
        key = f"earlier {gap.gap_id}"
        self._open[key] = gap
        return key

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of the open gaps that begin with a prefix."""
        return [key for key in self._open if key.startswith(prefix)]


def bridged(gap: Gap, repaired_ns: int, repair_method: str) -> Gap:
    """Return the next version of a gap, open or closed: something stands in for what is missing."""
    return msgspec.structs.replace(
        gap, repaired_ns=repaired_ns, repair_method=repair_method, version=gap.version + 1
    )


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
