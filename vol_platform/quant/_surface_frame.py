"""A surface as rows of table `surfaces`, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from vol_platform.quant._report import ExpiryReport
from vol_platform.quant._slices import KNOTS, ROW, raw_to_row
from vol_platform.quant.errors import QuantError

__all__ = ["from_frame", "stack_rows", "to_frame"]

FloatArray = npt.NDArray[np.float64]

_RAW = ("a", "b", "rho", "m", "sigma")
_JW = ("jw_v", "jw_psi", "jw_p", "jw_c", "jw_v_tilde")
_FLOATS = (
    "atm_vol", "rmse", "max_error", "in_spread_share", "retained_share", "g_minimum",
    "repaired_lambda", "vol_error", "k_minimum", "k_maximum", "oldest_quote_age_seconds",
    "completeness",
)  # fmt: skip
_UTC = pl.Datetime("us", "UTC")

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "snapshot_ts": _UTC, "currency": pl.String, "expiry_ts": _UTC, "expiry_years": pl.Float64,
    "forward": pl.Float64, "model": pl.String,
    **dict.fromkeys(_RAW, pl.Float64), **dict.fromkeys(_JW, pl.Float64),
    "atm_vol": pl.Float64, "fit_source": pl.String, "status": pl.String, "reason": pl.String,
    "rmse": pl.Float64, "max_error": pl.Float64, "in_spread_share": pl.Float64,
    "retained_share": pl.Float64, "quotes": pl.UInt32, "one_sided_quotes": pl.UInt32,
    "butterfly_free": pl.Boolean, "calendar_free": pl.Boolean, "wings_free": pl.Boolean,
    "g_minimum": pl.Float64, "repaired_lambda": pl.Float64, "vol_error": pl.Float64,
    "k_minimum": pl.Float64, "k_maximum": pl.Float64, "oldest_quote_age_seconds": pl.Float64,
    "completeness": pl.Float64, "residual_start": pl.Float64, "residual_step": pl.Float64,
    "residual": pl.List(pl.Float64),
}  # fmt: skip
"""Columns of a surface frame, in the order of the table."""


def to_frame(
    currency: str, snapshot_ts: datetime | None, reports: Sequence[ExpiryReport]
) -> pl.DataFrame:
    """One row per expiry, refused ones included; NaN becomes null."""
    records = []
    for item in reports:
        record: dict[str, object] = {
            "snapshot_ts": snapshot_ts, "currency": currency, "expiry_ts": item.expiry_ts,
            "expiry_years": item.expiry_years, "forward": _null(item.forward), "model": item.model,
            "fit_source": item.fit_source, "status": item.status, "reason": item.reason,
            "quotes": item.quotes, "one_sided_quotes": item.one_sided_quotes,
            "butterfly_free": item.butterfly_free, "calendar_free": item.calendar_free,
            "wings_free": item.wings_free,
        }  # fmt: skip
        record |= {name: _null(value) for name, value in zip(_RAW, item.raw, strict=True)}
        record |= {name: _null(value) for name, value in zip(_JW, item.jw, strict=True)}
        record |= {name: _null(getattr(item, name)) for name in _FLOATS}
        has_residual = item.row is not None and item.row[6] > 0
        if item.row is not None and has_residual:
            record |= {"residual_start": float(item.row[5]), "residual_step": float(item.row[6])}
            record["residual"] = item.row[7:].tolist()
        else:
            record |= {"residual_start": None, "residual_step": None, "residual": []}
        records.append(record)
    return pl.DataFrame(records, schema=SCHEMA)


def _null(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def from_frame(
    frame: pl.DataFrame,
) -> tuple[str, datetime | None, tuple[ExpiryReport, ...]]:
    """Currency, snapshot and reports of the rows of one surface.

    Raises
    ------
    QuantError
        A column is missing, or rows of several surfaces are mixed.
    """
    missing = [name for name in SCHEMA if name not in frame.columns]
    if missing:
        msg = f"a surface frame needs the columns of table surfaces; missing: {', '.join(missing)}"
        raise QuantError(msg)
    for name in ("snapshot_ts", "currency"):
        if frame[name].n_unique() > 1:
            msg = f"rows of one surface are needed; {name} has {frame[name].n_unique()} values"
            raise QuantError(msg)
    frame = frame.sort("expiry_ts")
    reports = tuple(_report(record) for record in frame.iter_rows(named=True))
    currency = str(frame["currency"][0]) if frame.height else ""
    snapshot = frame["snapshot_ts"][0] if frame.height else None
    return currency, _utc(snapshot) if snapshot is not None else None, reports


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _report(record: dict[str, object]) -> ExpiryReport:
    raw = tuple(_number(record[name]) for name in _RAW)
    row = None
    if all(math.isfinite(value) for value in raw):
        row = raw_to_row(*raw)
        residual = record["residual"]
        if isinstance(residual, list) and len(residual) == KNOTS:
            row[5], row[6] = _number(record["residual_start"]), _number(record["residual_step"])
            row[7:] = residual
    expiry = record["expiry_ts"]
    if not isinstance(expiry, datetime):
        msg = f"expiry_ts must be a datetime, was {expiry!r}"
        raise QuantError(msg)
    values = {name: _number(record[name]) for name in _FLOATS}
    jw = tuple(_number(record[name]) for name in _JW)
    return ExpiryReport(
        expiry_ts=_utc(expiry),
        expiry_years=_number(record["expiry_years"]),
        forward=_number(record["forward"]),
        row=row,
        model=str(record["model"]),
        fit_source=str(record["fit_source"]),
        status=str(record["status"]),
        reason=str(record["reason"]),
        raw=(raw[0], raw[1], raw[2], raw[3], raw[4]),
        jw=(jw[0], jw[1], jw[2], jw[3], jw[4]),
        quotes=int(_number(record["quotes"])),
        one_sided_quotes=int(_number(record["one_sided_quotes"])),
        butterfly_free=bool(record["butterfly_free"]),
        calendar_free=bool(record["calendar_free"]),
        wings_free=bool(record["wings_free"]),
        **values,
    )


def stack_rows(rows: Sequence[FloatArray | None]) -> FloatArray:
    """Rows below each other; shape (0, ROW) for none."""
    kept = [row for row in rows if row is not None]
    return np.vstack(kept) if kept else np.zeros((0, ROW))
