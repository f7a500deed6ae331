"""How things are called in a picture."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["delta_label", "expiry_label", "headline"]


def expiry_label(expiry_ts: datetime) -> str:
    """Write an expiry as the exchange does.

    Examples
    --------
    >>> expiry_label(datetime(2026, 6, 5, 8))
    '5JUN26'
    """
    return f"{expiry_ts.day}{expiry_ts:%b%y}".upper()


def delta_label(delta: float) -> str:
    """Write a forward delta as traders do; 0.5 stands for at the money (k = 0).

    Examples
    --------
    >>> [delta_label(delta) for delta in (-0.25, 0.5, 0.1)]
    ['25P', 'ATM', '10C']
    """
    if delta == 0.5:
        return "ATM"
    return f"{abs(100 * delta):.0f}{'P' if delta < 0 else 'C'}"


def headline(what: str, currency: str, snapshot_ts: datetime) -> str:
    """Title of a picture: what it is, of which market, at which instant (naive is UTC)."""
    at = snapshot_ts.astimezone(UTC) if snapshot_ts.tzinfo else snapshot_ts
    return f"{currency} {what} · {at:%Y-%m-%d %H:%M:%S} UTC"
