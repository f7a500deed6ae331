"""Batches of raw rows from Redis: the layout is written in docs/redis.md."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
import redis
import structlog

__all__ = ["TABLES", "Batch", "BatchFeed", "decode_batch"]

TABLES = ("options_quotes", "futures_prices", "spot_prices", "options_metadata")

_VERSION = 1
_RECONNECT_SECONDS = 1.0
_SOCKET_SECONDS = 2.0
_LONGEST_DRAIN_SECONDS = 1.0
"""A flood must not keep the newest state from being computed."""

_REQUIRED = {
    "options_quotes": ("instrument_name", "currency", "exchange_ts", "received_ts"),
    "futures_prices": (
        *("instrument_name", "currency", "exchange_ts", "contract_type"),
        *("bid_price", "ask_price", "mark_price", "index_price"),
    ),
    "spot_prices": ("index_name", "exchange_ts", "price"),
    "options_metadata": (
        *("instrument_name", "currency", "kind", "option_type", "strike", "expiry_ts"),
        *("quote_currency", "instrument_type", "tick_size", "tick_size_steps", "creation_ts"),
    ),
}
"""Columns without which a batch is of no use here."""

_log = structlog.get_logger(__name__)


class _Payload(msgspec.Struct):
    version: int
    collector: str
    sequence: int
    published_ns: int
    columns: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one table as the streamer decoded them."""

    table: str
    collector: str
    sequence: int
    columns: list[str]
    rows: list[list[Any]]


_decoder = msgspec.msgpack.Decoder(_Payload)


def decode_batch(table: str, payload: bytes) -> Batch:
    """Read one published payload.

    Raises
    ------
    ValueError
        It is not such a payload, or of a version this code does not know.
    """
    try:
        read = _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise ValueError(f"batch of {table} cannot be read: {error}") from None
    if read.version != _VERSION:
        raise ValueError(f"batch of {table} has version {read.version}, known is {_VERSION}")
    missing = [name for name in _REQUIRED.get(table, ()) if name not in read.columns]
    if missing:
        raise ValueError(f"batch of {table} lacks the columns {missing}")
    if any(len(row) != len(read.columns) for row in read.rows):
        raise ValueError(f"batch of {table} has rows that are not {len(read.columns)} values long")
    return Batch(table, read.collector, read.sequence, read.columns, read.rows)


@dataclass
class BatchFeed:
    """Follows the batches of one database; survives the absence of Redis.

    Pub/sub keeps nothing for who is away, so every (re)connection and every jump in a collector's
    sequence is told to the caller as `must_resync`: the newest state has to come from ClickHouse.
    """

    url: str
    database: str
    connected: bool = False
    missed_batches: int = 0
    unreadable_batches: int = 0
    must_resync: bool = True
    _pubsub: Any = None
    _client: Any = None
    _next_attempt: float = 0.0
    _sequences: dict[str, int] = field(default_factory=dict)

    def drain(self, seconds: float) -> list[Batch]:
        """Collect batches for so long, then everything that is already there.

        Never raises for want of Redis: it waits the time out and reports `connected` False.
        """
        deadline = time.monotonic() + seconds
        if self._pubsub is None and not self._connect():
            time.sleep(max(deadline - time.monotonic(), 0.0))
            return []
        batches: list[Batch] = []
        try:
            while True:
                left = deadline - time.monotonic()
                if left < -_LONGEST_DRAIN_SECONDS:
                    return batches
                message = self._pubsub.get_message(timeout=max(left, 0.0))
                if message is None:
                    if left <= 0:
                        return batches
                    continue
                batch = self._read(message)
                if batch is not None:
                    batches.append(batch)
        except (redis.RedisError, OSError) as error:
            _log.warning("Redis is away; quotes come from ClickHouse", error=str(error))
            self.close()
            return batches

    def close(self) -> None:
        """Leave; a later `drain` connects again."""
        for part in (self._pubsub, self._client):
            if part is not None:
                try:
                    part.close()
                except (redis.RedisError, OSError):
                    _log.debug("closing a broken Redis connection failed")
        self._pubsub = self._client = None
        self.connected = False

    def _connect(self) -> bool:
        if time.monotonic() < self._next_attempt:
            return False
        self._next_attempt = time.monotonic() + _RECONNECT_SECONDS
        try:
            self._client = redis.Redis.from_url(
                self.url, socket_connect_timeout=_SOCKET_SECONDS, socket_timeout=_SOCKET_SECONDS
            )
            self._pubsub = self._client.pubsub(ignore_subscribe_messages=True)
            self._pubsub.subscribe(*(f"{self.database}:batches:{table}" for table in TABLES))
        except (redis.RedisError, OSError) as error:
            _log.debug("Redis cannot be reached", error=str(error))
            self.close()
            return False
        self.connected = self.must_resync = True
        self._sequences.clear()
        return True

    def _read(self, message: dict[str, Any]) -> Batch | None:
        table = message["channel"].decode().rpartition(":")[2]
        try:
            batch = decode_batch(table, message["data"])
        except ValueError as error:
            self.unreadable_batches += 1
            _log.warning("a batch was left out", error=str(error))
            return None
        # A collector counts its batches over all tables; a smaller number means that it restarted.
        before = self._sequences.get(batch.collector)
        if before is not None and batch.sequence > before + 1:
            self.missed_batches += batch.sequence - before - 1
            self.must_resync = True
        self._sequences[batch.collector] = batch.sequence
        return batch
