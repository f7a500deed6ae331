"""Which port a part gets.

A port nobody asked for by name gives way when somebody else has it: the next free one is taken
and said aloud.  A port that was asked for is an error when taken, because something else relies
on it.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from vol_platform.errors import PortInUseError

__all__ = ["HOST", "PortChooser", "is_free"]

HOST = "127.0.0.1"
_TRIES = 200
_BLOCKED_BY_BROWSERS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679}
    | {6697, 10080}
)
"""Ports above 1023 that browsers refuse to open (WHATWG Fetch, "bad port")."""


def is_free(port: int) -> bool:
    """Return whether a server could listen on `port` of the loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


@dataclass
class PortChooser:
    """Hands out ports, never the same one twice.

    Parameters
    ----------
    offset : int
        Added to every default port, so that several stacks may live side by side.
    """

    offset: int = 0
    notes: list[str] = field(default_factory=list)
    """What to tell the user: one sentence per default port that was taken."""
    _given: set[int] = field(default_factory=set)

    def choose(self, part: str, default: int, explicit: int | None, option: str) -> int:
        """Return a free port for `part`.

        Parameters
        ----------
        part : str
            What the port is for, in words.
        default : int
            Used when nothing was asked for; the next free one above it if it is taken.
        explicit : int or None
            The port somebody asked for.
        option : str
            How it is asked for, named in the error.

        Raises
        ------
        PortInUseError
            The explicit port is taken, or no port is free.
        """
        if explicit is not None:
            if explicit in self._given or not is_free(explicit):
                msg = (
                    f"port {explicit} for {part} is in use by another process; stop that process, "
                    f"or ask for another port with {option}, or leave it out to get a free one"
                )
                raise PortInUseError(msg)
            self._given.add(explicit)
            return explicit
        first = default + self.offset
        for port in range(first, min(first + _TRIES, 65536)):
            if port in self._given or port in _BLOCKED_BY_BROWSERS:
                continue
            if is_free(port):
                self._given.add(port)
                if port != first:
                    why = "is refused by browsers" if first in _BLOCKED_BY_BROWSERS else "is taken"
                    self.notes.append(
                        f"port {first} for {part} {why}; using {port} ({option} sets it)"
                    )
                return port
        msg = f"no free port for {part} from {first} on; ask for one with {option}"
        raise PortInUseError(msg)
