"""What calls cost: leaky buckets of credits, one set for each session and one for plain HTTP."""

from __future__ import annotations

from vol_platform.clock import monotonic_seconds

__all__ = ["FREE_METHODS", "drain", "pays"]

FREE_METHODS = frozenset({"public/test", "public/get_time", "public/hello"})
_SUBSCRIBE, _CALLS = "subscribe", "calls"
_SUBSCRIBE_COST = 3_000.0
_SUBSCRIBE_POOL = 30_000.0
_CALL_COST = 500.0
_CALL_POOL = 50_000.0
_REFILL_PER_SECOND = 10_000.0
_INSTRUMENT_CALLS = 5.0
_INSTRUMENT_CALLS_PER_SECOND = 1.0


def pays(held: dict[str, float], method: str) -> bool:
    """Take the price of a call from the credits held; False when they do not suffice.

    Parameters
    ----------
    held
        Credits by pool, and when each was looked at; empty at first.
    method
        ``public/subscribe`` and so on.
    """
    if method in FREE_METHODS:
        return True
    if method.endswith("/subscribe"):
        return _spend(held, _SUBSCRIBE, _SUBSCRIBE_COST, _SUBSCRIBE_POOL, _REFILL_PER_SECOND)
    if method == "public/get_instruments":
        return _spend(held, method, 1.0, _INSTRUMENT_CALLS, _INSTRUMENT_CALLS_PER_SECOND)
    return _spend(held, _CALLS, _CALL_COST, _CALL_POOL, _REFILL_PER_SECOND)


def drain(held: dict[str, float]) -> None:
    """Take all credits: the next call is refused."""
    for pool in (_SUBSCRIBE, _CALLS):
        held[f"{pool} at"] = monotonic_seconds()
        held[pool] = 0.0


def _spend(
    held: dict[str, float], pool: str, cost: float, capacity: float, refill_per_second: float
) -> bool:
    now = monotonic_seconds()
    elapsed = now - held.get(f"{pool} at", now)
    left = min(capacity, held.get(pool, capacity) + elapsed * refill_per_second)
    held[f"{pool} at"] = now
    held[pool] = left if left < cost else left - cost
    return left >= cost
