"""A board file, completed: names read, instant and forward inferred where the file lacks them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from vol_platform.errors import ImportFileError
from vol_platform.imports.inference import (
    SECONDS_PER_YEAR,
    forward_from_delta,
    infer_expiry_years,
    prices_from_iv,
)
from vol_platform.imports.instrument_names import parse_day, parse_instrument_name
from vol_platform.imports.mapping import Mapping
from vol_platform.imports.readers import NotABoardError, read_book_summary, read_csv

__all__ = ["BoardFile", "read_board"]

MAXIMUM_EXPIRY_YEARS = 2.0
"""No option is listed longer before its expiry than this; bounds the search for the instant."""


@dataclass(frozen=True)
class BoardFile:
    """One or more boards read from a file.

    Attributes
    ----------
    path
        The file.
    kind
        Name of the mapping, or `book-summary-json`.
    rows
        One row per option and instant: the raw table's columns plus `currency`, `expiry_ts`,
        `strike`, `is_call`, `is_inverse`, `premium_currency`, `base_currency`, `price_index`.
    rejected
        Rows that could not be used: `instrument_name`, `detail`, `raw` (the row as JSON).
    testnet
        Rows of the test exchange, whose prices mean nothing.
    notes
        What was inferred rather than read, in words.
    """

    path: Path
    kind: str
    rows: pl.DataFrame
    rejected: pl.DataFrame
    testnet: bool
    notes: tuple[str, ...]

    @property
    def instants(self) -> list[datetime]:
        """The distinct times of the boards, ascending."""
        return sorted(self.rows["exchange_ts"].unique().to_list())


def read_board(path: Path, mapping: Mapping | None = None) -> BoardFile:
    """Read a board file: JSON by content, CSV by a mapping.

    Parameters
    ----------
    path : Path
        `.json`, `.csv`, each plain or `.gz`.
    mapping : Mapping, optional
        For CSV; by default the built-in one that the header fits.

    Raises
    ------
    ImportFileError
        The file cannot be read; `NotABoardError` when it is something else.
    """
    if ".json" in path.suffixes:
        board, kind, rule = read_book_summary(path), "book-summary-json", None
    else:
        board, rule = read_csv(path, mapping)
        if rule.holds != "boards":
            msg = f"{path.name} holds {rule.holds} (mapping {rule.name!r}), not a board"
            raise NotABoardError(msg)
        kind = rule.name
    board, rejected = _with_specification(board)
    if board.is_empty():
        msg = f"{path.name} holds no option that can be read; first problem: " + (
            rejected["detail"][0] if len(rejected) else "the file has no rows"
        )
        raise ImportFileError(msg)
    notes: list[str] = []
    if rule is not None and rule.time.from_greeks:
        board, note = _with_time_from_greeks(board, path, rule.time.file_name_day)
        notes.append(note)
    if rule is not None and rule.forward_from_delta:
        board = _with_forward_from_delta(board)
        notes.append("forward of each expiry backed out of the displayed deltas")
    if rule is not None and rule.prices_from_iv:
        board = prices_from_iv(_with_expiry_years(board)).drop("expiry_years")
        notes.append("prices computed from the recorded volatilities")
    return BoardFile(
        path=path,
        kind=kind,
        rows=board,
        rejected=rejected,
        testnet=rule is not None and rule.testnet,
        notes=tuple(notes),
    )


def _with_specification(board: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add what the instrument names say; set aside rows whose name cannot be read."""
    specifications, problems = [], []
    for name in board["instrument_name"].unique(maintain_order=True).to_list():
        try:
            parsed = parse_instrument_name(name or "")
        except ImportFileError as error:
            problems.append({"instrument_name": name, "detail": str(error)})
            continue
        if parsed.kind != "option":
            detail = f"only options belong on a board, {name!r} is a {parsed.kind}"
            problems.append({"instrument_name": name, "detail": detail})
            continue
        specifications.append(
            {
                "instrument_name": name,
                "currency": parsed.currency,
                "expiry_ts": parsed.expiry_ts,
                "strike": parsed.strike,
                "is_call": parsed.is_call,
                "is_inverse": parsed.is_inverse,
                "premium_currency": parsed.premium_currency,
                "base_currency": parsed.base_currency,
                "price_index": parsed.price_index,
            }
        )
    schema = {
        "instrument_name": pl.String(),
        "currency": pl.String(),
        "expiry_ts": pl.Datetime("ms", "UTC"),
        "strike": pl.Decimal(18, 8),
        "is_call": pl.Boolean(),
        "is_inverse": pl.Boolean(),
        "premium_currency": pl.String(),
        "base_currency": pl.String(),
        "price_index": pl.String(),
    }
    specification = pl.DataFrame(specifications, schema=schema)
    problem = pl.DataFrame(problems, schema={"instrument_name": pl.String(), "detail": pl.String()})
    rejected = board.join(problem, on="instrument_name", how="inner", nulls_equal=True)
    rejected = rejected.select(
        "instrument_name",
        "detail",
        pl.struct(pl.col(name).cast(pl.String) for name in board.columns)
        .struct.json_encode()
        .alias("raw"),
    )
    return board.join(specification, on="instrument_name", how="inner"), rejected


