"""Realised volatility of the index over trailing windows, beside what was implied."""

from __future__ import annotations

import numpy as np
import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames
from vol_platform.quant import realised

__all__ = ["BAR_SECONDS", "REALISED_COLUMNS", "WINDOW_DAYS", "realised_volatility"]

WINDOW_DAYS = (1.0, 7.0, 30.0, 90.0)
BAR_SECONDS = 300.0
_HOUR_SECONDS = 3600.0
_DAY_SECONDS = 86_400.0
_MINIMUM_SHARE = 0.8
"""A window with fewer of its bars than this has no value: a hole is not a calm market."""

REALISED_COLUMNS: dict[str, pl.DataType] = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "window_days": pl.Float64(),
    "realised_vol": pl.Float64(),
    "parkinson_vol": pl.Float64(),
    "garman_klass_vol": pl.Float64(),
    "atm_vol": pl.Float64(),
}


def realised_volatility(frames: Frames, context: DerivationContext) -> pl.DataFrame:
    """Compute realised volatility on every hour of the history.

    Parameters
    ----------
    frames
        ``index_bars`` (five-minute bars: bar_ts, currency, open, high, low, close) and
        ``atm_history`` (snapshot_ts, currency, days, atm_vol, on the hour).
    context
        Not used.

    Returns
    -------
    polars.DataFrame
        `REALISED_COLUMNS`; hours whose window is not covered by bars have no row.
    """
    bars = frames["index_bars"].sort("currency", "bar_ts")
    parts = [
        _of_market(currency, of_market, days)
        for (currency,), of_market in bars.group_by("currency", maintain_order=True)
        for days in WINDOW_DAYS
    ]
    if not parts:
        return pl.DataFrame(schema=REALISED_COLUMNS)
    implied = frames["atm_history"].select(
        "snapshot_ts", "currency", "atm_vol", window_days=pl.col("days").cast(pl.Float64)
    )
    return pl.concat(parts).join(implied, on=["snapshot_ts", "currency", "window_days"], how="left")


def _of_market(currency: str, bars: pl.DataFrame, days: float) -> pl.DataFrame:
    """Return the rows of one market and window."""
    window = days * _DAY_SECONDS
    # A bar's close is the price at its end.
    ends = bars["bar_ts"].dt.epoch("s").to_numpy().astype(np.float64) + BAR_SECONDS
    times, vols = realised.rolling_vol(ends, bars["close"].to_numpy(), window, BAR_SECONDS)
    present = np.searchsorted(ends, times, side="right") - np.searchsorted(
        ends, times - window, side="right"
    )
    covered = present >= _MINIMUM_SHARE * window / BAR_SECONDS
    wanted = covered & (times % _HOUR_SECONDS == 0.0) & np.isfinite(vols)
    hours = times[wanted]
    parkinson, garman_klass = _from_hourly_bars(bars, hours, window)
    return pl.DataFrame(
        {
            "snapshot_ts": pl.Series((hours * 1000).astype(np.int64)).cast(INSTANT),
            "realised_vol": vols[wanted],
            "parkinson_vol": parkinson,
            "garman_klass_vol": garman_klass,
        }
    ).with_columns(currency=pl.lit(currency), window_days=pl.lit(days))


def _from_hourly_bars(
    bars: pl.DataFrame, hours: np.ndarray, window: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return Parkinson's and Garman and Klass's volatility of the window before each hour."""
    hourly = (
        bars.group_by(pl.col("bar_ts").dt.truncate("1h"), maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
        )
        .sort("bar_ts")
    )
    ends = hourly["bar_ts"].dt.epoch("s").to_numpy().astype(np.float64) + _HOUR_SECONDS
    first = np.searchsorted(ends, hours - window, side="right")
    last = np.searchsorted(ends, hours, side="right")
    columns = [hourly[name].to_numpy() for name in ("open", "high", "low", "close")]
    ranges, all_four = np.full(hours.shape, np.nan), np.full(hours.shape, np.nan)
    for at, (start, end) in enumerate(zip(first, last, strict=True)):
        if end > start:
            opened, high, low, close = (column[start:end] for column in columns)
            ranges[at] = realised.parkinson(high, low, _HOUR_SECONDS)
            all_four[at] = realised.garman_klass(opened, high, low, close, _HOUR_SECONDS)
    return ranges, all_four
