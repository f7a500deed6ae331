"""The one place of the collector that asks what time it is.

Everything else is handed a `Clock`, so that tests and replays decide the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["SYSTEM_CLOCK", "Clock"]


@dataclass(frozen=True, slots=True)
class Clock:
    """Two clocks that are never mixed: one tells the time, the other measures durations.

    Attributes
    ----------
    wall_ns
        Nanoseconds since the Unix epoch, UTC; may step when the machine's clock is corrected.
    monotonic
        Seconds on a clock that never steps; only differences mean anything.
    """

    wall_ns: Callable[[], int]
    monotonic: Callable[[], float]


SYSTEM_CLOCK = Clock(wall_ns=time.time_ns, monotonic=time.monotonic)
