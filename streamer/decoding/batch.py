"""A sealed segment as columns for the database, with its accounts.

The accounts must balance: frames = data messages + control messages + dead letters.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field

import crc32c
import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamer.decoding.columns import Provenance, RowList, build
from streamer.decoding.decimals import long_number_offsets
from streamer.decoding.decode import Decoded, FrameDecoder, Outcome
from streamer.decoding.rows import Row
from streamer.errors import SegmentError
from streamer.gaps import Gap, decode_gap
from streamer.spool.segment import Record, RecordKind, SegmentHeader, read_header, read_records

__all__ = ["Accounts", "DeadLetter", "SegmentBatch", "read_segment"]

_NO_TIME = 0
_BRIDGES = frozenset({RecordKind.TRADES, RecordKind.BOOK_SUMMARY})
_BRIDGED_TABLES = ("options_quotes", "trades")


@dataclass(slots=True)
class Accounts:
    """What became of the messages of one or of many segments."""

    frames: int = 0
    data_messages: int = 0
    control_messages: int = 0
    dead_letters: int = 0
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def is_balanced(self) -> bool:
        """Whether every message is accounted for."""
        return self.frames == self.data_messages + self.control_messages + self.dead_letters

    def add(self, other: Accounts) -> None:
        """Add another account to this one."""
        self.frames += other.frames
        self.data_messages += other.data_messages
        self.control_messages += other.control_messages
        self.dead_letters += other.dead_letters
        for table, count in other.rows.items():
            self.rows[table] = self.rows.get(table, 0) + count


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be stored, byte for byte."""

    received_ns: int
    channel: str
    reason: str
    detail: str
    raw: bytes


@dataclass(slots=True)
class SegmentBatch:
    """Everything that one segment puts into the database.

    Attributes
    ----------
    damage
        Where and how the file is damaged; None when it is sound.  What stands before the damage is
        in the batch.
    first_exchange_ms, last_exchange_ms
        Of all rows that have an exchange time; None without such rows.
    received_ns
        Receive time of every record.
    exchange_lags_seconds
        From exchange time to receive time, of every row that has an exchange time.
    option_exchange_ms, bridged_exchange_ms
        Of all option quotes; of the quotes and trades that came in the stead of missed messages.
    """

    header: SegmentHeader
    checksum: int
    size_bytes: int
    tables: dict[str, pa.Table]
    dead_letters: list[DeadLetter]
    gaps: list[Gap]
    accounts: Accounts
    first_received_ns: int
    last_received_ns: int
    first_exchange_ms: int | None
    last_exchange_ms: int | None
    option_exchange_ms: list[int]
    bridged_exchange_ms: list[int]
    newest_by_connection: dict[int, int]
    damage: str | None
    received_ns: npt.NDArray[np.int64]
    exchange_lags_seconds: npt.NDArray[np.float64]


def read_segment(buffer: bytes, decoder: FrameDecoder) -> SegmentBatch:
    """Decode a segment.

    Parameters
    ----------
    buffer
        The whole file.
    decoder
        Decodes the frames; counts oddities.

    Raises
    ------
    SegmentError
        Not even the header can be read.
    """
    header, offset = read_header(buffer)
    records: list[Record] = []
    damage = None
    try:
        records.extend(read_records(buffer, offset))
    except SegmentError as error:
        # `extend` keeps what the generator yielded before it raised.
        damage = str(error)
    reading = _Reading(header, records, _frames_with_long_numbers(buffer, records), decoder)
    return reading.batch(checksum=crc32c.crc32c(buffer), size_bytes=len(buffer), damage=damage)


def _frames_with_long_numbers(buffer: bytes, records: list[Record]) -> frozenset[int]:
    starts = [record.offset for record in records]
    return frozenset(
        bisect_right(starts, offset) - 1
        for offset in long_number_offsets(buffer)
        if starts and offset >= starts[0]
    )


