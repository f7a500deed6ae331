"""Event time: calendar time in which weekend seconds count for less.

Crypto trades through the weekend, but little happens: options that live only over a weekend are
quoted at a lower volatility.  ``tau(t) = integral of omega``, with ``omega = weekend_weight`` on
Saturday and Sunday UTC and 1 else, makes the variance flow evenly between two expiries.  Quoted
volatilities stay in calendar time.
"""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["event_years"]

_DAY = 86_400.0
_WEEK = 7.0 * _DAY
_SECONDS_PER_YEAR = 365.0 * _DAY
# 1970-01-03 was a Saturday: two days after the epoch.
_FIRST_SATURDAY = 2.0 * _DAY


def _weekend_seconds(epoch: float) -> float:
    """Weekend seconds between the first Saturday after 1970 and `epoch`, both UTC."""
    weeks, rest = divmod(epoch - _FIRST_SATURDAY, _WEEK)
    return weeks * 2.0 * _DAY + min(rest, 2.0 * _DAY)


def event_years(start: datetime | None, years: float, weekend_weight: float) -> float:
    """Event time from `start` over `years` of calendar time, in years of 365 days.

    Parameters
    ----------
    start
        UTC; None means no calendar is known and returns `years`.
    years
        ACT/365.
    weekend_weight
        Weight of a weekend second; 1 makes event time calendar time.

    Examples
    --------
    >>> saturday = datetime(2026, 4, 11, tzinfo=UTC)
    >>> round(event_years(saturday, 2 / 365, 0.8) * 365, 6)
    1.6
    """
    if start is None or weekend_weight == 1.0:
        return years
    begin = start.replace(tzinfo=UTC) if start.tzinfo is None else start
    first = begin.timestamp()
    weekend = _weekend_seconds(first + years * _SECONDS_PER_YEAR) - _weekend_seconds(first)
    return years - (1.0 - weekend_weight) * weekend / _SECONDS_PER_YEAR
