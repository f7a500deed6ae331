"""How old an update is when the surface that contains it is published."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LagSummary", "LagWindow"]


@dataclass(frozen=True, slots=True)
class LagSummary:
    """Quantiles over the window, s; None when nothing was published in it."""

    updates: int
    from_exchange_p50: float | None
    from_exchange_p99: float | None
    from_received_p50: float | None
    from_received_p99: float | None


class LagWindow:
    """Lags of the updates published in the last `seconds`.

    The clocks of exchange and machine differ by what their synchronisation leaves; the lag from
    receipt is free of that.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._entries: deque[tuple[float, NDArray[np.float64], NDArray[np.float64]]] = deque()

    def add(
        self,
        published_seconds: float,
        exchange_milliseconds: Sequence[int],
        received_nanoseconds: Sequence[int],
    ) -> None:
        """Record the updates that one publication contained (all stamps since 1970)."""
        if not exchange_milliseconds:
            return
        self._entries.append(
            (
                published_seconds,
                published_seconds - np.asarray(exchange_milliseconds, dtype=np.float64) / 1e3,
                published_seconds - np.asarray(received_nanoseconds, dtype=np.float64) / 1e9,
            )
        )
        self._drop(published_seconds)

    def summary(self, now_seconds: float) -> LagSummary:
        """Median and 99th percentile over the window that ends now."""
        self._drop(now_seconds)
        if not self._entries:
            return LagSummary(0, None, None, None, None)
        exchange = np.concatenate([entry[1] for entry in self._entries])
        received = np.concatenate([entry[2] for entry in self._entries])
        values = [*np.quantile(exchange, (0.5, 0.99)), *np.quantile(received, (0.5, 0.99))]
        return LagSummary(exchange.size, *(float(value) for value in values))

    def _drop(self, now_seconds: float) -> None:
        while self._entries and self._entries[0][0] < now_seconds - self._seconds:
            self._entries.popleft()