class _Reading:
    """The reading of one segment."""

    def __init__(
        self,
        header: SegmentHeader,
        records: list[Record],
        long_numbers: frozenset[int],
        decoder: FrameDecoder,
    ) -> None:
        self.header = header
        self.records = records
        self.long_numbers = long_numbers
        self.lists: defaultdict[str, RowList] = defaultdict(RowList)
        self.outcomes: dict[int, Outcome] = {}
        self.letters: dict[int, DeadLetter] = {}
        self.gaps: list[Gap] = []
        frames = [record for record in records if record.kind == RecordKind.FRAME]
        decoded = decoder.decode_all(
            [record.payload for record in frames], [record.received_ns for record in frames]
        )
        for index, record in enumerate(records):
            if record.kind == RecordKind.FRAME:
                self._take(index, record, next(decoded))
            else:
                self._take_other(index, record, decoder)

    def _take_other(self, index: int, record: Record, decoder: FrameDecoder) -> None:
        """Take what is no frame of the socket: a gap, or the answer to a REST call."""
        if record.kind == RecordKind.GAP:
            try:
                self.gaps.append(decode_gap(record.payload))
            except msgspec.DecodeError as error:
                decoded = Decoded(Outcome.DEAD, "gap", [], "malformed", str(error))
                self._bury(index, record, decoded)
        elif record.kind == RecordKind.INSTRUMENTS:
            self._take(index, record, decoder.decode_instruments(record.payload))
        elif record.kind == RecordKind.TRADES:
            decoded = decoder.decode_trades(record.payload, record.received_ns)
            self._take(index, record, decoded)
        else:
            decoded = decoder.decode_book_summary(record.payload, record.received_ns)
            self._take(index, record, decoded)

    def _take(self, index: int, record: Record, decoded: Decoded | Row) -> None:
        if isinstance(decoded, Row):
            self.outcomes[index] = Outcome.DATA
            self._add(index, record, decoded)
        elif decoded.outcome is Outcome.DEAD:
            self._bury(index, record, decoded)
        else:
            self.outcomes[index] = decoded.outcome
            for row in decoded.rows:
                self._add(index, record, row)

    def _add(self, index: int, record: Record, row: Row) -> None:
        rows = self.lists[row.table]
        if index in self.long_numbers:
            rows.raws[len(rows)] = bytes(row.raw)
        if record.kind in _BRIDGES:
            rows.bridged.add(len(rows))
        rows.messages.append(row.message)
        rows.checksums.append(row.checksum)
        rows.received_ns.append(record.received_ns)
        rows.connection_ids.append(record.connection_id)
        rows.frames.append(index)

    def _bury(self, index: int, record: Record, decoded: Decoded) -> None:
        self.outcomes[index] = Outcome.DEAD
        self.letters[index] = DeadLetter(
            record.received_ns, decoded.channel, decoded.reason, decoded.detail, record.payload
        )

    def batch(self, *, checksum: int, size_bytes: int, damage: str | None) -> SegmentBatch:
        provenance = Provenance(self.header.collector, self.header.source, self.header.testnet)
        while True:
            built = {name: build(name, rows, provenance) for name, rows in self.lists.items()}
            refused = {
                self.lists[name].frames[row]: detail
                for name, table in built.items()
                for row, detail in table.refused
            }
            if not refused:
                break
            self._bury_rows(refused)
        tables = {name: table.columns for name, table in built.items() if len(self.lists[name])}
        option_rows = self.lists.get("options_quotes", RowList())
        exchange_ms = [
            message.timestamp
            for name, rows in self.lists.items()
            if name != "options_metadata"
            for message in rows.messages
        ]
        exchange_received_ns = [
            received_ns
            for name, rows in self.lists.items()
            if name != "options_metadata"
            for received_ns in rows.received_ns
        ]
        received_ns = np.array([it.received_ns for it in self.records], dtype=np.int64)
        times = received_ns if len(received_ns) else np.array([self.header.created_ns])
        newest: dict[int, int] = {}
        for message, connection_id in zip(
            option_rows.messages, option_rows.connection_ids, strict=True
        ):
            newest[connection_id] = max(newest.get(connection_id, 0), message.timestamp)
        return SegmentBatch(
            header=self.header,
            checksum=checksum,
            size_bytes=size_bytes,
            tables=tables,
            dead_letters=list(self.letters.values()),
            gaps=self.gaps,
            accounts=self._accounts(),
            first_received_ns=int(times.min()),
            last_received_ns=int(times.max()),
            first_exchange_ms=min(exchange_ms, default=None),
            last_exchange_ms=max(exchange_ms, default=None),
            option_exchange_ms=[message.timestamp for message in option_rows.messages],
            bridged_exchange_ms=[
                rows.messages[place].timestamp
                for name in _BRIDGED_TABLES
                if (rows := self.lists.get(name)) is not None
                for place in sorted(rows.bridged)
            ],
            newest_by_connection=newest,
            damage=damage,
            received_ns=received_ns,
            exchange_lags_seconds=(
                np.array(exchange_received_ns, dtype=np.int64) / 1e9
                - np.array(exchange_ms, dtype=np.int64) / 1e3
            ),
        )

    def _bury_rows(self, refused: dict[int, str]) -> None:
        """Turn messages with a value that no column holds into dead letters, whole."""
        for index, detail in refused.items():
            decoded = Decoded(Outcome.DEAD, "", [], "out_of_range", detail)
            self._bury(index, self.records[index], decoded)
        for name, rows in self.lists.items():
            kept = [place for place, index in enumerate(rows.frames) if index not in refused]
            self.lists[name] = RowList(
                messages=[rows.messages[place] for place in kept],
                checksums=[rows.checksums[place] for place in kept],
                received_ns=[rows.received_ns[place] for place in kept],
                connection_ids=[rows.connection_ids[place] for place in kept],
                frames=[rows.frames[place] for place in kept],
                raws={
                    new: rows.raws[place] for new, place in enumerate(kept) if place in rows.raws
                },
                bridged={new for new, place in enumerate(kept) if place in rows.bridged},
            )

    def _accounts(self) -> Accounts:
        outcomes = np.bincount(np.fromiter(self.outcomes.values(), dtype=np.int64), minlength=3)
        return Accounts(
            frames=len(self.outcomes),
            data_messages=int(outcomes[Outcome.DATA]),
            control_messages=int(outcomes[Outcome.CONTROL]),
            dead_letters=int(outcomes[Outcome.DEAD]),
            rows={name: len(rows) for name, rows in self.lists.items() if len(rows)},
        )
