"""The guard: outlives the supervisor by a moment and stops whatever it left.

A process of its own that reads the process groups of all parts from a pipe.  When the pipe closes
without the groups having been taken off the list, the supervisor died (kill -9, out of memory):
the guard stops them. Standard library only and started with ``-I -S``, so that it costs a few
megabytes and cannot fail on an import.
"""

from __future__ import annotations

import os
import signal
import sys
import time

__all__: list[str] = []

_PATIENCE_SECONDS = 5.0


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _stop_all(groups: set[int]) -> None:
    for group in groups:
        _signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    remaining = set(groups)
    while remaining and time.monotonic() < deadline:
        remaining = {group for group in remaining if _signal_group(group, 0)}
        time.sleep(0.05)
    for group in remaining:
        _signal_group(group, signal.SIGKILL)


def _main() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        sign, _, number = line.strip().partition(" ")
        if sign == "+":
            groups.add(int(number))
        elif sign == "-":
            groups.discard(int(number))
    _stop_all(groups)


if __name__ == "__main__":
    _main()
