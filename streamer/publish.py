"""Batches of fresh rows to Redis, for the live view.

Redis is a convenience here, never a condition: nothing waits for it, a full queue drops the oldest
rows and counts them, and the truth is in the spool.  The layout is written in ``docs/redis.md``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from streamer.clock import Clock
from streamer.decoding.decode import Decoded, FrameDecoder, Outcome
from streamer.decoding.rows import Row
from streamer.decoding.tables import TABLES, Column
from streamer.deribit.instruments import kind_of, market_of
from streamer.log import logger

__all__ = ["PUBLISHED_TABLES", "Publisher", "row_values"]

_log = logger(__name__)
_VERSION = 1
_FLUSH_SECONDS = 0.02
PUBLISHED_TABLES = ("options_quotes", "futures_prices", "spot_prices", "options_metadata")
"""Tables whose rows are published."""
_MOST_ROWS = 20_000
_MOST_ROWS_A_BATCH = 2_000


class _Layout:
    """Columns of a published table and the function that makes a row of a message."""

    def __init__(self, table: str) -> None:
        columns = TABLES[table].columns
        self._plain = attrgetter(*(_attribute(column) for column in columns))
        self._special: list[tuple[int, Callable[[Any], Any]]] = []
        self._absent_zeros: list[int] = []
        self._texts: list[int] = []
        for place, column in enumerate(columns):
            if column.name in ("estimated_delivery_price", "is_expired"):
                self._special.append((place, column.read))
            elif column.type == "steps":
                self._special.append((place, _steps))
            elif column.zero_is_absent:
                self._absent_zeros.append(place)
            elif column.type == "text":
                self._texts.append(place)
        self.has_instrument = columns[0].name == "instrument_name"
        self.has_contract_type = table == "futures_prices"
        names = [column.name for column in columns]
        if self.has_instrument:
            names.append("currency")
        if self.has_contract_type:
            names.append("contract_type")
        self.columns = (*names, "received_ts")

    def row(self, message: Any, received_ns: int) -> list[Any]:
        """Return the values in the order of `columns`."""
        values = list(self._plain(message))
        for place in self._absent_zeros:
            if values[place] == 0.0:
                values[place] = None
        for place in self._texts:
            if values[place] is None:
                values[place] = ""
        for place, read in self._special:
            values[place] = read(message)
        if self.has_instrument:
            values.append(market_of(message.instrument_name))
        if self.has_contract_type:
            values.append(str(kind_of(message.instrument_name)))
        values.append(received_ns)
        return values


def _attribute(column: Column) -> str:
    # Columns computed by a function are replaced afterwards; any attribute holds their place.
    return ".".join(column.field_path) if column.field_path else "estimated_delivery_price"


def _steps(instrument: Any) -> list[list[float]]:
    return [[step.above_price, step.tick_size] for step in instrument.tick_size_steps]


_LAYOUTS = {table: _Layout(table) for table in PUBLISHED_TABLES}


def row_values(row: Row, received_ns: int) -> list[Any]:
    """Return a row of a published table as it is sent."""
    return _LAYOUTS[row.table].row(row.message, received_ns)


class Publisher:
    """Collects rows and sends them as batches.

    Parameters
    ----------
    url
        Of Redis.
    database
        Name of the ClickHouse database; the channels begin with it.
    collector
        Name of the collector.
    clock
        Where the time comes from.

    Attributes
    ----------
    published, dropped
        Rows sent, and rows given up because Redis was away or slow.
    """

    def __init__(self, url: str, *, database: str, collector: str, clock: Clock) -> None:
        self.published = 0
        self.dropped = 0
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=2.0, socket_connect_timeout=2.0, retry_on_timeout=False
        )
        self._database = database
        self._collector = collector
        self._clock = clock
        self._waiting: dict[str, deque[list[Any]]] = {
            table: deque(maxlen=_MOST_ROWS) for table in PUBLISHED_TABLES
        }
        self._decoder = FrameDecoder()
        self._sequence = 0
        self._is_away = False

    def add_frames(self, frames: list[bytes], received_ns: int) -> None:
        """Queue the rows of messages; never waits."""
        for decoded in self._decoder.decode_all(frames, [received_ns] * len(frames)):
            if isinstance(decoded, Row):
                self._add_row(decoded, received_ns)
            else:
                self.add(decoded, received_ns)

    def add_instruments(self, body: bytes, received_ns: int) -> None:
        """Queue a list of instruments."""
        self.add(self._decoder.decode_instruments(body), received_ns)

    async def run(self) -> None:
        """Send what is queued, every few milliseconds, until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self.flush()

    def add(self, decoded: Decoded, received_ns: int) -> None:
        """Queue the rows of a message; never waits."""
        if decoded.outcome is not Outcome.DATA:
            return
        for row in decoded.rows:
            self._add_row(row, received_ns)

    def _add_row(self, row: Row, received_ns: int) -> None:
        waiting = self._waiting.get(row.table)
        if waiting is None:
            return
        if len(waiting) == _MOST_ROWS:
            self.dropped += 1  # the deque lets its oldest row go
        waiting.append(row_values(row, received_ns))

    async def flush(self) -> None:
        """Send what is queued; rows that Redis does not take are dropped and counted."""
        for table, waiting in self._waiting.items():
            while waiting:
                rows = [waiting.popleft() for _ in range(min(len(waiting), _MOST_ROWS_A_BATCH))]
                if not await self._send(table, rows):
                    return

    async def close(self) -> None:
        """Send what is queued and close the connection."""
        await self.flush()
        await self._redis.aclose()

    async def _send(self, table: str, rows: list[list[Any]]) -> bool:
        self._sequence += 1
        batch = {
            "version": _VERSION,
            "collector": self._collector,
            "sequence": self._sequence,
            "published_ns": self._clock.wall_ns(),
            "columns": list(_LAYOUTS[table].columns),
            "rows": rows,
        }
        payload = msgspec.msgpack.encode(batch)
        try:
            await self._redis.publish(f"{self._database}:batches:{table}", payload)
        except (RedisError, OSError) as error:
            self.dropped += len(rows)
            if not self._is_away:
                self._is_away = True
                _log.warning("redis_away", error=str(error), note="batches are dropped and counted")
            return False
        if self._is_away:
            self._is_away = False
            _log.info("redis_back", dropped_rows=self.dropped)
        self.published += len(rows)
        return True
