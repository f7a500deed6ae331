"""What an alert is, and the text it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["MAXIMUM_MESSAGE_CHARACTERS", "Alert", "Severity"]

Severity = Literal["info", "warning", "critical"]

MAXIMUM_MESSAGE_CHARACTERS = 4096
"""Telegram refuses a longer message; ours are cut, never refused."""

_SIGNS: dict[Severity, str] = {"info": "🟢", "warning": "🟡", "critical": "🔴"}


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing somebody should know.

    Parameters
    ----------
    key
        What it is about, stable while the matter lasts (``check:surfaces/butterfly``); a later
        alert of the same key supersedes this one.
    title
        One line.
    text
        The rest: values with units, and what to do.
    severity
        ``info`` (all is well again), ``warning`` or ``critical``.

    Examples
    --------
    >>> print(Alert("feed:BTC", "BTC feed is stale", "no quote for 75 s", "critical").message())
    🔴 BTC feed is stale
    no quote for 75 s
    [feed:BTC]
    """

    key: str
    title: str
    text: str
    severity: Severity = "warning"

    def message(self) -> str:
        """Return the text to send, cut to `MAXIMUM_MESSAGE_CHARACTERS`; the key survives."""
        head = f"{_SIGNS[self.severity]} {self.title}\n{self.text}"
        tail = f"\n[{self.key}]"[:MAXIMUM_MESSAGE_CHARACTERS]
        room = MAXIMUM_MESSAGE_CHARACTERS - len(tail)
        if len(head) > room:
            head = head[: max(room - 1, 0)] + "…"[:room]
        return head + tail
