"""Small tables that people keep in files: interest-rate curves and positions of portfolios."""

from __future__ import annotations

import io
import re
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.clock import Clock, utc_now
from vol_platform.errors import ImportFileError
from vol_platform.store.client import insert_frame

__all__ = ["read_positions", "read_rates", "write_positions", "write_rates"]

_TREASURY_COLUMN = re.compile(r"(?P<count>\d+(?:\.\d+)?) (?P<unit>Mo|Month|Yr)\Z")
_FRED_COLUMN = re.compile(r"DGS(?P<count>\d+)(?P<unit>MO)?\Z")
_MANUAL = {"date", "maturity_years", "rate"}
_LARGEST_RATE = 0.5


def _read_text(path: Path) -> pl.DataFrame:
    """Read a CSV file with every value as text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        frame = pl.read_csv(io.StringIO(text), infer_schema_length=0)
    except FileNotFoundError:
        msg = f"file {path} does not exist; check the path and name an existing CSV file"
        raise ImportFileError(msg) from None
    except IsADirectoryError:
        msg = f"{path} is a folder; name one CSV file"
        raise ImportFileError(msg) from None
    except OSError as error:
        cause = (error.strerror or type(error).__name__).lower()
        msg = f"file {path} cannot be read: {cause}; name a CSV file that you may read"
        raise ImportFileError(msg) from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        msg = f"file {path} is not UTF-8 text: byte {error.start} is {byte:#x}; save it as UTF-8"
        raise ImportFileError(msg) from None
    except pl.exceptions.PolarsError as error:
        msg = f"file {path} is not a CSV table: {str(error).splitlines()[0]}"
        raise ImportFileError(msg) from None
    return frame.rename({name: name.strip() for name in frame.columns})


def _maturity(column: str) -> float | None:
    """Return the years that a Treasury or FRED column stands for.

    Examples
    --------
    >>> _maturity("6 Mo"), _maturity("1.5 Month"), _maturity("DGS10"), _maturity("DGS1MO")
    (0.5, 0.125, 10.0, 0.08333333333333333)
    """
    found = _TREASURY_COLUMN.match(column) or _FRED_COLUMN.match(column)
    if found is None:
        return None
    months = (found["unit"] or "").upper().startswith("MO")
    return float(found["count"]) / (12.0 if months else 1.0)


def _day(path: Path, text: str) -> date:
    for pattern in ("%Y-%m-%d", "%m/%d/%Y"):
        try:
            return datetime.strptime(text.strip(), pattern).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    msg = f"{path}: date must be like 2026-02-03 or 02/03/2026, was {text!r}"
    raise ImportFileError(msg)


def _number(path: Path, text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        msg = f"{path}: {what} must be a number, was {text!r}"
        raise ImportFileError(msg) from None


def read_rates(path: Path) -> pl.DataFrame:
    """Read interest-rate quotes.

    Three kinds of CSV are known by their first line: the Treasury's par yield table
    (``Date,1 Mo,…``, per cent), FRED's (``observation_date,DGS1MO,…``, per cent) and one made by
    hand (``date,maturity_years,rate``, continuously compounded zero rates in decimals).

    Returns
    -------
    polars.DataFrame
        ``curve_date``, ``maturity_years``, ``quote`` (decimal), ``kind``.

    Raises
    ------
    ImportFileError
        The file cannot be read, is of no known kind, holds no rate, or one above 50 %.
    """
    frame = _read_text(path)
    rows: list[tuple[date, float, float, str]] = []
    if set(frame.columns) >= _MANUAL:
        for day, years, rate in frame.select("date", "maturity_years", "rate").iter_rows():
            maturity = _number(path, years or "", "maturity_years")
            rows.append(
                (_day(path, day or ""), maturity, _number(path, rate or "", "rate"), "zero")
            )
    else:
        maturities = {name: _maturity(name) for name in frame.columns}
        first = frame.columns[0]
        known = {name: years for name, years in maturities.items() if years is not None}
        if first.lower() not in {"date", "observation_date"} or not known:
            msg = (
                f"{path}: no known kind of rates; its first line must be the Treasury's "
                f"(Date,1 Mo,…), FRED's (observation_date,DGS1MO,…) or {','.join(sorted(_MANUAL))}"
            )
            raise ImportFileError(msg)
        for row in frame.iter_rows(named=True):
            for name, years in known.items():
                text = (row[name] or "").strip()
                if text not in {"", ".", "N/A"}:
                    quote = _number(path, text, name) / 100.0
                    rows.append((_day(path, row[first]), years, quote, "treasury"))
    _refuse_wrong_rates(path, rows)
    schema = {
        "curve_date": pl.Date,
        "maturity_years": pl.Float64,
        "quote": pl.Float64,
        "kind": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").unique(
        ["curve_date", "maturity_years"], keep="last", maintain_order=True
    )


def _refuse_wrong_rates(path: Path, rows: list[tuple[date, float, float, str]]) -> None:
    if not rows:
        msg = f"{path} holds no rate"
        raise ImportFileError(msg)
    for day, years, quote, _ in rows:
        if not (years > 0 and abs(quote) <= _LARGEST_RATE):
            msg = (
                f"{path}: a maturity must be > 0 years and a rate a decimal within 50 %, was "
                f"{quote:g} at {years:g} years on {day}"
            )
            raise ImportFileError(msg)


def read_positions(path: Path) -> pl.DataFrame:
    """Read positions from a CSV file with the columns ``portfolio,instrument_name,quantity``.

    Returns
    -------
    polars.DataFrame
        These three columns.

    Raises
    ------
    ImportFileError
        The file cannot be read, lacks a column, a quantity is no number, or an instrument is twice
        in a portfolio.
    """
    frame = _read_text(path)
    wanted = ("portfolio", "instrument_name", "quantity")
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        msg = f"{path} lacks the columns {missing}; its first line must be {','.join(wanted)}"
        raise ImportFileError(msg)
    rows = [
        (name.strip(), instrument.strip(), _number(path, quantity, "quantity"))
        for name, instrument, quantity in frame.select(wanted).fill_null("").iter_rows()
    ]
    schema = {"portfolio": pl.String, "instrument_name": pl.String, "quantity": pl.Float64}
    positions = pl.DataFrame(rows, schema=schema, orient="row")
    twice = positions.filter(positions.select("portfolio", "instrument_name").is_duplicated())
    if not twice.is_empty():
        msg = f"{path}: {twice['instrument_name'][0]} is twice in {twice['portfolio'][0]}; add up"
        raise ImportFileError(msg)
    return positions


def write_rates(client: Client, rates: pl.DataFrame, source: str, clock: Clock = utc_now) -> int:
    """Write what `read_rates` returned to ``rate_quotes``; the newest load of a curve wins.

    Parameters
    ----------
    client
        Of the database.
    rates
        The quotes.
    source
        Name of the file they are from.
    clock
        Now.

    Returns
    -------
    int
        Rows written.
    """
    frame = rates.with_columns(
        source=pl.lit(source), loaded_ts=pl.lit(clock(), pl.Datetime("us", "UTC"))
    )
    return insert_frame(client, "rate_quotes", frame)


def write_positions(
    client: Client, positions: pl.DataFrame, from_ts: datetime, clock: Clock = utc_now
) -> int:
    """Write what `read_positions` returned; every portfolio in it holds exactly these from then on.

    Parameters
    ----------
    client
        Of the database.
    positions
        The positions.
    from_ts
        Since when they are held.
    clock
        Now.

    Returns
    -------
    int
        Rows written.
    """
    frame = positions.with_columns(
        from_ts=pl.lit(from_ts, pl.Datetime("ms", "UTC")),
        loaded_ts=pl.lit(clock(), pl.Datetime("us", "UTC")),
    )
    return insert_frame(client, "positions", frame)
