"""Term structure: at-the-money vol against time to expiry, with error bars and forward vols."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from vol_platform.plots import canvas
from vol_platform.plots.labels import headline

__all__ = ["draw_term_structure", "term_structure_png"]


def term_structure_png(frame: pl.DataFrame, *, currency: str, snapshot_ts: datetime) -> bytes:
    """Draw at-the-money vol against days to expiry.

    Parameters
    ----------
    frame
        Rows of table ``surfaces`` or ``term_structure`` of one currency and snapshot.  Where the
        frame has them, constant maturities are drawn hollow, ``forward_vol`` as steps and
        ``vol_error`` as error bars.
    currency, snapshot_ts
        For the headline.

    Raises
    ------
    ValueError
        No row has an at-the-money vol.
    """
    if frame.drop_nulls("atm_vol").is_empty():
        raise ValueError(f"frame must hold at least 1 at-the-money vol of {currency}, had none")
    figure = canvas.figure(7.0, 3.6)
    axes = figure.subplots()
    draw_term_structure(axes, frame)
    axes.set_title(headline("term structure", currency, snapshot_ts), fontsize=10, color=canvas.INK)
    return canvas.png_bytes(figure)


def draw_term_structure(axes: Any, frame: pl.DataFrame) -> None:
    """Draw into given axes; the abscissa is the square root of time, as vol itself scales."""
    canvas.quiet(axes)
    rows = frame.drop_nulls("atm_vol").sort("expiry_years")
    if "is_constant_maturity" in rows.columns:
        constant = rows.filter(pl.col("is_constant_maturity"))
        rows = rows.filter(~pl.col("is_constant_maturity"))
        axes.plot(
            365 * constant["expiry_years"].to_numpy(),
            100 * constant["atm_vol"].to_numpy(),
            "o",
            markerfacecolor="white",
            color=canvas.FIT,
            markersize=4,
            label="constant maturity",
        )
    days = 365 * rows["expiry_years"].to_numpy()
    vols = 100 * rows["atm_vol"].to_numpy()
    error = None
    if "vol_error" in rows.columns:
        error = 100 * rows["vol_error"].cast(pl.Float64).fill_null(0.0).to_numpy()
    axes.errorbar(
        days,
        vols,
        yerr=error,
        fmt="o-",
        color=canvas.FIT,
        ecolor=canvas.BAR,
        markersize=3.5,
        linewidth=1.2,
        label="at the money",
    )
    if "forward_vol" in rows.columns:
        forward = 100 * rows["forward_vol"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        axes.step(days, forward, where="pre", color=canvas.BAR, linewidth=0.9, label="forward vol")
    axes.set_xscale("function", functions=(_root, np.square))
    top = float(days.max(initial=1.0))
    ticks = [tick for tick in (1, 7, 30, 60, 90, 180, 270, 365, 540, 730) if tick <= 1.05 * top]
    axes.set_xticks(ticks or [1], [str(tick) for tick in ticks or [1]])
    axes.set_xlim(0, 1.05 * top)
    axes.set_xlabel("days to expiry", fontsize=8, color=canvas.INK)
    axes.set_ylabel("at-the-money vol, %", fontsize=8, color=canvas.INK)
    axes.legend(fontsize=7, frameon=False)


def _root(value: Any) -> Any:
    return np.sqrt(np.maximum(value, 0.0))
