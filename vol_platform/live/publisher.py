"""What readers of Redis get: keys with the newest state, and a word when it changed.

The layout is written in docs/redis.md; a change there raises `VERSION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import polars as pl
import redis
import structlog

from vol_platform.clock import monotonic_seconds
from vol_platform.live.engine import Computation

__all__ = ["STATUS_TTL_SECONDS", "VERSION", "RedisPublisher", "json_rows"]

VERSION = 1
STATUS_TTL_SECONDS = 30
"""A status key that is gone says that no live view runs."""

_RETRY_SECONDS = 1.0
_SOCKET_SECONDS = 1.0

_log = structlog.get_logger(__name__)


def json_rows(frame: pl.DataFrame) -> list[str]:
    """Return every row as a JSON object; instants as ISO 8601 in UTC, absent values as null."""
    instants = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    texts = frame.with_columns(pl.col(instants).dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
    return texts.select(pl.struct(pl.all()).struct.json_encode()).to_series().to_list()


def _document(fields: Mapping[str, Any], rows: Mapping[str, pl.DataFrame]) -> bytes:
    document = dict(fields)
    for name, frame in rows.items():
        document[name] = [msgspec.Raw(row.encode()) for row in json_rows(frame)]
    return msgspec.json.encode(document)


class RedisPublisher:
    """Publishes computations; without Redis it says so once and tries again every second."""

    def __init__(self, url: str, database: str) -> None:
        self.connected = False
        self._prefix = database
        self._next_attempt = 0.0
        self._client: redis.Redis = redis.Redis.from_url(
            url, socket_connect_timeout=_SOCKET_SECONDS, socket_timeout=_SOCKET_SECONDS
        )
        self._instruments: dict[str, set[str]] = {}

    def publish(self, computation: Computation, computed_ts: datetime) -> bool:
        """Replace the keys of a market at once and announce it; False when Redis is away."""
        if not self._may_try():
            return False
        currency, frames = computation.currency, computation.frames
        head = {
            "version": VERSION,
            "currency": currency,
            "snapshot_ts": computation.snapshot_ts,
            "computed_ts": computed_ts,
        }
        greeks = frames["options_greeks"].drop("snapshot_ts", "currency")
        names = greeks["instrument_name"].to_list()
        fields = dict(zip(names, json_rows(greeks), strict=True))
        # The whole hash is known after the first write of this process, so only then may single
        # fields be taken out; before that the key is replaced.
        known = self._instruments.get(currency)
        gone = set() if known is None else known - fields.keys()
        pipeline = self._client.pipeline(transaction=True)
        key = f"{self._prefix}:{currency}"
        pipeline.set(f"{key}:surface", _document(head, {"expiries": frames["surfaces"]}))
        pipeline.set(f"{key}:forwards", _document(head, {"expiries": frames["forward_curve"]}))
        if "term_structure" in computation.fresh:
            term = {"expiries": frames["term_structure"], "skew": frames["skew_metrics"]}
            pipeline.set(f"{key}:term_structure", _document(head, term))
        if known is None:
            pipeline.delete(f"{key}:greeks")
        if gone:
            pipeline.hdel(f"{key}:greeks", *sorted(gone))
        if fields:
            pipeline.hset(f"{key}:greeks", mapping=fields)
        pipeline.publish(f"{key}:updates", msgspec.json.encode(head))
        if not self._execute(pipeline):
            return False
        self._instruments[currency] = set(fields)
        return True

    def publish_status(self, currency: str, status: Mapping[str, Any]) -> bool:
        """Write the market's status; it expires by itself after `STATUS_TTL_SECONDS`."""
        if not self._may_try():
            return False
        pipeline = self._client.pipeline(transaction=False)
        pipeline.set(
            f"{self._prefix}:{currency}:status",
            msgspec.json.encode({"version": VERSION, **status}),
            ex=STATUS_TTL_SECONDS,
        )
        return self._execute(pipeline)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _may_try(self) -> bool:
        return self.connected or monotonic_seconds() >= self._next_attempt

    def _execute(self, pipeline: Any) -> bool:
        try:
            pipeline.execute()
        except (redis.RedisError, OSError) as error:
            if self.connected or self._next_attempt == 0.0:
                _log.warning("Redis is away; surfaces go to ClickHouse only", error=str(error))
            self.connected = False
            # Another server, or one that lost its memory, may answer next time.
            self._instruments.clear()
            self._next_attempt = monotonic_seconds() + _RETRY_SECONDS
            return False
        if not self.connected:
            _log.info("surfaces are published to Redis")
        self.connected = True
        return True
