"""Five models on one board, judged alike: ours, eSSVI, SSVI, SABR and a cubic spline.

The first three are surfaces free of arbitrage.  SABR and the spline are fitted expiry by expiry
and claim nothing: what is said about their arbitrage is what finite differences find between
1.6 times the outermost quotes, the same check for every model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl

from vol_platform.quant._no_arbitrage.finite_checks import (
    Smile,
    checked_range,
    has_butterfly,
    has_calendar,
    has_steep_wings,
)
from vol_platform.quant.models import MODELS, ModelSurface, fit_surface
from vol_platform.quant.surface import Board, Surface

__all__ = ["MODELS", "compare_models", "summarise_models"]

FloatArray = npt.NDArray[np.float64]

_UTC = pl.Datetime("us", "UTC")
_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "snapshot_ts": _UTC, "currency": pl.String, "model": pl.String, "expiry_ts": _UTC,
    "expiry_years": pl.Float64, "reason": pl.String, "quotes": pl.UInt32, "in_spread": pl.UInt32,
    "in_spread_share": pl.Float64, "rmse": pl.Float64, "max_error": pl.Float64,
    "butterfly_free": pl.Boolean, "calendar_free": pl.Boolean, "wings_free": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True)
class _Fitted:
    """A smile of one expiry, with what it is judged by."""

    smile: Smile
    low: float
    high: float


def compare_models(board: Board, surface: Surface | None = None) -> pl.DataFrame:
    """Fit every model to a board and judge each expiry.

    Parameters
    ----------
    board
        The quotes: two-sided out-of-the-money ones, the same for every model.
    surface
        The board's own surface when it is already fitted; stands as model ``svi``.

    Returns
    -------
    polars.DataFrame
        One row per model and expiry of the board: `reason` why it has no fit (empty when it has);
        `quotes`, `in_spread` and its share; `rmse` and `max_error` against mid (decimals of
        volatility); `butterfly_free`, `calendar_free` (against the model's next fitted expiry)
        and `wings_free` (Lee's slope at both ends), by finite differences on 1.6 times the quoted
        range.  Figures of an expiry without fit are null.
    """
    rows: list[dict[str, object]] = []
    for model in MODELS:
        ours = surface if model == "svi" else None
        rows += _judge(board, model, ours or fit_surface(board, model))
    return pl.DataFrame(rows, schema=_SCHEMA)


def summarise_models(comparison: pl.DataFrame) -> pl.DataFrame:
    """Pool the rows of any number of boards by model.

    Parameters
    ----------
    comparison
        Rows of `compare_models`.

    Returns
    -------
    polars.DataFrame
        One row per model in the order of `MODELS`: `slices` fitted, `quotes`, pooled
        `in_spread_share`, pooled `rmse` (over quotes), and how many slices are not free:
        `butterfly_violations`, `calendar_violations`, `wing_violations`.
    """
    fitted = comparison.filter(pl.col("reason") == "")
    order = pl.col("model").cast(pl.Enum(MODELS))
    return (
        fitted.group_by("model")
        .agg(
            pl.len().alias("slices"),
            pl.col("quotes").sum(),
            (pl.col("in_spread").sum() / pl.col("quotes").sum()).alias("in_spread_share"),
            ((pl.col("rmse") ** 2 * pl.col("quotes")).sum() / pl.col("quotes").sum())
            .sqrt()
            .alias("rmse"),
            *(
                (~pl.col(f"{kind}_free")).sum().alias(f"{name}_violations")
                for kind, name in (
                    ("butterfly", "butterfly"),
                    ("calendar", "calendar"),
                    ("wings", "wing"),
                )
            ),
        )
        .sort(order)
    )


def _judge(board: Board, model: str, surface: ModelSurface) -> list[dict[str, object]]:
    quotes = board.fit_quotes
    smiles: dict[int, Smile] = {
        i: partial(surface.total_variance, expiry_years=float(board.expiry_years[i]))
        for i in surface.active.tolist()
    }
    fitted = {
        i: _Fitted(
            smile,
            *checked_range(quotes.k[quotes.two_sided(i)], float(smile(np.zeros(1))[0])),
        )
        for i, smile in smiles.items()
    }
    following = dict(zip(list(fitted)[:-1], list(fitted)[1:], strict=True))
    rows = []
    for i, expiry in enumerate(board.expiry_ts):
        row: dict[str, object] = {
            "snapshot_ts": board.snapshot_ts,
            "currency": board.currency,
            "model": model,
            "expiry_ts": expiry,
            "expiry_years": float(board.expiry_years[i]),
            "quotes": int(quotes.two_sided(i).sum()),
            "reason": surface.reasons.get(i, ""),
        }
        if i in fitted:
            later = fitted.get(following.get(i, -1))
            row |= _errors(board, i, fitted[i].smile) | _verdicts(fitted[i], later)
        rows.append(row)
    return rows


def _errors(board: Board, i: int, smile: Smile) -> dict[str, object]:
    quotes = board.fit_quotes
    used = quotes.two_sided(i)
    vol = np.sqrt(smile(quotes.k[used]) / float(board.expiry_years[i]))
    error = np.abs(vol - quotes.mid[used])
    inside = int(((vol >= quotes.bid_vol[used]) & (vol <= quotes.ask_vol[used])).sum())
    return {
        "in_spread": inside,
        "in_spread_share": inside / error.size,
        "rmse": math.sqrt(float(np.mean(error**2))),
        "max_error": float(error.max()),
    }


def _verdicts(one: _Fitted, later: _Fitted | None) -> dict[str, object]:
    crossing = later is not None and has_calendar(
        one.smile, later.smile, min(one.low, later.low), max(one.high, later.high)
    )
    return {
        "butterfly_free": not has_butterfly(one.smile, one.low, one.high),
        "calendar_free": not crossing,
        "wings_free": not has_steep_wings(one.smile, one.low, one.high),
    }
