"""Files to frames: one row per option or trade, columns of the raw table, values as text told them.

A board frame has `exchange_ts` (null until it is inferred), the text columns and number columns of
`vol_platform.imports.mapping`, each number a Decimal of the raw table's scale (floats where the raw
table has floats), so that a price goes from text to the table without passing through binary.
"""

from __future__ import annotations

import ast
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from vol_platform.errors import ImportFileError
from vol_platform.imports.mapping import (
    NUMBER_COLUMNS,
    TEXT_COLUMNS,
    ColumnRule,
    Mapping,
    TimeRule,
    built_in_mappings,
)

__all__ = ["NotABoardError", "find_mapping", "header_of", "read_book_summary", "read_csv"]

BOOK_SUMMARY_COLUMNS = {
    "instrument_name": "instrument_name",
    "underlying_index": "underlying_index",
    "underlying_price": "underlying_price",
    "bid_price": "bid_price",
    "ask_price": "ask_price",
    "mark_price": "mark_price",
    "mark_iv": "mark_iv",
    "interest_rate": "interest_rate",
    "estimated_delivery_price": "estimated_delivery_price",
    "open_interest": "open_interest",
    "volume": "volume",
    "volume_usd": "volume_usd",
    "volume_notional": "volume_notional",
    "low_price": "low",
    "high_price": "high",
    "price_change": "price_change",
    "last_price": "last",
}
"""Fields of get_book_summary_by_currency (research: the wire, §8), by column of ours."""


class NotABoardError(ImportFileError):
    """The file is readable but holds no board that we know."""


def _read_text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        data = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except FileNotFoundError:
        msg = f"board file does not exist: {path}; give an existing CSV or JSON file"
        raise ImportFileError(msg) from None
    except (OSError, EOFError) as error:
        msg = f"board file {path} cannot be read: {error}; is it a complete file?"
        raise ImportFileError(msg) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"board file {path} is not UTF-8 text: byte {error.start} is {data[error.start]:#x}"
        raise NotABoardError(msg) from None


def find_mapping(header: list[str], path: Path) -> Mapping:
    """Pick the built-in mapping whose columns the header has.

    Raises
    ------
    NotABoardError
        None fits; the text lists the header and how to give a mapping.
    """
    for mapping in built_in_mappings():
        if mapping.fits(header):
            return mapping
    msg = (
        f"{path.name}: no built-in mapping knows the columns {header[:12]}; "
        "write a mapping file and give it with --mapping"
    )
    raise NotABoardError(msg)


def header_of(path: Path) -> list[str]:
    """Return the column names of a CSV file (plain or gzip).

    Raises
    ------
    ImportFileError
        The file cannot be read.
    """
    return _header(_read_text(path))


def _header(text: str) -> list[str]:
    return [name.strip('"') for name in text.split("\n", 1)[0].rstrip("\r").split(",")]


