"""The hours of the record: partition keys, hours and the range that can be addressed."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from vol_platform.settings import RecordSettings

__all__ = [
    "HOUR",
    "contiguous_ranges",
    "hour_of",
    "hourly_partitions",
    "partition_key",
    "start_of_hour",
]

HOUR = timedelta(hours=1)
_FORMAT = "%Y-%m-%d-%H:%M"


def hourly_partitions(record: RecordSettings) -> dg.HourlyPartitionsDefinition:
    """Return the hours from the configured start up to and including the running one.

    The running hour can be addressed because a board that was imported just now belongs to it; the
    automation touches it only once somebody reports it closed.
    """
    return dg.HourlyPartitionsDefinition(
        start_date=record.start, timezone="UTC", fmt=_FORMAT, end_offset=1
    )


def partition_key(hour: datetime) -> str:
    """Write an hour as Dagster does.

    Examples
    --------
    >>> partition_key(datetime(2026, 2, 4, 15, tzinfo=UTC))
    '2026-02-04-15:00'
    """
    return start_of_hour(hour).strftime(_FORMAT)


def hour_of(key: str) -> datetime:
    """Read a partition key.

    Examples
    --------
    >>> hour_of("2026-02-04-15:00")
    datetime.datetime(2026, 2, 4, 15, 0, tzinfo=datetime.timezone.utc)
    """
    return datetime.strptime(key, _FORMAT).replace(tzinfo=UTC)


def start_of_hour(moment: datetime) -> datetime:
    """Return the start of the hour of an instant; a naive one is UTC."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.replace(minute=0, second=0, microsecond=0)


def contiguous_ranges(hours: Iterable[datetime], longest: int) -> Iterator[tuple[datetime, ...]]:
    """Group hours into runs of consecutive ones, none longer than `longest`.

    Examples
    --------
    >>> day = datetime(2026, 2, 4, tzinfo=UTC)
    >>> hours = [day, day + HOUR, day + 2 * HOUR, day + 5 * HOUR]
    >>> [len(group) for group in contiguous_ranges(hours, longest=2)]
    [2, 1, 1]
    """
    group: list[datetime] = []
    for hour in sorted({start_of_hour(hour) for hour in hours}):
        if group and (hour - group[-1] != HOUR or len(group) == longest):
            yield tuple(group)
            group = []
        group.append(hour)
    if group:
        yield tuple(group)
