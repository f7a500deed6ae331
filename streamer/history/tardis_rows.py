"""Rows of a Tardis ``options_chain`` file as columns of `options_quotes`, digit for digit.

Times in the file are microseconds, prices are in the premium currency, volatilities percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamer.decoding.columns import decimal128
from streamer.decoding.decimals import as_doubles, scale_exactly
from streamer.deribit.instruments import market_of

__all__ = ["COLUMNS", "Refused", "TardisBatch", "quotes_of"]

COLUMNS = (
    *("exchange", "symbol", "timestamp", "local_timestamp", "type", "strike_price", "expiration"),
    *("open_interest", "last_price", "bid_price", "bid_amount", "bid_iv", "ask_price"),
    *("ask_amount", "ask_iv", "mark_price", "mark_iv", "underlying_index", "underlying_price"),
    *("delta", "gamma", "vega", "theta", "rho"),
)
"""The columns of a file; it may have more."""

_DIGITS_OF_A_DOUBLE = 15
_PRICE, _AMOUNT, _PERCENT, _GREEK = (18, 8), (18, 4), (9, 4), (18, 5)
_DECIMALS = {
    **dict.fromkeys(("bid_price", "ask_price", "mark_price", "last_price"), _PRICE),
    "open_interest": _PRICE,
    **dict.fromkeys(("bid_amount", "ask_amount"), _AMOUNT),
    **dict.fromkeys(("bid_iv", "ask_iv", "mark_iv"), _PERCENT),
    **dict.fromkeys(("delta", "gamma", "vega", "theta", "rho"), _GREEK),
}
_ZERO_IS_ABSENT = frozenset(
    {"bid_price", "bid_amount", "ask_price", "ask_amount", "bid_iv", "ask_iv"}
)
_INTEGERS = ("timestamp", "local_timestamp", "expiration")


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that cannot be stored, and why."""

    line: bytes
    detail: str


@dataclass(frozen=True, slots=True)
class TardisBatch:
    """Some lines of a file.

    Attributes
    ----------
    quotes
        Columns of `options_quotes`, without those that say who received them and when.
    local_us
        When Tardis received each, microseconds.
    exchange_ms
        When the exchange sent it.
    source
        The lines that `quotes` was made of, as text columns.
    refused
        The other lines.
    """

    quotes: pa.Table
    local_us: npt.NDArray[np.int64]
    exchange_ms: npt.NDArray[np.int64]
    source: pa.Table
    refused: list[Refused]


def quotes_of(lines: pa.Table) -> TardisBatch:
    """Turn lines into quotes.

    Parameters
    ----------
    lines
        Every column of `COLUMNS` as text; empty is NULL.
    """
    problems: dict[int, str] = {}
    _check(lines, problems)
    written = _written(lines)
    refused = [Refused(written[row], text) for row, text in sorted(problems.items())]
    if problems:
        kept = np.ones(lines.num_rows, dtype=np.bool_)
        kept[list(problems)] = False
        lines = lines.filter(pa.array(kept))
        written = [line for row, line in enumerate(written) if row not in problems]
    exchange_us = _integers(lines, "timestamp")
    exchange_ms = exchange_us // 1000
    count = lines.num_rows
    names = lines["symbol"].to_pylist()
    arrays: dict[str, pa.Array] = {
        "instrument_name": pa.array(names, pa.string()),
        "currency": pa.array([market_of(name) for name in names], pa.string()),
        "exchange_ts": pa.array(exchange_ms, pa.timestamp("ms", tz="UTC")),
        "state": pa.repeat(pa.scalar("open"), count),
        "underlying_index": pc.fill_null(lines["underlying_index"].combine_chunks(), ""),
        "underlying_price": pa.array(_doubles(lines["underlying_price"]), pa.float64()),
        "is_expired": pa.repeat(pa.scalar(value=False), count),
    }
    rounded: dict[int, list[str]] = {}
    for name, (precision, scale) in _DECIMALS.items():
        arrays[name] = _decimal(lines[name], name, precision, scale, rounded)
    arrays["rounded_fields"] = pa.array(
        [",".join(rounded.get(row, ())) for row in range(count)], pa.string()
    )
    checksums = [crc32c.crc32c(line) for line in written]
    arrays["content_checksum"] = pa.array(checksums, pa.uint32())
    return TardisBatch(
        pa.table(arrays), _integers(lines, "local_timestamp"), exchange_ms, lines, refused
    )


def _check(lines: pa.Table, problems: dict[int, str]) -> None:
    """Find the lines with a value that its column cannot hold; say which."""
    for name in (*_DECIMALS, "underlying_price", "strike_price", *_INTEGERS):
        try:
            values = _doubles(lines[name])
        except pa.ArrowInvalid:
            for row, text in enumerate(lines[name].to_pylist()):
                if text is not None and not _is_number(text):
                    problems.setdefault(row, f"{name} must be a number, was {text!r}")
            continue
        if name in _DECIMALS:
            precision, scale = _DECIMALS[name]
            for row, text in scale_exactly(values, scale, 10**precision - 1).refused:
                problems.setdefault(row, f"{name} cannot hold {text}")
    for name in ("symbol", "type", "strike_price", "timestamp", "local_timestamp", "expiration"):
        column = lines[name]
        if column.null_count:
            for row in np.flatnonzero(column.is_null().to_numpy()).tolist():
                problems.setdefault(row, f"{name} is missing")
    for name in _INTEGERS:
        _demand(lines[name], r"^\d{1,18}$", f"{name} must be whole microseconds", problems)
    _demand(lines["type"], "^(call|put)$", "type must be call or put", problems)


def _demand(column: pa.ChunkedArray, pattern: str, demand: str, problems: dict[int, str]) -> None:
    fits = pc.match_substring_regex(column, pattern).to_pylist()
    for row, fit in enumerate(fits):
        if fit is False:
            problems.setdefault(row, f"{demand}, was {column[row].as_py()!r}")


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def _written(lines: pa.Table) -> list[bytes]:
    """Return the lines as they stand in the file, without columns that are not ours."""
    columns = [lines[name].combine_chunks() for name in COLUMNS]
    joined = pc.binary_join_element_wise(
        *columns, ",", null_handling="replace", null_replacement=""
    )
    return [line.encode() for line in joined.to_pylist()]


def _integers(lines: pa.Table, name: str) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = pc.cast(lines[name], pa.int64()).to_numpy()
    return values


def _doubles(column: pa.ChunkedArray) -> Sequence[float | None]:
    values: Sequence[float | None] = pc.cast(column, pa.float64()).to_pylist()
    return values


def _decimal(
    column: pa.ChunkedArray, name: str, precision: int, scale: int, rounded: dict[int, list[str]]
) -> pa.Array:
    lengths = pc.fill_null(pc.utf8_length(column), 0).to_numpy()
    written = {
        row: Decimal(column[row].as_py())
        for row in np.flatnonzero(lengths > _DIGITS_OF_A_DOUBLE).tolist()
    }
    values = _doubles(column)
    scaled = scale_exactly(values, scale, 10**precision - 1, written)
    for row in scaled.rounded:
        rounded.setdefault(row, []).append(name)
    present = scaled.present
    if name in _ZERO_IS_ABSENT:
        present = present & (as_doubles(values) != 0.0)
    return decimal128(scaled.numbers, present, precision, scale)
