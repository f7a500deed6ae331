"""Which expiries the exchange lists on a day, and how instruments are named.

The cadence is Deribit's: dailies one to four days out, Fridays up to three weeks out, the last
Friday of the next three months, the last Friday of March, June, September and December up to a
year out.  A new daily is listed at 08:00 UTC; the longer ones on a Thursday at 08:00.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal

__all__ = [
    "DAY_MS",
    "EXPIRY_HOUR",
    "YEAR_MS",
    "Cadence",
    "board_day",
    "cadence",
    "day_start_ms",
    "expiry_label",
    "listed_expiries",
    "listing_day",
]

Cadence = Literal["day", "week", "month", "quarter"]

EXPIRY_HOUR = 8
DAY_MS = 86_400_000
YEAR_MS = 365 * DAY_MS
"""A year of ACT/365, in milliseconds."""
_FRIDAY = 4
_DAILY_DAYS = 4
_WEEKLY_LISTING_DAYS = 22
_MONTHS_AHEAD = 3
_YEAR_AHEAD_DAYS = 380


def board_day(time_ms: int) -> date:
    """Return the date whose 08:00 UTC began the board that trades at `time_ms`."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC) - timedelta(hours=EXPIRY_HOUR)
    return moment.date()


def day_start_ms(day: date) -> int:
    """Return 08:00 UTC of a date in milliseconds since the epoch."""
    moment = datetime(day.year, day.month, day.day, EXPIRY_HOUR, tzinfo=UTC)
    return int(moment.timestamp()) * 1000


def expiry_label(expiry: date) -> str:
    """Return the exchange's spelling of an expiry: ``5JUN26``, the day without a leading zero."""
    return f"{expiry.day}{expiry.strftime('%b').upper()}{expiry.strftime('%y')}"


def _last_friday(year: int, month: int) -> date:
    first_of_next = date(year + month // 12, month % 12 + 1, 1)
    last = first_of_next - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - _FRIDAY) % 7)


def cadence(expiry: date) -> Cadence:
    """Return which rule lists this expiry."""
    if expiry.weekday() != _FRIDAY:
        return "day"
    if expiry != _last_friday(expiry.year, expiry.month):
        return "week"
    return "quarter" if expiry.month % 3 == 0 else "month"


@lru_cache(maxsize=4096)
def listing_day(expiry: date) -> date:
    """Return the date at whose 08:00 UTC this expiry was listed."""
    kind = cadence(expiry)
    if kind == "day":
        return expiry - timedelta(days=_DAILY_DAYS)
    if kind == "week":
        return expiry - timedelta(days=_WEEKLY_LISTING_DAYS)
    months_back = _MONTHS_AHEAD if kind == "month" else 12
    total = expiry.year * 12 + expiry.month - 1 - months_back
    return _last_friday(total // 12, total % 12 + 1) - timedelta(days=1)


@lru_cache(maxsize=1024)
def listed_expiries(day: date) -> tuple[date, ...]:
    """Return the expiries of the board that begins at 08:00 UTC of `day`, nearest first."""
    candidates = (day + timedelta(days=ahead) for ahead in range(1, _YEAR_AHEAD_DAYS))
    return tuple(
        expiry
        for expiry in candidates
        if (expiry.weekday() == _FRIDAY or (expiry - day).days <= _DAILY_DAYS)
        and listing_day(expiry) <= day
    )
