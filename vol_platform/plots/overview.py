"""The whole surface on one page: heat map, term structure, and every smile."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from vol_platform.plots import canvas
from vol_platform.plots.labels import headline
from vol_platform.plots.slices import slices
from vol_platform.plots.smile import draw_smiles, panel_grid
from vol_platform.plots.surface import draw_surface
from vol_platform.plots.term_structure import draw_term_structure

__all__ = ["overview_png"]


def overview_png(
    surface_frame: pl.DataFrame,
    quotes_frame: pl.DataFrame | None = None,
    *,
    currency: str,
    snapshot_ts: datetime,
) -> bytes:
    """Draw heat map, term structure and smiles of one snapshot (`vol surface --png`).

    Parameters
    ----------
    surface_frame
        Rows of table ``surfaces`` of one currency and snapshot; refused expiries are shown as such.
    quotes_frame
        Rows of table ``quotes_clean`` of the same, or None.
    currency, snapshot_ts
        For the headline.

    Raises
    ------
    ValueError
        There is no row to draw.
    """
    parts = slices(surface_frame)
    if not parts:
        raise ValueError(f"surface_frame must hold at least 1 expiry of {currency}, was empty")
    rows, columns = panel_grid(len(parts))
    top_height = max(3.0, 0.6 + 0.28 * len(parts))
    figure = canvas.figure(max(3.1 * columns, 12.4), top_height + 2.35 * rows + 0.5)
    figure.suptitle(
        headline("volatility surface", currency, snapshot_ts),
        color=canvas.INK,
        fontsize=13,
    )
    top, bottom = figure.subfigures(2, 1, height_ratios=(top_height, 2.35 * rows))
    heat, term = top.subplots(1, 2, width_ratios=(3, 2))
    draw_surface(top, heat, parts)
    heat.set_title("vol in % by expiry and forward delta", fontsize=9, color=canvas.INK)
    if not surface_frame.drop_nulls("atm_vol").is_empty():
        draw_term_structure(term, surface_frame)
        term.set_title("term structure", fontsize=9, color=canvas.INK)
    else:
        term.set_axis_off()
    draw_smiles(bottom, parts, quotes_frame)
    return canvas.png_bytes(figure)
