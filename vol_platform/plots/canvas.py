"""How pictures look and how they become bytes: figures without global state, deterministic PNG."""

from __future__ import annotations

import io
from typing import Any

__all__ = [
    "BAR",
    "BAR_MISSED",
    "FIT",
    "GRID",
    "INK",
    "figure",
    "png_bytes",
    "quiet",
]

INK = "#1f2933"
GRID = "#e4e7eb"
FIT = "#0b69a3"
BAR = "#9aa5b1"
BAR_MISSED = "#d64545"

_DOTS_PER_INCH = 110


def figure(width_inches: float, height_inches: float) -> Any:
    """Make an empty figure that draws with Agg; pyplot and its global state stay out of it.

    The one place that imports matplotlib, and late: terminal pictures do not pay for it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(
        figsize=(width_inches, height_inches),
        dpi=_DOTS_PER_INCH,
        layout="constrained",
        facecolor="white",
    )
    FigureCanvasAgg(made)
    return made


def png_bytes(made: Any) -> bytes:
    """Return the figure as PNG; the same figure gives the same bytes (no version inside)."""
    buffer = io.BytesIO()
    made.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def quiet(axes: Any) -> None:
    """Thin grid, no box: the data is the loudest thing in the picture."""
    axes.grid(visible=True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(BAR)
    axes.tick_params(colors=INK, labelsize=7, length=2)
