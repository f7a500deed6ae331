"""Hours of raw ticks that are complete.

Snapshot T of the record sees ticks in (T - 60 s, T], and hour H holds the snapshots from H up to,
not including, H + 1 h.  A tick therefore belongs to the hour of the next full minute: the ticks of
the last minute of an hour belong to the first snapshot of the hour after.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from streamer.clock import Clock
from streamer.database.store import Store
from streamer.decoding.batch import SegmentBatch
from streamer.log import logger

__all__ = ["HourKeeper", "hours_of_ticks"]

_log = logger(__name__)
_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000
_CLOSE_AGAIN_SECONDS = 600.0
_LOOK_BACK_DAYS = 3


def hours_of_ticks(exchange_ms: list[int]) -> set[int]:
    """Return the hours, in milliseconds since the epoch, whose snapshots see these ticks.

    Examples
    --------
    >>> sorted(hours_of_ticks([3_599_999, 3_540_000]))
    [0, 3600000]
    """
    if not exchange_ms:
        return set()
    ticks = np.array(exchange_ms, dtype=np.int64)
    snapshots = -(-ticks // _MINUTE_MS) * _MINUTE_MS
    return {int(hour) for hour in np.unique(snapshots // _HOUR_MS * _HOUR_MS)}


class HourKeeper:
    """Closes hours: inserts their row into `ingest_hours` when nothing of them is missing any more.

    Parameters
    ----------
    store
        Where `ingest_hours` is.
    collector
        Name of the collector.
    clock
        Where the time comes from.
    grace_seconds
        The watermark must be this far past the end of an hour.
    is_replay
        Hours are closed at the end of the run, by `close_all`, and not by the watermark.
    """

    def __init__(
        self,
        *,
        store: Store,
        collector: str,
        clock: Clock,
        grace_seconds: float,
        is_replay: bool = False,
    ) -> None:
        self.collector = collector
        self._store = store
        self._clock = clock
        self._grace_ms = round(grace_seconds * 1000)
        self._is_replay = is_replay
        self._pending: set[int] = set()
        self._repaired: set[int] = set()
        self._closed_at: dict[int, float] = {}
        self._newest: dict[int, int] = {}
        self._restored = is_replay
        self.active_connections: frozenset[int] = frozenset()

    def advance(self, batch: SegmentBatch) -> None:
        """Take note of a segment that the database holds, and close hours that ended.

        Raises
        ------
        ClickHouseError, OSError
            Call it again with the same batch.
        """
        self._restore()
        self._pending |= hours_of_ticks(batch.option_exchange_ms)
        for connection_id, newest in batch.newest_by_connection.items():
            self._newest[connection_id] = max(newest, self._newest.get(connection_id, 0))
        if self._is_replay:
            return
        self._repaired |= hours_of_ticks(batch.bridged_exchange_ms)
        watermark = self._watermark(batch)
        for hour in sorted(self._pending | self._repaired):
            if hour + _HOUR_MS + self._grace_ms <= watermark and self._may_close(hour):
                self._close_or_repair(hour, batch.header.segment_id)

    def touch(self, exchange_ms: list[int]) -> None:
        """Take note of option quotes that came without a segment."""
        self._pending |= hours_of_ticks(exchange_ms)

    def close_all(self, reason: str, token: str) -> list[datetime]:
        """Close every hour touched so far; return them.

        Parameters
        ----------
        reason
            import or replay.
        token
            Names the run, so that a repetition of the call closes nothing twice.
        """
        hours = sorted(self._pending)
        for hour in hours:
            self._close(hour, reason, token)
        return [datetime.fromtimestamp(hour / 1000, UTC) for hour in hours]

    def close(self) -> None:
        """Drop the connection to the database."""
        self._store.close()

    def _watermark(self, batch: SegmentBatch) -> int:
        """Return the time up to which nothing is missing: the slowest of all sources."""
        active = self.active_connections & self._newest.keys()
        sources = [self._newest[connection_id] for connection_id in active]
        if not sources:
            sources = [max(self._newest.values(), default=0)]
        return min(*sources, batch.last_received_ns // 1_000_000)

    def _may_close(self, hour: int) -> bool:
        """Let an hour that got late ticks be closed again, but not with every segment."""
        closed_at = self._closed_at.get(hour)
        return closed_at is None or self._clock.monotonic() - closed_at >= _CLOSE_AGAIN_SECONDS

    def _close_or_repair(self, hour: int, token: str) -> None:
        """Close an hour; one that was closed before it was repaired is closed again for that."""
        if hour in self._repaired and self._was_closed(hour):
            self._close(hour, "gap_repaired", token)
        elif hour in self._pending:
            self._close(hour, "watermark", token)
        self._repaired.discard(hour)  # trades alone, of an hour without quotes, change no record

    def _was_closed(self, hour: int) -> bool:
        if hour in self._closed_at:
            return True
        counted = self._store.rows(
            "SELECT count() FROM ingest_hours WHERE hour_ts = fromUnixTimestamp({hour:Int64})",
            {"hour": hour // 1000},
        )
        return bool(counted[0][0])

    def _close(self, hour: int, reason: str, token: str) -> None:
        start = datetime.fromtimestamp(hour / 1000, UTC)
        counted = self._store.rows(
            "SELECT count() FROM options_quotes FINAL WHERE exchange_ts > fromUnixTimestamp64Milli("
            "{after:Int64}) AND exchange_ts <= fromUnixTimestamp64Milli({until:Int64})",
            {"after": hour - _MINUTE_MS, "until": hour + _HOUR_MS - _MINUTE_MS},
        )
        row = pa.table(
            {
                "hour_ts": pa.array([hour // 1000], pa.timestamp("s", tz="UTC")),
                "reason": pa.array([reason], pa.string()),
                "rows": pa.array([counted[0][0]], pa.uint64()),
                "collector": pa.array([self.collector], pa.string()),
                "closed_ts": pa.array(
                    [self._clock.wall_ns() // 1000], pa.timestamp("us", tz="UTC")
                ),
            }
        )
        self._store.insert("ingest_hours", row, f"{self.collector}-{hour}-{token}")
        self._pending.discard(hour)
        self._closed_at[hour] = self._clock.monotonic()
        _log.info("hour_closed", hour=start.isoformat(), reason=reason, rows=counted[0][0])

    def _restore(self) -> None:
        """Remember the hours that an earlier process of ours left open."""
        if self._restored:
            return
        since = self._clock.wall_ns() // 1_000_000 - _LOOK_BACK_DAYS * 24 * _HOUR_MS
        rows = self._store.rows(
            "SELECT DISTINCT toUnixTimestamp(toStartOfHour(toDateTime(ceil("
            "toUnixTimestamp64Milli(exchange_ts) / 60000) * 60, 'UTC'))) AS hour "
            "FROM options_quotes WHERE collector = {collector:String} AND source = 'stream' "
            "AND exchange_ts >= fromUnixTimestamp64Milli({since:Int64}) "
            "AND hour NOT IN (SELECT toUnixTimestamp(hour_ts) FROM ingest_hours)",
            {"collector": self.collector, "since": since},
        )
        self._pending |= {int(hour) * 1000 for (hour,) in rows}
        self._restored = True
