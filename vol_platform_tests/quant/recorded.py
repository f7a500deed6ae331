"""Recorded answers of the exchange, one dictionary per option, with the wire's own fields."""

from __future__ import annotations

import ast
import csv
import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
NAME = re.compile(r"^[A-Z_]+-(\d+)([A-Z]{3})(\d\d)-(\d+(?:d\d+)?)-([CP])$")


class RecordedOption(NamedTuple):
    """What the name and the time of a frame say."""

    seconds_to_expiry: float
    strike: float
    is_call: bool
    is_inverse: bool


def option_of(frame: dict[str, Any]) -> RecordedOption:
    """Read the instrument's name and the frame's time (`timestamp` or `creation_timestamp`)."""
    name = frame["instrument_name"]
    match = NAME.match(name)
    assert match is not None, name
    day, month, year, strike, kind = match.groups()
    expiry = datetime(2000 + int(year), MONTHS.index(month) + 1, int(day), 8, tzinfo=UTC)
    milliseconds = frame.get("timestamp", frame.get("creation_timestamp"))
    return RecordedOption(
        expiry.timestamp() - float(milliseconds) / 1000.0,
        float(strike.replace("d", ".")),
        kind == "C",
        "_" not in name,
    )


def _tickers(value: Any) -> Iterator[dict[str, Any]]:
    """Every object with greeks and an underlying price, however deep."""
    if isinstance(value, dict):
        if isinstance(value.get("greeks"), dict) and "underlying_price" in value:
            yield value
        for inner in value.values():
            yield from _tickers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _tickers(inner)


def recorded_tickers(folder: Path) -> Iterator[dict[str, Any]]:
    """All ticker frames of single options in the recorded captures.

    Left out: combos, which have no strike, and one frame that was trimmed by hand and has no time.
    """
    for path in sorted((folder / "ws").glob("*.*")):
        if path.suffix not in (".txt", ".jsonl"):
            continue
        for line in path.read_text().splitlines():
            start = line.find("{")
            if start >= 0:
                for frame in _tickers(json.loads(line[start:])):
                    if NAME.match(frame["instrument_name"]) and "timestamp" in frame:
                        yield frame


def recorded_order_books(folder: Path) -> Iterator[dict[str, Any]]:
    """Read the board of 2020-05-21: order books, one after the other, with greeks."""
    path = _there(folder / "chains" / "schepal_btc_20200521_order_books.csv.gz")
    with gzip.open(path, "rt") as lines:
        for row in csv.DictReader(lines):
            numbers = ("timestamp", "underlying_price", "mark_iv", "mark_price")
            yield {
                "instrument_name": row["instrument_name"],
                "greeks": ast.literal_eval(row["greeks"]),
                **{name: float(row[name]) for name in numbers},
            }


def recorded_book_summaries(folder: Path) -> list[dict[str, Any]]:
    """Read the board of 2025-06-14: one book summary, all of one instant."""
    path = _there(folder / "chains" / "leien2_btc_book_summary_20250614T2158.json.gz")
    with gzip.open(path, "rt") as text:
        rows: list[dict[str, Any]] = json.load(text)
    return rows


def _there(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f"{path.name} is not among the recorded data")
    return path
