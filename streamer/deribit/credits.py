"""Credits: the exchange's leaky bucket, kept on our side so that it never runs dry on theirs."""

from __future__ import annotations

__all__ = ["CreditBucket"]


class CreditBucket:
    """A bucket that refills steadily and from which every request takes its price.

    Parameters
    ----------
    capacity
        Credits when full.
    refill_per_second
        Credits that come back each second.
    now
        Monotonic seconds.
    """

    def __init__(self, capacity: float, refill_per_second: float, now: float) -> None:
        self._capacity = capacity
        self._refill = refill_per_second
        self._credits = capacity
        self._as_of = now

    def take(self, price: float, now: float) -> bool:
        """Take ``price`` credits; False, and nothing taken, when there are not enough."""
        self._settle(now)
        if self._credits < price:
            return False
        self._credits -= price
        return True

    def available(self, now: float) -> float:
        """Return the credits that are there."""
        self._settle(now)
        return self._credits

    def seconds_until(self, price: float, now: float) -> float:
        """Return how long until ``price`` credits are there."""
        self._settle(now)
        return max(0.0, (price - self._credits) / self._refill)

    def drain(self, now: float) -> None:
        """Treat all credits as spent: the exchange said so."""
        self._settle(now)
        self._credits = 0.0

    def _settle(self, now: float) -> None:
        elapsed = max(0.0, now - self._as_of)
        self._credits = min(self._capacity, self._credits + elapsed * self._refill)
        self._as_of = now
