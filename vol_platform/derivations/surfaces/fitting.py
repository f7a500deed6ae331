"""Calibrate a surface per snapshot and market."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames
from vol_platform.quant.surface import Board, Surface, calibrate, surfaces_to_frame

__all__ = ["SURFACE_COLUMNS", "surfaces"]

SURFACE_COLUMNS: dict[str, pl.DataType] = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "expiry_ts": INSTANT,
    "expiry_years": pl.Float64(),
    "forward": pl.Float64(),
    "model": pl.String(),
    "a": pl.Float64(),
    "b": pl.Float64(),
    "rho": pl.Float64(),
    "m": pl.Float64(),
    "sigma": pl.Float64(),
    "jw_v": pl.Float64(),
    "jw_psi": pl.Float64(),
    "jw_p": pl.Float64(),
    "jw_c": pl.Float64(),
    "jw_v_tilde": pl.Float64(),
    "atm_vol": pl.Float64(),
    "fit_source": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "rmse": pl.Float64(),
    "max_error": pl.Float64(),
    "in_spread_share": pl.Float64(),
    "retained_share": pl.Float64(),
    "quotes": pl.UInt32(),
    "one_sided_quotes": pl.UInt32(),
    "butterfly_free": pl.Boolean(),
    "calendar_free": pl.Boolean(),
    "wings_free": pl.Boolean(),
    "g_minimum": pl.Float64(),
    "repaired_lambda": pl.Float64(),
    "vol_error": pl.Float64(),
    "k_minimum": pl.Float64(),
    "k_maximum": pl.Float64(),
    "oldest_quote_age_seconds": pl.Float64(),
    "completeness": pl.Float64(),
    "residual_start": pl.Float64(),
    "residual_step": pl.Float64(),
    "residual": pl.List(pl.Float64()),
}

_EXPIRY = ["snapshot_ts", "currency", "expiry_ts"]


def surfaces(frames: Frames, context: DerivationContext) -> pl.DataFrame:
    """Fit every snapshot of every market.

    Within an hour each fit starts from the one before it; every hour starts cold, so that an hour
    of the record depends on nothing outside it.  A live caller hands in the surface to start from.

    Parameters
    ----------
    frames
        ``quotes_clean``, ``forward_curve``, ``chain``.
    context
        `previous_surfaces`, if any.

    Returns
    -------
    polars.DataFrame
        `SURFACE_COLUMNS`, one row per snapshot, market and listed expiry.  An expiry without a fit
        is refused with its reason.
    """
    boards = frames["quotes_clean"].join(
        frames["forward_curve"].select(*_EXPIRY, "forward", "uncertainty_basis_points"),
        on=_EXPIRY,
        how="left",
    )
    previous: dict[str, tuple[datetime | None, Surface]] = {
        currency: (None, surface) for currency, surface in (context.previous_surfaces or {}).items()
    }
    fitted: list[Surface] = []
    for board in Board.from_frame_of_many(boards):
        moment = board.snapshot_ts
        hour = moment.replace(minute=0, second=0, microsecond=0) if moment is not None else None
        before, start = previous.get(board.currency, (None, None))
        if before is not None and before != hour:
            start = None
        surface = calibrate(board, previous=start)
        previous[board.currency] = (hour, surface)
        fitted.append(surface)
    rows = surfaces_to_frame(fitted).with_columns(pl.col("snapshot_ts", "expiry_ts").cast(INSTANT))
    return _with_completeness(
        pl.concat([rows, _refused(frames, rows, context)], how="diagonal_relaxed"), frames["chain"]
    )


def _refused(frames: Frames, fitted: pl.DataFrame, context: DerivationContext) -> pl.DataFrame:
    """Make a refused row for every listed expiry that no board held."""
    remaining = pl.col("expiry_ts") - pl.col("snapshot_ts")
    settling = remaining <= context.settlement_window
    return (
        frames["forward_curve"]
        .join(fitted.select(_EXPIRY), on=_EXPIRY, how="anti")
        .select(
            *_EXPIRY,
            "expiry_years",
            "forward",
            model=pl.lit(""),
            fit_source=pl.lit("none"),
            status=pl.lit("refused"),
            reason=pl.when(settling)
            .then(pl.format("settlement: {} s to delivery", remaining.dt.total_seconds()))
            .otherwise(pl.lit("no usable quote")),
            quotes=pl.lit(0, pl.UInt32),
            one_sided_quotes=pl.lit(0, pl.UInt32),
            butterfly_free=pl.lit(value=False),
            calendar_free=pl.lit(value=False),
            wings_free=pl.lit(value=False),
            residual=pl.lit([], pl.List(pl.Float64)),
        )
    )


def _with_completeness(rows: pl.DataFrame, chain: pl.DataFrame) -> pl.DataFrame:
    """Set the share of listed options of the expiry that had a fresh row."""
    shares = chain.group_by(_EXPIRY).agg(listed=pl.len(), fresh=pl.col("exchange_ts").count())
    return rows.drop("completeness", strict=False).join(
        shares.select(*_EXPIRY, completeness=pl.col("fresh") / pl.col("listed")),
        on=_EXPIRY,
        how="left",
    )
