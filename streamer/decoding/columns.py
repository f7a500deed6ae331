"""From decoded messages to Arrow columns, exactly.

Decimals travel as decimal128 built from int64 arrays; no number passes through text or through a
Python object of its own, except the few that `streamer.decoding.decimals` must look at one by one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamer.decoding.decimals import MAXIMUM_EXACT, Scaled, as_doubles, scale_exactly
from streamer.decoding.tables import TABLES, Column, Table
from streamer.deribit.instruments import kind_of, market_of

__all__ = ["Built", "Provenance", "RowList", "build", "decimal128"]

_DIGITS_OF_A_DOUBLE = 15  # every decimal of so many digits has a double of its own
_LEVEL_SCALES = {"bids": (8, 4), "asks": (8, 4), "tick_size_steps": (8, 8)}


@dataclass(slots=True)
class RowList:
    """The rows of one table in one segment, as parallel lists.

    `raws` holds the JSON of a row only where a number may have more digits than a double; `bridged`
    the places of rows that a REST call brought in the stead of missed messages.
    """

    messages: list[Any] = field(default_factory=list)
    checksums: list[int] = field(default_factory=list)
    received_ns: list[int] = field(default_factory=list)
    connection_ids: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    raws: dict[int, bytes] = field(default_factory=dict)
    bridged: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.messages)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the rows of a segment come from."""

    collector: str
    source: str
    testnet: bool


@dataclass(frozen=True, slots=True)
class Built:
    """The columns of a table.

    Attributes
    ----------
    columns
        In Arrow, ready to insert.
    refused
        Row indices with the column and the value that it cannot hold.
    """

    columns: pa.Table
    refused: tuple[tuple[int, str], ...]


def build(table_name: str, rows: RowList, provenance: Provenance) -> Built:
    """Build the Arrow columns of a table.

    Parameters
    ----------
    table_name
        A key of `streamer.decoding.tables.TABLES`.
    rows
        Decoded messages of that table.
    provenance
        Collector, source and whether it is the test exchange.
    """
    table = TABLES[table_name]
    builder = _Builder(table, rows)
    for column in table.columns:
        builder.add(column)
    builder.add_provenance(provenance)
    arrays, names = list(builder.arrays.values()), list(builder.arrays)
    return Built(pa.Table.from_arrays(arrays, names=names), tuple(builder.refused))