def read_csv(path: Path, mapping: Mapping | None = None) -> tuple[pl.DataFrame, Mapping]:
    """Read a CSV file (plain or gzip) of boards or trades.

    Returns
    -------
    tuple
        The frame, not yet completed, and the mapping that was used.

    Raises
    ------
    ImportFileError
        The file cannot be read, or a mapped column is missing, or a cell is no number.
    """
    text = _read_text(path)
    if mapping is None:
        mapping = find_mapping(_header(text), path)
    try:
        cells = pl.read_csv(text.encode(), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        msg = f"{path.name} is not a CSV table: {str(error).splitlines()[0]}"
        raise ImportFileError(msg) from None
    needed = {rule.column for rule in mapping.columns.values()}
    if mapping.time.column is not None:
        needed.add(mapping.time.column)
    missing = sorted(needed - set(cells.columns))
    if missing:
        msg = f"{path.name} lacks the columns {missing} that mapping {mapping.name!r} names"
        raise ImportFileError(msg)
    board = cells.select(
        _time(mapping.time, path),
        *(_column(target, mapping) for target in (*mapping.texts, *mapping.numbers)),
    )
    _check_numbers(cells, board, mapping, path)
    if mapping.time.one_instant:
        board = board.with_columns(pl.col("exchange_ts").max())
    return board, mapping


def _time(rule: TimeRule, path: Path) -> pl.Expr:
    if rule.column is None:
        return pl.lit(None, dtype=pl.Datetime("ms", "UTC")).alias("exchange_ts")
    cell = pl.col(rule.column)
    if rule.unit == "iso":
        parsed = cell.map_elements(
            lambda value: _iso_milliseconds(value, path), return_dtype=pl.Int64
        )
    else:
        factor = 1 if rule.unit == "milliseconds" else 1000
        parsed = (cell.cast(pl.Float64) * factor).round().cast(pl.Int64)
    return parsed.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC").alias("exchange_ts")


def _iso_milliseconds(value: str, path: Path) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        msg = f"{path.name}: a time must be ISO 8601, was {value!r}"
        raise ImportFileError(msg) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _cell(rule: ColumnRule, mapping: Mapping) -> pl.Expr:
    cell = pl.col(rule.column)
    if rule.key is not None:
        key = rule.key
        cell = cell.map_elements(lambda value: _dictionary_item(value, key), return_dtype=pl.String)
    cell = cell.str.strip_chars()
    absent = [*mapping.absent, "None", "null", "nan", "NaN"]
    return pl.when(cell.is_in(absent)).then(None).otherwise(cell)


def _dictionary_item(text: str, key: str) -> str | None:
    try:
        value = ast.literal_eval(text)[key]
    except (ValueError, SyntaxError, KeyError, TypeError):
        return None
    return None if value is None else str(value)


def _column(target: str, mapping: Mapping) -> pl.Expr:
    rule = mapping.columns.get(target)
    places = mapping.numbers.get(target)
    number = target in mapping.numbers
    dtype = (pl.Float64() if places is None else pl.Decimal(18, places)) if number else pl.String()
    if rule is None:
        return pl.lit(None, dtype=dtype).alias(target)
    cell = _cell(rule, mapping)
    if not number:
        return cell.alias(target)
    if mapping.thousands:
        cell = cell.str.replace_all(mapping.thousands, "", literal=True)
    value: pl.Expr
    if rule.scale != 1.0:
        scaled = cell.cast(pl.Float64, strict=False) * rule.scale
        value = (scaled if places is None else scaled.round(places)).cast(dtype)
    else:
        value = cell.cast(dtype, strict=False)
    if target in mapping.zero_is_absent:
        value = pl.when(value == 0).then(None).otherwise(value)
    return value.alias(target)


def _check_numbers(cells: pl.DataFrame, board: pl.DataFrame, mapping: Mapping, path: Path) -> None:
    """Refuse a cell that is neither a number nor a known way to say "no value"."""
    for target in mapping.numbers:
        rule = mapping.columns.get(target)
        if rule is None or target in mapping.zero_is_absent:
            continue
        texts = cells.select(_cell(rule, mapping).alias("text"))["text"]
        wrong = texts.filter(texts.is_not_null() & board[target].is_null())
        wrong = wrong.filter(wrong != "expired")
        if len(wrong):
            msg = (
                f"{path.name}: column {rule.column!r} must hold numbers, was {wrong[0]!r}; "
                f"add it to `absent` of the mapping if it means no value"
            )
            raise ImportFileError(msg)


def read_book_summary(path: Path) -> pl.DataFrame:
    """Read an answer of `get_book_summary_by_currency`, whole or just its rows, as JSON.

    Raises
    ------
    ImportFileError
        The file cannot be read or is no JSON.
    NotABoardError
        The JSON holds no rows of a book summary.
    """
    try:
        # Numbers stay text, so that prices reach the decimals of the table untouched.
        content: Any = json.loads(_read_text(path), parse_float=str, parse_int=str)
    except json.JSONDecodeError as error:
        msg = f"{path.name} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        raise ImportFileError(msg) from None
    rows = content.get("result", content) if isinstance(content, dict) else content
    if not (
        isinstance(rows, list)
        and rows
        and all(isinstance(row, dict) for row in rows)
        and {"instrument_name", "creation_timestamp", "bid_price"} <= set(rows[0])
    ):
        msg = f"{path.name} holds no rows of get_book_summary_by_currency"
        raise NotABoardError(msg)
    columns: dict[str, pl.Series] = {
        "exchange_ts": pl.Series([int(row["creation_timestamp"]) for row in rows], dtype=pl.Int64)
        .cast(pl.Datetime("ms"))
        .dt.replace_time_zone("UTC")
    }
    for target in (*TEXT_COLUMNS, *NUMBER_COLUMNS):
        field = BOOK_SUMMARY_COLUMNS.get(target)
        texts = pl.Series([row.get(field) if field else None for row in rows], dtype=pl.String)
        if target in TEXT_COLUMNS:
            columns[target] = texts
        else:
            places = NUMBER_COLUMNS[target]
            columns[target] = texts.cast(
                pl.Float64() if places is None else pl.Decimal(18, places), strict=False
            )
    return pl.DataFrame(columns)
