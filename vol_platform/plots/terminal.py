"""The same pictures for a terminal: rich renderables drawn with Unicode."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vol_platform.plots.labels import expiry_label
from vol_platform.plots.slices import QuoteBars, Slice, quote_bars, slices

__all__ = ["smile", "term_structure"]

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BRAILLE_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each of the 4 x 2 dots of a braille cell, by row and column."""

_STATUS_STYLES = {"ok": "green", "repaired": "cyan", "thin": "yellow", "refused": "red"}


def term_structure(frame: pl.DataFrame, *, bar_width: int = 28) -> RenderableType:
    """Render at-the-money vol by expiry as a table with bars.

    Parameters
    ----------
    frame
        Rows of table ``surfaces`` or ``term_structure`` of one currency and snapshot.
    bar_width
        Characters of the longest bar.
    """
    rows = frame.sort("expiry_years")
    if "is_constant_maturity" in rows.columns:
        rows = rows.filter(~pl.col("is_constant_maturity"))
    longest = rows["atm_vol"].cast(pl.Float64).max()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("expiry", "days", "forward", "atm vol"):
        table.add_column(name, justify="left" if name == "expiry" else "right")
    table.add_column("", justify="left", width=bar_width)
    has_status = "status" in rows.columns
    if has_status:
        table.add_column("status")
        table.add_column("in spread", justify="right")
    for row in rows.iter_rows(named=True):
        vol = row["atm_vol"]
        share = vol / longest if vol is not None and isinstance(longest, float) and longest else 0.0
        cells: list[RenderableType] = [
            expiry_label(row["expiry_ts"]),
            f"{365 * row['expiry_years']:.1f}",
            "—" if row["forward"] is None else f"{row['forward']:,.0f}",
            "—" if vol is None else f"{100 * vol:.2f} %",
            Text(_bar(share, bar_width), style="blue"),
        ]
        if has_status:
            inside = row["in_spread_share"]
            cells += [
                Text(row["status"], style=_STATUS_STYLES.get(row["status"], "")),
                "—" if inside is None else f"{100 * inside:.0f} %",
            ]
        table.add_row(*cells)
    return table


def smile(
    surface_frame: pl.DataFrame,
    quotes_frame: pl.DataFrame | None = None,
    *,
    expiry_ts: datetime | None = None,
    width: int = 72,
    height: int = 14,
) -> RenderableType:
    """Render one smile: quotes as vertical bars from bid to ask, the fit as a dotted line.

    Parameters
    ----------
    surface_frame, quotes_frame
        Rows of tables ``surfaces`` and (optionally) ``quotes_clean`` of one currency and snapshot.
    expiry_ts
        Which expiry; None takes the fitted one nearest to 30 days.
    width, height
        Of the picture, in characters; at least 16 x 4.

    Raises
    ------
    ValueError
        The expiry is not in the frame, or nothing is fitted.
    """
    part = _choose(slices(surface_frame), expiry_ts)
    bars = quote_bars(quotes_frame, part)
    left, right = _k_range(part, bars)
    k = np.linspace(left, right, 2 * width)
    fit = 100 * part.vol(k)
    low, high = _vol_range(fit)

    cells = [[(" ", "")] * width for _ in range(height)]
    _put_bars(cells, bars, (left, right), (low, high))
    _put_line(cells, fit, (low, high))

    lines = [
        Text(f"{expiry_label(part.expiry_ts)}  {part.days:.1f} d  {part.status}", style="bold")
    ]
    for number, line in enumerate(cells):
        vol = high - (number + 0.5) * (high - low) / height
        label = f"{vol:6.1f} % ┤" if number % 3 == 0 else "         │"
        lines.append(Text.assemble((label, "dim"), *line))
    ends = f"k = {left:+.2f}", f"{right:+.2f}"
    lines.append(Text("         └" + "─" * width, style="dim"))
    lines.append(Text(" " * 10 + ends[0] + ends[1].rjust(width - len(ends[0])), style="dim"))
    return Group(*lines)


def _bar(share: float, width: int) -> str:
    """Draw a bar of `share` (0 to 1) of `width` characters, to an eighth of a character."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _choose(parts: list[Slice], expiry_ts: datetime | None) -> Slice:
    fitted = [part for part in parts if part.is_fitted]
    if expiry_ts is not None:
        fitted = [part for part in fitted if part.expiry_ts == expiry_ts]
    if not fitted:
        which = "any expiry" if expiry_ts is None else f"{expiry_ts:%Y-%m-%d %H:%M}"
        raise ValueError(f"no fit of {which} in the surface; see its status and reason")
    return min(fitted, key=lambda part: abs(part.days - 30.0))


def _k_range(part: Slice, bars: QuoteBars) -> tuple[float, float]:
    """Log-moneyness range: what is quoted, but no more than three at-the-money deviations."""
    deviation = 3.0 * (part.atm_vol or 0.5) * part.expiry_years**0.5
    quoted = bars.k[np.isfinite(bars.bid_vol) & np.isfinite(bars.ask_vol)]
    low = max(-deviation, float(quoted.min(initial=0.0))) if quoted.size else -deviation
    high = min(deviation, float(quoted.max(initial=0.0))) if quoted.size else deviation
    margin = 0.05 * deviation
    return low - margin, high + margin


def _vol_range(fit_percent: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(fit_percent.min()), float(fit_percent.max())
    margin = max(0.1 * (high - low), 0.25)
    return low - margin, high + margin


def _put_bars(
    cells: list[list[tuple[str, str]]],
    bars: QuoteBars,
    k_range: tuple[float, float],
    vol_range: tuple[float, float],
) -> None:
    height, width = len(cells), len(cells[0])
    low, high = vol_range
    for k, bid, ask in zip(bars.k, 100 * bars.bid_vol, 100 * bars.ask_vol, strict=True):
        column = int((k - k_range[0]) / (k_range[1] - k_range[0]) * (width - 1) + 0.5)
        if not (0 <= column < width and np.isfinite(bid) and np.isfinite(ask)):
            continue
        top = int((high - ask) / (high - low) * height)
        bottom = int((high - bid) / (high - low) * height)
        for row in range(max(top, 0), min(bottom, height - 1) + 1):
            cells[row][column] = ("│", "yellow")


def _put_line(
    cells: list[list[tuple[str, str]]],
    fit_percent: NDArray[np.float64],
    vol_range: tuple[float, float],
) -> None:
    """Draw two braille columns per character; the line wins over a bar under it."""
    height = len(cells)
    low, high = vol_range
    dots = ((high - fit_percent) / (high - low) * height * 4).astype(np.int64)
    for number, dot in enumerate(dots):
        if not 0 <= dot < 4 * height:
            continue
        row, column = int(dot) // 4, number // 2
        bit = _BRAILLE_DOTS[int(dot) % 4][number % 2]
        character = cells[row][column][0]
        before = ord(character) - 0x2800 if "\u2800" <= character <= "\u28ff" else 0
        cells[row][column] = (chr(0x2800 + (before | bit)), "bold cyan")