class _Builder:
    def __init__(self, table: Table, rows: RowList) -> None:
        self.table = table
        self.rows = rows
        self.arrays: dict[str, pa.Array] = {}
        self.refused: list[tuple[int, str]] = []
        self.rounded: defaultdict[int, list[str]] = defaultdict(list)
        self._written = {
            index: json.loads(raw, parse_float=_long_number) for index, raw in rows.raws.items()
        }

    def add(self, column: Column) -> None:
        wire = list(map(column.read, self.rows.messages))
        match column.type:
            case "decimal":
                array = self._decimal(column, wire)
            case "text":
                array = pa.array([text or "" for text in wire], pa.string())
            case "float":
                array = self._float(column, wire)
            case "milliseconds":
                array = pa.array(wire, pa.timestamp("ms", tz="UTC"))
            case "unsigned":
                filled = wire if column.nullable else [number or 0 for number in wire]
                array = pa.array(filled, pa.uint64())
            case "flag":
                array = pa.array(wire, pa.bool_())
            case _:
                array = self._levels(column, wire)
        self.arrays[column.name] = array

    def add_provenance(self, provenance: Provenance) -> None:
        rows, count = self.rows, len(self.rows)
        if "instrument_name" in self.table.column_names:
            names = [message.instrument_name for message in rows.messages]
            self.arrays["currency"] = pa.array([market_of(name) for name in names], pa.string())
            if self.table.name in ("futures_prices", "trades"):
                kinds = pa.array([str(kind_of(name)) for name in names], pa.string())
                kind_column = "kind" if self.table.name == "trades" else "contract_type"
                self.arrays[kind_column] = kinds
        received = pa.array(
            np.array(rows.received_ns, dtype=np.int64) // 1000, pa.timestamp("us", tz="UTC")
        )
        sources = _constant(provenance.source, count)
        if rows.bridged:
            sources = pa.array(
                ["bridge" if place in rows.bridged else provenance.source for place in range(count)]
            )
        self.arrays["source"] = sources
        self.arrays["content_checksum"] = pa.array(rows.checksums, pa.uint32())
        if not self.table.has_rounded_fields:
            self.arrays["seen_ts"] = received
            self.refused.extend(
                (index, f"{', '.join(names)} has more digits than the column")
                for index, names in self.rounded.items()
            )
            return
        self.arrays["rounded_fields"] = self._rounded_fields()
        self.arrays["received_ts"] = received
        self.arrays["collector"] = _constant(provenance.collector, count)
        self.arrays["connection_id"] = pa.array(rows.connection_ids, pa.uint32())
        self.arrays["testnet"] = pa.repeat(pa.scalar(provenance.testnet), count)

    def _rounded_fields(self) -> pa.Array:
        if not self.rounded:
            return _constant("", len(self.rows))
        names = [",".join(self.rounded.get(index, ())) for index in range(len(self.rows))]
        return pa.array(names, pa.string())

    def _decimal(self, column: Column, wire: list[float | None]) -> pa.Array:
        written = {
            index: number
            for index, document in self._written.items()
            if (number := _number_at(document, column.field_path)) is not None
        }
        scaled = scale_exactly(wire, column.scale, 10**column.precision - 1, written)
        self._note(column.name, scaled, None)
        present = scaled.present
        if column.zero_is_absent:
            absent = as_doubles(wire) == 0.0
            # A number too small for the column is there all the same: it is rounded, not absent.
            absent[[index for index, number in written.items() if number != 0]] = False
            present = present & ~absent
        if not column.nullable:
            present = np.ones_like(present)
        return decimal128(scaled.numbers, present, column.precision, column.scale)

    def _float(self, column: Column, wire: list[float | None]) -> pa.Array:
        for index, document in self._written.items():
            number, double = _number_at(document, column.field_path), wire[index]
            if number is not None and double is not None and Decimal(repr(double)) != number:
                self.rounded[index].append(column.name)
        doubles = as_doubles(wire)
        return pa.array(doubles, pa.float64(), mask=np.isnan(doubles))

    def _levels(self, column: Column, wire: Sequence[Sequence[Any]]) -> pa.Array:
        """Build an array of (action, price, amount), or of (above_price, tick_size)."""
        is_ladder = column.name == "tick_size_steps"
        counts = np.array([len(levels) for levels in wire], dtype=np.int64)
        offsets = np.concatenate(([0], np.cumsum(counts)))
        flat = [level for levels in wire for level in levels]
        first_written, second_written = self._written_levels(column, offsets, is_ladder=is_ladder)
        first_scale, second_scale = _LEVEL_SCALES[column.name]
        if is_ladder:
            firsts = [step.above_price for step in flat]
            seconds = [step.tick_size for step in flat]
        else:
            firsts = [level[1] for level in flat]
            seconds = [level[2] for level in flat]
        limit = 10**18 - 1
        first = scale_exactly(firsts, first_scale, limit, first_written)
        second = scale_exactly(seconds, second_scale, limit, second_written)
        rows_of_levels = np.repeat(np.arange(len(wire)), counts)
        for scaled in (first, second):
            self._note(column.name, scaled, rows_of_levels)
        here = np.ones(len(flat), dtype=np.bool_)
        children = [
            decimal128(first.numbers, here, 18, first_scale),
            decimal128(second.numbers, here, 18, second_scale),
        ]
        names = ["above_price", "tick_size"] if is_ladder else ["price", "amount"]
        if not is_ladder:
            children.insert(0, pa.array([level[0] for level in flat], pa.string()))
            names.insert(0, "action")
        structs = pa.StructArray.from_arrays(children, names=names)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs)

    def _written_levels(
        self, column: Column, offsets: npt.NDArray[np.int64], *, is_ladder: bool
    ) -> tuple[dict[int, Decimal], dict[int, Decimal]]:
        first: dict[int, Decimal] = {}
        second: dict[int, Decimal] = {}
        side = column.name.removesuffix("s")
        for index, document in self._written.items():
            levels = document.get(column.field_path[0])
            if levels is None:  # a quote: its one level stands in fields of its own
                levels = [
                    [document.get(f"best_{side}_{part}") or 0 for part in ("price", "amount")]
                ]
            if is_ladder:
                levels = [[step["above_price"], step["tick_size"]] for step in levels]
            if len(levels) != offsets[index + 1] - offsets[index]:
                continue
            for place, level in enumerate(levels, start=int(offsets[index])):
                numbers = [_as_decimal(number) for number in level[-2:]]
                if numbers[0] is not None:
                    first[place] = numbers[0]
                if numbers[1] is not None:
                    second[place] = numbers[1]
        return first, second

    def _note(self, name: str, scaled: Scaled, rows: npt.NDArray[np.int64] | None) -> None:
        for place in scaled.rounded:
            index = place if rows is None else int(rows[place])
            if name not in self.rounded[index]:
                self.rounded[index].append(name)
        for place, value in scaled.refused:
            index = place if rows is None else int(rows[place])
            self.refused.append((index, f"{name} cannot hold {value}"))


def decimal128(
    numbers: npt.NDArray[np.int64], present: npt.NDArray[np.bool_], precision: int, scale: int
) -> pa.Array:
    """Return a decimal column from scaled integers; a row that is not present is NULL."""
    words = np.empty((len(numbers), 2), dtype=np.int64)
    words[:, 0] = numbers
    words[:, 1] = numbers >> 63  # the sign fills the upper half
    validity = None
    if not present.all():
        validity = pa.py_buffer(np.packbits(present, bitorder="little").tobytes())
    buffers = [validity, pa.py_buffer(words)]
    return pa.Array.from_buffers(pa.decimal128(precision, scale), len(numbers), buffers)


def _constant(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), count)


def _number_at(document: Any, path: tuple[str, ...]) -> Decimal | None:
    for name in path:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return _as_decimal(document)


def _long_number(text: str) -> Decimal | float:
    """Keep a number as written where a double may not tell it apart from its neighbours."""
    is_short = len(text) <= _DIGITS_OF_A_DOUBLE and "e" not in text and "E" not in text
    return float(text) if is_short else Decimal(text)


def _as_decimal(number: Any) -> Decimal | None:
    if isinstance(number, Decimal):
        return number
    if isinstance(number, int) and abs(number) < MAXIMUM_EXACT:
        return None
    if isinstance(number, int | str):
        try:
            return Decimal(number)
        except ArithmeticError:
            return None
    return None
