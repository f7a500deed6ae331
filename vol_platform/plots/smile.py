"""Smiles: bid-ask bars in vol and the fitted line, one panel per expiry."""

from __future__ import annotations

import math
import textwrap
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from vol_platform.plots import canvas
from vol_platform.plots.labels import expiry_label, headline
from vol_platform.plots.slices import QuoteBars, Slice, quote_bars, slices

__all__ = ["draw_smiles", "panel_grid", "slice_png", "smile_png"]

_COLUMNS = 4
_LEGEND = "bars: bid to ask; red: the fit is outside; triangles: a bid or an ask alone"


def smile_png(
    surface_frame: pl.DataFrame,
    quotes_frame: pl.DataFrame | None = None,
    *,
    currency: str,
    snapshot_ts: datetime,
) -> bytes:
    """Draw every expiry's smile with its out-of-the-money quotes.

    Parameters
    ----------
    surface_frame
        Rows of table ``surfaces`` of one currency and snapshot; at least one.
    quotes_frame
        Rows of table ``quotes_clean`` of the same; None draws the fit alone.
    currency, snapshot_ts
        For the headline.

    Returns
    -------
    bytes
        A PNG.

    Raises
    ------
    ValueError
        There is no row to draw.
    """
    parts = slices(surface_frame)
    if not parts:
        raise ValueError(f"surface_frame must hold at least 1 expiry of {currency}, was empty")
    rows, columns = panel_grid(len(parts))
    figure = canvas.figure(3.1 * columns, 2.35 * rows + 0.35)
    figure.suptitle(headline("smiles", currency, snapshot_ts), color=canvas.INK, fontsize=11)
    draw_smiles(figure, parts, quotes_frame)
    return canvas.png_bytes(figure)


def slice_png(
    surface_row: pl.DataFrame,
    quotes_frame: pl.DataFrame,
    *,
    currency: str,
    snapshot_ts: datetime,
    note: str,
) -> bytes:
    """Draw one expiry's smile alone and large, with a note below it.

    Parameters
    ----------
    surface_row
        One row of table ``surfaces``.
    quotes_frame
        Rows of table ``quotes_clean`` of its snapshot; other expiries are left out.
    currency, snapshot_ts
        For the headline.
    note
        Text below the picture, wrapped.

    Raises
    ------
    ValueError
        There is not exactly one row.
    """
    if surface_row.height != 1:
        raise ValueError(f"surface_row must hold 1 expiry, held {surface_row.height}")
    (part,) = slices(surface_row)
    figure = canvas.figure(9.0, 5.4)
    figure.suptitle(headline("smile", currency, snapshot_ts), color=canvas.INK, fontsize=11)
    axes = figure.subplots()
    _draw_smile(axes, part, quote_bars(quotes_frame, part))
    axes.set_ylabel("vol, %", fontsize=8, color=canvas.INK)
    axes.set_xlabel("k = ln(strike / forward)", fontsize=8, color=canvas.INK)
    words = f"{_LEGEND}\n{textwrap.fill(note, 120)}"
    figure.supxlabel(words, fontsize=7.5, color=canvas.INK)
    return canvas.png_bytes(figure)


def panel_grid(panels: int) -> tuple[int, int]:
    """Rows and columns of small multiples for this many panels."""
    columns = min(_COLUMNS, panels)
    return math.ceil(panels / columns), columns


def draw_smiles(figure: Any, parts: list[Slice], quotes_frame: pl.DataFrame | None) -> None:
    """Draw one panel per expiry into a figure or subfigure."""
    rows, columns = panel_grid(len(parts))
    panels = figure.subplots(rows, columns, squeeze=False)
    figure.supxlabel(_LEGEND, fontsize=7, color=canvas.INK)
    for number, axes in enumerate(panels.flat):
        if number >= len(parts):
            axes.set_axis_off()
            continue
        _draw_smile(axes, parts[number], quote_bars(quotes_frame, parts[number]))
        if number % columns == 0:
            axes.set_ylabel("vol, %", fontsize=7, color=canvas.INK)
        if number + columns >= len(parts):
            axes.set_xlabel("k = ln(strike / forward)", fontsize=7, color=canvas.INK)


def _draw_smile(axes: Any, part: Slice, bars: QuoteBars) -> None:
    canvas.quiet(axes)
    axes.set_title(_title(part), fontsize=7.5, color=canvas.INK, loc="left")
    low, high = _range(part, bars)
    k = np.linspace(low, high, 241)
    fit = 100 * part.vol(k)

    two_sided = np.isfinite(bars.bid_vol) & np.isfinite(bars.ask_vol)
    at_quotes = part.vol(bars.k)
    # Half a millionth of a vol point forgives the rounding of the way to vol and back.
    inside = (bars.bid_vol <= at_quotes + 5e-9) & (at_quotes <= bars.ask_vol + 5e-9)
    for chosen, colour in (
        (two_sided & inside, canvas.BAR),
        (two_sided & ~inside, canvas.BAR_MISSED),
    ):
        axes.vlines(
            bars.k[chosen],
            100 * bars.bid_vol[chosen],
            100 * bars.ask_vol[chosen],
            color=colour,
            linewidth=1.6,
        )
    for vols, other, marker in (
        (bars.bid_vol, bars.ask_vol, "^"),
        (bars.ask_vol, bars.bid_vol, "v"),
    ):
        alone = np.isfinite(vols) & ~np.isfinite(other)
        axes.plot(bars.k[alone], 100 * vols[alone], marker, color=canvas.BAR, markersize=2.5)
    if part.is_fitted:
        axes.plot(k, fit, color=canvas.FIT, linewidth=1.1)
    else:
        words = textwrap.fill(part.reason or "no fit", 44)
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=7)
    axes.set_xlim(low, high)
    axes.locator_params(nbins=5)
    limits = _vol_limits(fit, bars, low, high)
    if limits is None:
        axes.set_yticks([])
    else:
        axes.set_ylim(*limits)


def _title(part: Slice) -> str:
    title = f"{expiry_label(part.expiry_ts)} · {part.days:.1f} d · {part.status}"
    if part.in_spread_share is not None:
        title += f" · {100 * part.in_spread_share:.0f} % in spread"
    return title


def _range(part: Slice, bars: QuoteBars) -> tuple[float, float]:
    """Log-moneyness range: what is quoted on both sides, wider by a part, and never empty."""
    ends = [value for value in (part.k_minimum, part.k_maximum) if value is not None]
    if not ends:
        two_sided = bars.k[np.isfinite(bars.bid_vol) & np.isfinite(bars.ask_vol)]
        ends = [float(two_sided.min()), float(two_sided.max())] if two_sided.size else []
    if not ends or max(ends) - min(ends) < 1e-6:
        ends += [-0.2, 0.2]
    margin = 0.12 * (max(ends) - min(ends))
    return min(ends) - margin, max(ends) + margin


def _vol_limits(
    fit_percent: Any, bars: QuoteBars, low_k: float, high_k: float
) -> tuple[float, float] | None:
    """Vol range, %: the fit and nearly all quotes; one ask at 500 % must not flatten the rest."""
    values = [fit_percent[np.isfinite(fit_percent)]]
    for vols in (bars.bid_vol, bars.ask_vol):
        finite = 100 * vols[np.isfinite(vols) & (bars.k >= low_k) & (bars.k <= high_k)]
        if finite.size:
            values.append(np.quantile(finite, [0.03, 0.97]))
    together = np.concatenate(values)
    if not together.size:
        return None
    low, high = float(together.min()), float(together.max())
    margin = max(0.06 * (high - low), 0.5)
    return max(low - margin, 0.0), high + margin
