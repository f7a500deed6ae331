"""Where thirty-day volatility stands in its own history."""

from __future__ import annotations

import numpy as np
import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames
from vol_platform.quant import regimes

__all__ = ["RANK_DAYS", "REGIME_COLUMNS", "volatility_regimes"]

RANK_DAYS = (90.0, 365.0)
_MATURITY_DAYS = 30.0
_MINIMUM_DAYS = 30.0
_MILLISECONDS_PER_DAY = 86_400_000.0

REGIME_COLUMNS: dict[str, pl.DataType] = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "window_days": pl.Float64(),
    "atm_vol": pl.Float64(),
    "percentile": pl.Float64(),
    "iv_rank": pl.Float64(),
    "regime": pl.String(),
}


def volatility_regimes(frames: Frames, context: DerivationContext) -> pl.DataFrame:
    """Rank and label thirty-day at-the-money volatility on every hour of the history.

    Parameters
    ----------
    frames
        ``atm_history``: snapshot_ts, currency, days, atm_vol, on the hour.
    context
        Not used.

    Returns
    -------
    polars.DataFrame
        `REGIME_COLUMNS`, one row per hour, market and window.
    """
    history = frames["atm_history"].filter(
        pl.col("days") == _MATURITY_DAYS, pl.col("atm_vol").is_not_null()
    )
    parts = []
    for _, rows in history.sort("currency", "snapshot_ts").group_by(
        "currency", maintain_order=True
    ):
        days = rows["snapshot_ts"].dt.epoch("ms").to_numpy() / _MILLISECONDS_PER_DAY
        vol = rows["atm_vol"].to_numpy()
        for window in RANK_DAYS:
            ranks = regimes.rolling_rank(days, vol, window, _MINIMUM_DAYS)
            starts = np.searchsorted(days, days - window, side="left")
            places = [
                regimes.iv_rank(vol[start : at + 1], vol[at]) if np.isfinite(ranks[at]) else np.nan
                for at, start in enumerate(starts)
            ]
            labels = [regimes.Regime(code).name.lower() for code in regimes.classify(ranks)]
            parts.append(
                rows.select(
                    "snapshot_ts",
                    "currency",
                    "atm_vol",
                    window_days=pl.lit(window),
                    percentile=pl.Series(ranks),
                    iv_rank=pl.Series(places, dtype=pl.Float64),
                    regime=pl.Series(labels, dtype=pl.String),
                )
            )
    return pl.concat(parts) if parts else pl.DataFrame(schema=REGIME_COLUMNS)
