"""The database as the history commands see it: rows that are new, and how far each task is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import crc32c
import msgspec
import pyarrow as pa

from streamer.clock import Clock
from streamer.database.store import Store
from streamer.decoding.columns import Provenance, RowList, build
from streamer.decoding.decimals import long_number_offsets
from streamer.decoding.decode import FrameDecoder, Outcome
from streamer.decoding.rows import Row
from streamer.deribit.instruments import market_of
from streamer.errors import StoreRefusedError
from streamer.history.intervals import Interval
from streamer.history.messages import ROW_TYPES
from streamer.settings import StreamerSettings

__all__ = [
    "HistoryStore",
    "KnownTrade",
    "Stored",
    "differing_trades",
    "time_text",
    "trade_key",
]

_SOURCE = "history"
_MICROSECONDS = pa.timestamp("us", tz="UTC")
_MILLISECONDS = pa.timestamp("ms", tz="UTC")

KnownTrade = tuple[Decimal, Decimal, int]
"""Price, amount and exchange time (ms) of a trade."""


@dataclass(slots=True)
class Stored:
    """What became of rows.

    Attributes
    ----------
    received
        All of them.
    new
        Those that were inserted.
    differing
        Trades that the database already has with another price, amount or time; they are left as
        they are.
    unreadable
        Those that became dead letters.
    """

    received: int = 0
    new: int = 0
    differing: int = 0
    unreadable: int = 0

    def add(self, other: Stored) -> None:
        """Add another count to this one."""
        self.received += other.received
        self.new += other.new
        self.differing += other.differing
        self.unreadable += other.unreadable


class HistoryStore:
    """Writes rows of the past and keeps the progress.

    Parameters
    ----------
    settings
        Of the collector.
    clock
        Where the time comes from.
    """

    def __init__(self, settings: StreamerSettings, clock: Clock) -> None:
        self._store = Store(settings.clickhouse)
        self._clock = clock
        self._collector = settings.collector
        self._provenance = Provenance(settings.collector, _SOURCE, settings.testnet)
        self._decoder = FrameDecoder()

    def check(self) -> None:
        """Make sure that the database is there.

        Raises
        ------
        StoreRefusedError
            It cannot be reached, or refuses us.
        """
        if not self._store.check():
            raise StoreRefusedError(
                f"ClickHouse at {self._store.address} cannot be reached; start it first"
            )

    def close(self) -> None:
        """Drop the connection."""
        self._store.close()

    # ------------------------------------------------------------------- progress

    def done(self, what: str, subject: str, host: str) -> list[Interval]:
        """Return the stretches of time that a task has behind it."""
        rows = self._store.rows(
            "SELECT toUnixTimestamp64Milli(from_ts), toUnixTimestamp64Milli(done_to_ts) "
            "FROM history_progress FINAL WHERE what = {what:String} "
            "AND subject = {subject:String} AND host = {host:String}",
            {"what": what, "subject": subject, "host": host},
        )
        return [Interval(*row) for row in rows]

    def note(
        self, what: str, subject: str, host: str, interval: Interval, done_to_ms: int, rows: int
    ) -> None:
        """Keep how far a task is in a stretch of time."""
        now_us = self._clock.wall_ns() // 1000
        row = pa.table(
            {
                "what": pa.array([what], pa.string()),
                "subject": pa.array([subject], pa.string()),
                "host": pa.array([host], pa.string()),
                "from_ts": pa.array([interval.from_ms], _MILLISECONDS),
                "done_to_ts": pa.array([done_to_ms], _MILLISECONDS),
                "rows": pa.array([rows], pa.uint64()),
                "collector": pa.array([self._collector], pa.string()),
                "updated_ts": pa.array([now_us], _MICROSECONDS),
            }
        )
        token = f"{what}-{subject}-{host}-{interval.from_ms}-{done_to_ms}-{now_us}"
        self._store.insert("history_progress", row, token)

    def futures_traded(self, markets: Iterable[str], interval: Interval) -> dict[str, Interval]:
        """Return the futures that traded in a stretch of time, with their first and last trade."""
        rows = self._store.rows(
            "SELECT instrument_name, toUnixTimestamp64Milli(min(exchange_ts)), "
            "toUnixTimestamp64Milli(max(exchange_ts)) + 1 FROM trades "
            "WHERE kind IN ('future', 'perpetual') AND currency IN {markets:Array(String)} "
            "AND exchange_ts >= fromUnixTimestamp64Milli({from:Int64}) "
            "AND exchange_ts < fromUnixTimestamp64Milli({to:Int64}) GROUP BY instrument_name",
            {"markets": list(markets), "from": interval.from_ms, "to": interval.to_ms},
        )
        return {name: Interval(first, last) for name, first, last in rows}

    # ----------------------------------------------------------------------- rows

    def put(self, table: str, raws: list[bytes]) -> Stored:
        """Insert rows, trades only where the database has none of that number and name.

        Parameters
        ----------
        table
            Where they belong.
        raws
            Rows as JSON: trades as on the wire, others as in `streamer.history.messages`.
        """
        stored = Stored(received=len(raws))
        if not raws:
            return stored
        if table == "trades":
            rows, stored.unreadable = self.read_trades(raws)
            known = self.known_trades(rows)
            stored.differing = len(differing_trades(rows, known))
            rows = [row for row in rows if trade_key(row) not in known]
        else:
            kind = ROW_TYPES[table]
            rows = [Row(table, msgspec.json.decode(raw, type=kind), raw) for raw in raws]
        stored.new = self._insert(table, rows)
        return stored

    def read_trades(self, raws: list[bytes]) -> tuple[list[Row], int]:
        """Return the rows of trades; what cannot be read becomes a dead letter and is counted."""
        now_ns = self._clock.wall_ns()
        decoded = self._decoder.decode_trades(_as_answer(raws), now_ns)
        if decoded.outcome is not Outcome.DEAD:
            return decoded.rows, 0
        rows: list[Row] = []
        unreadable = 0
        for raw in raws:
            one = self._decoder.decode_trades(_as_answer([raw]), now_ns)
            if one.outcome is Outcome.DEAD:
                self._bury(raw, one.reason, one.detail)
                unreadable += 1
            rows += one.rows
        return rows, unreadable

    def known_trades(self, rows: list[Row]) -> dict[tuple[str, str], KnownTrade]:
        """Return the trades of the same markets and times that the database has."""
        if not rows:
            return {}
        times = [row.message.timestamp for row in rows]
        found = self._store.rows(
            "SELECT instrument_name, trade_id, price, amount, toUnixTimestamp64Milli(exchange_ts) "
            "FROM trades WHERE currency IN {markets:Array(String)} "
            "AND exchange_ts >= fromUnixTimestamp64Milli({first:Int64}) "
            "AND exchange_ts <= fromUnixTimestamp64Milli({last:Int64})",
            {
                "markets": sorted({market_of(row.message.instrument_name) for row in rows}),
                "first": min(times),
                "last": max(times),
            },
        )
        return {
            (name, trade_id): (price, amount, ms) for name, trade_id, price, amount, ms in found
        }

    def rows(self, query: str, parameters: dict[str, Any]) -> list[Any]:
        """Return the rows of a query."""
        return self._store.rows(query, parameters)

    def _insert(self, table: str, rows: list[Row]) -> int:
        if not rows:
            return 0
        now_ns = self._clock.wall_ns()
        listed = RowList(
            messages=[row.message for row in rows],
            checksums=[row.checksum for row in rows],
            received_ns=[now_ns] * len(rows),
            connection_ids=[0] * len(rows),
            frames=list(range(len(rows))),
            raws={
                place: bytes(row.raw)
                for place, row in enumerate(rows)
                if long_number_offsets(bytes(row.raw))
            },
        )
        built = build(table, listed, self._provenance)
        if built.refused:
            refused = dict(built.refused)
            for place, detail in refused.items():
                self._bury(bytes(rows[place].raw), "out_of_range", detail)
            return self._insert(
                table, [row for place, row in enumerate(rows) if place not in refused]
            )
        # The same rows make the same token: a repeated insert does nothing.
        token = crc32c.crc32c(b"".join(row.checksum.to_bytes(4, "big") for row in rows))
        first, last = rows[0].message.timestamp, rows[-1].message.timestamp
        self._store.insert(table, built.columns, f"history-{first}-{last}-{len(rows)}-{token:08x}")
        return len(rows)

    def _bury(self, raw: bytes, reason: str, detail: str) -> None:
        now_us = self._clock.wall_ns() // 1000
        letter = pa.table(
            {
                "received_ts": pa.array([now_us], _MICROSECONDS),
                "channel": pa.array([_SOURCE], pa.string()),
                "reason": pa.array([reason], pa.string()),
                "detail": pa.array([detail], pa.string()),
                "raw": pa.array([raw], pa.binary()),
                "collector": pa.array([self._collector], pa.string()),
                "segment_id": pa.array([_SOURCE], pa.string()),
            }
        )
        self._store.insert("dead_letters", letter, f"history-{crc32c.crc32c(raw):08x}-{len(raw)}")


def trade_key(row: Row) -> tuple[str, str]:
    """Return what names a trade: its instrument and its id."""
    return row.message.instrument_name, row.message.trade_id


def differing_trades(
    rows: list[Row], known: dict[tuple[str, str], KnownTrade]
) -> list[tuple[Row, KnownTrade]]:
    """Return trades that are known with another price, amount or time, with what is known."""
    found = []
    for row in rows:
        other = known.get(trade_key(row))
        if other is None:
            continue
        trade = row.message
        # Both were the same JSON number; the column keeps eight digits of it.
        exact = (Decimal(repr(trade.price)), Decimal(repr(trade.amount)))
        same = all(
            abs(one - two) < Decimal("1e-8") for one, two in zip(exact, other[:2], strict=True)
        )
        if not same or trade.timestamp != other[2]:
            found.append((row, other))
    return found


def _as_answer(raws: list[bytes]) -> bytes:
    return b'{"result":{"trades":[' + b",".join(raws) + b"]}}"


def time_text(moment_ms: int) -> str:
    """Return a moment as people write it."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
