"""The one place that asks what time it is.

Everything else takes the time as an argument or a `Clock`, so that a replay and a test decide it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

__all__ = ["Clock", "monotonic_seconds", "utc_now"]

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this is the clock seam


def monotonic_seconds() -> float:
    """Return seconds on a clock that never steps, for durations only."""
    return time.monotonic()
