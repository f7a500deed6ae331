"""What every pager is: a state machine that says what to ask next and takes the answer.

A pager does no input or output.  `next_call` may be asked again at any time and gives the same
until an answer was taken, so a failed request is simply made again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import msgspec

__all__ = ["Call", "Pager"]


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the exchange."""

    method: str
    parameters: dict[str, str] = field(default_factory=dict)


class Pager(Protocol):
    """Pages through one stretch of time.

    Attributes
    ----------
    table
        Where its rows go.
    """

    table: str

    @property
    def done_to_ms(self) -> int:
        """Everything before this moment was handed out."""
        ...

    def next_call(self) -> Call | None:
        """Return what to ask next; None when everything was handed out."""
        ...

    def take(self, result: msgspec.Raw) -> list[bytes]:
        """Take the result of the last call and return its rows, each as JSON.

        Raises
        ------
        msgspec.DecodeError
            The result has another form; the pager is as before.
        """
        ...

    def give_up(self) -> bool:
        """Go on without the next call, which the exchange refuses; False when that cannot be."""
        ...