def _with_expiry_years(board: pl.DataFrame) -> pl.DataFrame:
    seconds = (pl.col("expiry_ts") - pl.col("exchange_ts")).dt.total_milliseconds() / 1000.0
    return board.with_columns((seconds / SECONDS_PER_YEAR).alias("expiry_years"))


def _floats(frame: pl.DataFrame, name: str) -> np.ndarray:
    return frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(float)


def _with_time_from_greeks(
    board: pl.DataFrame, path: Path, file_name_day: str | None
) -> tuple[pl.DataFrame, str]:
    """Give the whole file the instant at which its greeks and marks agree."""
    expiries = sorted(board["expiry_ts"].unique().to_list())
    expiry_ts = max(expiries, key=lambda expiry: (board["expiry_ts"] == expiry).sum())
    largest, smallest = MAXIMUM_EXPIRY_YEARS, 1.0 / 365 / 24
    if file_name_day is not None:
        found = re.search(file_name_day, path.name)
        if found is None:
            msg = f"{path.name}: the file name must hold the capture day as in 20MAY22"
            raise ImportFileError(msg)
        day = parse_day(found["day"])
        # An export saved just after midnight may carry the day before: allow some hours of slack.
        largest = (expiry_ts - day + timedelta(hours=14)).total_seconds() / SECONDS_PER_YEAR
        end = (expiry_ts - day - timedelta(hours=38)).total_seconds() / SECONDS_PER_YEAR
        smallest = max(end, smallest)
    one = board.filter(pl.col("expiry_ts") == expiry_ts)
    years = infer_expiry_years(
        one["is_call"].to_numpy(),
        _floats(one, "delta"),
        _floats(one, "vega"),
        _floats(one, "theta"),
        _floats(one, "mark_price"),
        (smallest, largest),
    )
    moment = expiry_ts - timedelta(seconds=round(years * SECONDS_PER_YEAR))
    instant = pl.lit(moment).cast(pl.Datetime("ms", "UTC")).alias("exchange_ts")
    note = f"time inferred from the greeks: {moment:%Y-%m-%d %H:%M:%S} UTC"
    return board.with_columns(instant), note


def _with_forward_from_delta(board: pl.DataFrame) -> pl.DataFrame:
    """Fill `underlying_price` per instant and expiry."""
    timed = _with_expiry_years(board)
    forwards = []
    for (instant, expiry_ts), one in timed.group_by("exchange_ts", "expiry_ts"):
        vol = _floats(one, "mark_iv") / 100.0
        if np.isnan(vol).all():
            vol = _vol_from_greeks(one)
        forwards.append(
            {
                "exchange_ts": instant,
                "expiry_ts": expiry_ts,
                "inferred": forward_from_delta(
                    _floats(one, "strike"),
                    one["is_call"].to_numpy(),
                    _floats(one, "delta"),
                    vol,
                    _floats(one, "expiry_years"),
                ),
            }
        )
    key = pl.Datetime("ms", "UTC")
    table = pl.DataFrame(
        forwards, schema={"exchange_ts": key, "expiry_ts": key, "inferred": pl.Float64}
    ).with_columns(pl.col("inferred").fill_nan(None))
    joined = board.join(table, on=["exchange_ts", "expiry_ts"], how="left")
    return joined.with_columns(
        pl.coalesce("underlying_price", "inferred").alias("underlying_price")
    ).drop("inferred")


def _vol_from_greeks(one: pl.DataFrame) -> np.ndarray:
    """Mark volatility behind displayed vega and theta (see `inference`), decimals."""
    vega, theta, years = (_floats(one, name) for name in ("vega", "theta", "expiry_years"))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(vega > 0, -theta * 7.3 * years / vega, np.nan)
