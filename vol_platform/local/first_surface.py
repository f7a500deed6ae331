"""The first surface: waited for while the stack starts, shown the moment it is there."""

from __future__ import annotations

import asyncio

import polars as pl

from vol_platform.clock import monotonic_seconds
from vol_platform.errors import StoreError
from vol_platform.local.readout import Source, newest_rows
from vol_platform.local.screen import Screen
from vol_platform.settings import Settings

__all__ = ["FirstSurface"]

_POLL_SECONDS = 0.5


class FirstSurface:
    """Waits for a surface of `currency`, live or of the record, whichever comes first.

    Parameters
    ----------
    settings : Settings
        Of the running stack.
    currency : str
        The market.
    """

    def __init__(self, settings: Settings, currency: str) -> None:
        self._settings = settings
        self._currency = currency
        self.seconds: float | None = None
        """How long after the command began the surface was on the screen."""

    async def show(self, screen: Screen, began: float) -> None:
        """Wait for the surface and show it."""
        found = None
        while found is None:
            found = await asyncio.to_thread(self._look)
            if found is None:
                await asyncio.sleep(_POLL_SECONDS)
        source, rows = found
        from vol_platform.plots import terminal

        self.seconds = monotonic_seconds() - began
        screen.say(
            f"First {self._currency} surface after {self.seconds:.0f} s "
            f"({source}, {rows.height} expiries)"
        )
        screen.say(terminal.term_structure(rows))
        screen.say(terminal.smile(rows, width=min(72, screen.console.width - 10)))

    def _look(self) -> tuple[Source, pl.DataFrame] | None:
        from vol_platform.store.client import connect

        sources: tuple[Source, ...] = ("live", "record")
        try:
            client = connect(self._settings)
        except StoreError:
            return None
        try:
            for source in sources:
                rows = newest_rows(client, "surfaces", source, self._currency, None)
                if rows.filter(pl.col("status").is_in(["ok", "repaired"])).height:
                    return source, rows
        except StoreError:
            # The tables are created while we wait.
            return None
        finally:
            client.close()
        return None
