"""What `vol up` shows while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vol_platform.clock import utc_now
from vol_platform.local.parts import Part
from vol_platform.local.state import PartState

__all__ = ["Screen", "part_table"]

_COLOURS = {
    "ready": "green",
    "done": "green",
    "starting": "yellow",
    "restarting": "red",
    "failed": "red",
    "stopping": "yellow",
}


def part_table(states: list[PartState], purposes: dict[str, str], now: float) -> Table:
    """Return the table of parts that the live screen and `vol status` show."""
    table = Table(box=None, pad_edge=False)
    for heading in ("part", "state", "port", "pid", "for", "restarts", ""):
        table.add_column(heading, overflow="ellipsis", no_wrap=True)
    for state in states:
        table.add_row(
            state.name,
            Text(state.status, style=_COLOURS.get(state.status, "dim")),
            "" if state.port is None else str(state.port),
            "" if state.pid is None else str(state.pid),
            _duration(now - state.since) if state.since else "",
            str(state.restarts) if state.restarts else "",
            _remark(state, purposes),
        )
    return table


def _remark(state: PartState, purposes: dict[str, str]) -> str:
    if state.status in ("ready", "waiting"):
        return purposes.get(state.name, "")
    return "" if state.detail == state.status else state.detail


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class Screen:
    """Shows the parts; `say` prints above them.

    Parameters
    ----------
    console : Console
        Where to show.
    parts : list of Part
        The parts of the stack.
    states : callable
        Returns their present states.
    """

    def __init__(
        self, console: Console, parts: list[Part], states: Callable[[], list[PartState]]
    ) -> None:
        self.console = console
        self._states = states
        self._purposes = {part.name: part.purpose for part in parts}
        self._live: Live | None = None
        self.note = ""
        """One line below the table: what the stack is doing now."""

    def __enter__(self) -> Self:
        """Begin to show."""
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=self._render, console=self.console, refresh_per_second=4
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last picture standing."""
        if self._live is not None:
            self._live.stop()

    def part_changed(self, state: PartState, words: str) -> None:
        """Say so in a line where there is no live table."""
        if self._live is None and state.status != "starting":
            self.console.print(f"{state.name}: {words}", highlight=False, soft_wrap=True)

    def say(self, what: RenderableType) -> None:
        """Print `what` above the live table."""
        self.console.print(what, highlight=False)

    def _render(self) -> RenderableType:
        table = part_table(self._states(), self._purposes, utc_now().timestamp())
        if self.note:
            table.caption = self.note
            table.caption_justify = "left"
        return table
