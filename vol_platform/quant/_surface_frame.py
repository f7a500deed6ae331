"""Surfaces as rows of table `surfaces`, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from vol_platform.quant._fit.report import ExpiryReport
from vol_platform.quant._slices import KNOTS, ROW
from vol_platform.quant.errors import QuantError

__all__ = ["check_columns", "check_one", "instants", "reports_of", "slice_rows", "to_frame"]

FloatArray = npt.NDArray[np.float64]

_RAW = ("a", "b", "rho", "m", "sigma")
_JW = ("jw_v", "jw_psi", "jw_p", "jw_c", "jw_v_tilde")
_FLOATS = (
    "atm_vol", "rmse", "max_error", "in_spread_share", "retained_share", "g_minimum",
    "repaired_lambda", "vol_error", "k_minimum", "k_maximum", "oldest_quote_age_seconds",
    "completeness",
)  # fmt: skip
_AS_THEY_ARE = (
    "expiry_ts", "expiry_years", "forward", "model", "fit_source", "status", "reason", "quotes",
    "one_sided_quotes", "butterfly_free", "calendar_free", "wings_free", *_FLOATS,
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
    surfaces: Iterable[tuple[str, datetime | None, Sequence[ExpiryReport]]],
) -> pl.DataFrame:
    """One row per surface and expiry, refused ones included; NaN becomes null.

    Parameters
    ----------
    surfaces
        Currency, snapshot and reports of each.
    """
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA}
    for currency, snapshot_ts, reports in surfaces:
        for item in reports:
            has_residual = item.row is not None and item.row[6] > 0
            record = {
                "snapshot_ts": snapshot_ts,
                "currency": currency,
                **{name: getattr(item, name) for name in _AS_THEY_ARE},
                **dict(zip(_RAW, item.raw, strict=True)),
                **dict(zip(_JW, item.jw, strict=True)),
                "residual_start": item.row[5] if item.row is not None and has_residual else None,
                "residual_step": item.row[6] if item.row is not None and has_residual else None,
                "residual": item.row[7:].tolist() if item.row is not None and has_residual else [],
            }
            for name, values in columns.items():
                values.append(record[name])
    frame = pl.DataFrame(columns, schema=SCHEMA)
    finite = pl.selectors.float()
    return frame.with_columns(pl.when(finite.is_finite()).then(finite))


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def check_columns(frame: pl.DataFrame) -> None:
    """Raise `QuantError` when a column of table `surfaces` is missing."""
    missing = [name for name in SCHEMA if name not in frame.columns]
    if missing:
        msg = f"a surface frame needs the columns of table surfaces; missing: {', '.join(missing)}"
        raise QuantError(msg)


def check_one(frame: pl.DataFrame) -> None:
    """Raise `QuantError` when rows of several surfaces are mixed."""
    for name in ("snapshot_ts", "currency"):
        if frame[name].n_unique() > 1:
            msg = f"rows of one surface are needed; {name} has {frame[name].n_unique()} values"
            raise QuantError(msg)


def slice_rows(frame: pl.DataFrame) -> FloatArray:
    """Slice rows of the rows of a surface frame, shape (height, ROW); NaN where refused."""
    a, b, rho, m, sigma = (_column(frame, name) for name in _RAW)
    rows = np.zeros((frame.height, ROW))
    rows[:, :5] = np.stack([a, b * (1.0 - rho), b * (1.0 + rho), m, sigma], axis=1)
    refused = ~np.isfinite(rows[:, :5]).all(axis=1)
    has_residual = (frame["residual"].list.len() == KNOTS).fill_null(value=False).to_numpy()
    rows[has_residual, 5] = _column(frame, "residual_start")[has_residual]
    rows[has_residual, 6] = _column(frame, "residual_step")[has_residual]
    residual = frame["residual"].filter(pl.Series(has_residual)).explode().to_numpy()
    rows[has_residual, 7:] = residual.reshape(-1, KNOTS)
    rows[refused] = np.nan
    return rows


def _column(frame: pl.DataFrame, name: str) -> FloatArray:
    values = frame[name].cast(pl.Float64).fill_null(math.nan)
    return np.asarray(values.to_numpy(), dtype=np.float64)


def reports_of(frame: pl.DataFrame, rows: FloatArray) -> tuple[ExpiryReport, ...]:
    """Return the reports of the rows of one surface, whose slice rows are `rows`."""
    return tuple(
        _report(record, row if np.isfinite(row[0]) else None)
        for record, row in zip(frame.iter_rows(named=True), rows, strict=True)
    )


def instants(values: pl.Series) -> list[datetime]:
    """Python datetimes in UTC."""
    return [_utc(value) for value in values.to_list()]


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _report(record: dict[str, object], row: FloatArray | None) -> ExpiryReport:
    raw = tuple(_number(record[name]) for name in _RAW)
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
