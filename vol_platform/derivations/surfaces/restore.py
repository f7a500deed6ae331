"""Surfaces back from their rows, for everything that reads off them."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from vol_platform.quant.surface import Surface

__all__ = ["restore"]

_last: tuple[pl.DataFrame, dict[tuple[datetime, str], Surface]] | None = None


def restore(frame: pl.DataFrame) -> dict[tuple[datetime, str], Surface]:
    """Return the surface of every snapshot and market that has a fitted expiry.

    The derivations of one hour hand on the same frame, so the newest answer is kept.

    Parameters
    ----------
    frame
        Rows of ``surfaces``.
    """
    global _last  # noqa: PLW0603 - a cache of one entry, replaced whole
    last = _last
    if last is not None and last[0] is frame:
        return last[1]
    restored: dict[tuple[datetime, str], Surface] = {}
    for (moment, currency), rows in frame.sort("snapshot_ts", "currency", "expiry_ts").group_by(
        "snapshot_ts", "currency", maintain_order=True
    ):
        surface = Surface.from_frame(rows)
        if surface.active.size:
            restored[moment, currency] = surface
    _last = (frame, restored)
    return restored
