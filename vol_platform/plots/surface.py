"""The surface as a heat map: fitted vol over expiry and forward delta, with the numbers in it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from vol_platform.plots import canvas
from vol_platform.plots.labels import delta_label, expiry_label, headline
from vol_platform.plots.slices import DELTAS, Slice, slices

__all__ = ["draw_surface", "surface_png"]


def surface_png(surface_frame: pl.DataFrame, *, currency: str, snapshot_ts: datetime) -> bytes:
    """Draw fitted vol by expiry and forward delta.

    Parameters
    ----------
    surface_frame
        Rows of table ``surfaces`` of one currency and snapshot.
    currency, snapshot_ts
        For the headline.

    Raises
    ------
    ValueError
        No expiry has a fit.
    """
    parts = slices(surface_frame)
    if all(not part.is_fitted for part in parts):
        raise ValueError(f"surface_frame must hold at least 1 fitted expiry of {currency}")
    figure = canvas.figure(8.0, 0.9 + 0.32 * len(parts))
    axes = figure.subplots()
    draw_surface(figure, axes, parts)
    axes.set_title(
        headline("surface, vol in %", currency, snapshot_ts),
        fontsize=10,
        color=canvas.INK,
    )
    return canvas.png_bytes(figure)


def draw_surface(figure: Any, axes: Any, parts: list[Slice]) -> None:
    """Draw into given axes; an expiry without a fit is an empty row that says why."""
    vols = 100 * np.array([part.vol_at_deltas(DELTAS) for part in parts])
    shown = axes.imshow(np.ma.masked_invalid(vols), aspect="auto", cmap="viridis")
    finite = vols[np.isfinite(vols)]
    light = finite.min() + 0.6 * np.ptp(finite) if finite.size else 0.0
    for (row, column), vol in np.ndenumerate(vols):
        if np.isfinite(vol):
            # Viridis turns light at three fifths of its range.
            ink = "white" if vol < light else "black"
            axes.text(column, row, f"{vol:.1f}", ha="center", va="center", fontsize=6.5, color=ink)
    for row, part in enumerate(parts):
        if not part.is_fitted:
            axes.text(0, row, f"{part.status}: {part.reason}", va="center", fontsize=6.5)
    axes.set_xticks(range(len(DELTAS)), [delta_label(delta) for delta in DELTAS])
    axes.set_yticks(
        range(len(parts)),
        [f"{expiry_label(part.expiry_ts)}  {part.days:.0f} d" for part in parts],
    )
    axes.tick_params(colors=canvas.INK, labelsize=7, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(shown, ax=axes, fraction=0.03, pad=0.01)
    bar.ax.tick_params(labelsize=7, length=2)
    bar.outline.set_visible(False)
