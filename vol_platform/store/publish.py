"""Publishing hours of a derived table: all of them at once or not at all, and twice is like once.

A day partition is built in a staging table (the hours of the day that are not being written, and
the new ones), audited there, and swapped in with ``REPLACE PARTITION``, which is atomic.  A crash
at any moment leaves the old day; what it leaves of staging is removed by a later publication.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.clock import Clock, utc_now
from vol_platform.errors import StoreError
from vol_platform.store.client import insert_frame

__all__ = ["Audit", "Fill", "PublishedHour", "publish_hours", "publish_query", "record_publication"]

Audit = Callable[[str], None]
"""Gets the staging table's name before anybody sees the rows; raises to refuse them."""

Fill = Callable[[str, list[str]], int]
"""Gets the staging table's name and sort key, inserts the new rows, returns how many."""

_STAGING_MARK = "__staging_"
_ABANDONED_AFTER = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class PublishedHour:
    """What one hour of a table holds after it was published."""

    hour: datetime
    rows: int
    content_checksum: int
    """Order-independent hash of the rows; equal rows give an equal one."""


def publish_hours(
    client: Client,
    table: str,
    frame: pl.DataFrame,
    hours: Sequence[datetime],
    *,
    run_id: str,
    code_version: str,
    parameters_hash: str,
    audit: Audit | None = None,
    clock: Clock = utc_now,
) -> list[PublishedHour]:
    """Replace `hours` of `table` by the rows of `frame`.

    Parameters
    ----------
    client
        From `vol_platform.store.client.connect`.
    table
        A table partitioned by day of its column ``snapshot_ts``.
    frame
        All rows of those hours; an hour without rows becomes empty.
    hours
        Starts of the hours, in UTC.
    run_id, code_version, parameters_hash
        Lineage, for ``derivation_runs``.
    audit
        Called with the staging table's name before each day is swapped in; an exception from it
        leaves the published rows as they were.
    clock
        Time of publication.

    Returns
    -------
    list of PublishedHour
        In the order of `hours` (sorted, each once).

    Raises
    ------
    StoreError
        A row lies outside `hours`, or another writer changed the day meanwhile (try again).
    """
    ordered = _checked_hours(table, frame, hours)
    by_day: dict[datetime, list[datetime]] = defaultdict(list)
    for hour in ordered:
        by_day[hour.replace(hour=0)].append(hour)
    _drop_abandoned(client, table, clock())
    published: list[PublishedHour] = []
    for day, hours_of_day in by_day.items():
        rows = frame.filter(pl.col("snapshot_ts").dt.truncate("1h").is_in(hours_of_day))

        def fill(staging: str, sorting_key: list[str], rows: pl.DataFrame = rows) -> int:
            if not rows.is_empty():
                keys = [name for name in sorting_key if name in rows.columns]
                insert_frame(client, staging, rows.sort(keys, maintain_order=True))
            return rows.height

        done = _publish_day(client, table, day, fill, hours_of_day, audit)
        record_publication(client, table, done, (run_id, code_version, parameters_hash), clock())
        published += done
    return published


def publish_query(
    client: Client,
    table: str,
    query: str,
    parameters: Mapping[str, Any],
    hours: Sequence[datetime],
    *,
    run_id: str,
    code_version: str,
    parameters_hash: str,
    audit: Audit | None = None,
    clock: Clock = utc_now,
) -> list[PublishedHour]:
    """Replace `hours` of `table` by what a query returns, inside the database.

    The query runs once per hour, with ``partition_start`` and ``partition_end`` among its
    parameters, and returns exactly the table's columns by name.  All else is as in `publish_hours`.

    Parameters
    ----------
    client, table, hours, run_id, code_version, parameters_hash, audit, clock
        As in `publish_hours`.
    query
        A SELECT.
    parameters
        Its other parameters.

    Returns
    -------
    list of PublishedHour
        In the order of `hours` (sorted, each once).

    Raises
    ------
    StoreError
        The query returned a row outside its hour, or another writer changed the day meanwhile.
    """
    by_day: dict[datetime, list[datetime]] = defaultdict(list)
    for hour in _checked_hours(table, pl.DataFrame(), hours):
        by_day[hour.replace(hour=0)].append(hour)
    _drop_abandoned(client, table, clock())
    published: list[PublishedHour] = []
    for day, hours_of_day in by_day.items():

        def fill(staging: str, _: list[str], hours_of_day: list[datetime] = hours_of_day) -> int:
            before = _count(client, staging)
            columns = ", ".join(f"`{name}`" for name in _column_names(client, staging))
            for hour in hours_of_day:
                client.command(
                    f"INSERT INTO `{staging}` ({columns}) SELECT {columns} FROM (\n{query}\n)",  # noqa: S608 - names of tables and a checked model
                    parameters={
                        **parameters,
                        "partition_start": hour,
                        "partition_end": hour + timedelta(hours=1),
                    },
                )
            return _count(client, staging) - before

        done = _publish_day(client, table, day, fill, hours_of_day, audit)
        record_publication(client, table, done, (run_id, code_version, parameters_hash), clock())
        published += done
    return published


def _count(client: Client, table: str) -> int:
    return int(client.query(f"SELECT count() FROM `{table}`").result_rows[0][0])  # noqa: S608 - the name of a table


def _column_names(client: Client, table: str) -> list[str]:
    return [row[0] for row in client.query(f"DESCRIBE TABLE `{table}`").result_rows]


def _checked_hours(table: str, frame: pl.DataFrame, hours: Sequence[datetime]) -> list[datetime]:
    ordered = sorted({hour.astimezone(UTC) for hour in hours})
    for hour in ordered:
        if (hour.minute, hour.second, hour.microsecond) != (0, 0, 0):
            raise StoreError(f"hours must start on the hour, was {hour.isoformat()}; truncate it")
    if frame.is_empty():
        return ordered
    kind = frame.schema["snapshot_ts"]
    if not isinstance(kind, pl.Datetime) or kind.time_zone != "UTC":
        raise StoreError(f"{table}.snapshot_ts must be a Datetime in UTC, was {kind}; convert it")
    outside = frame.filter(~pl.col("snapshot_ts").dt.truncate("1h").is_in(ordered))
    if not outside.is_empty():
        raise StoreError(
            f"{outside.height} rows for {table} lie outside the hours being published, the first "
            "at "
            f"{outside['snapshot_ts'][0].isoformat()}; publish their hours too or leave them out"
        )
    return ordered


def _publish_day(
    client: Client,
    table: str,
    day: datetime,
    fill: Fill,
    hours: list[datetime],
    audit: Audit | None,
) -> list[PublishedHour]:
    with _staging(client, table, day) as (staging, sorting_key):
        before = _newest_block(client, table, day)
        client.command(
            f"INSERT INTO `{staging}` SELECT * FROM `{table}` "  # noqa: S608 - names of tables
            "WHERE snapshot_ts >= {day:DateTime('UTC')} AND snapshot_ts < {end:DateTime('UTC')} "
            "AND toStartOfHour(snapshot_ts) NOT IN {hours:Array(DateTime('UTC'))}",
            parameters={"day": day, "end": day + timedelta(days=1), "hours": hours},
            settings={"max_insert_threads": 1, "max_threads": 1},  # keeps equal keys in order
        )
        sent = fill(staging, sorting_key)
        done = _contents(client, staging, hours)
        written = sum(hour.rows for hour in done)
        if written != sent:
            raise StoreError(
                f"staging of {table} holds {written} rows of these hours of {sent} sent; nothing "
                "was published"
            )
        if audit is not None:
            audit(staging)
        if _newest_block(client, table, day) != before:
            raise StoreError(
                f"another writer changed {table} of {day:%Y-%m-%d} during publication; nothing was "
                "published, run it again (one writer per table and day)"
            )
        partition = f"{day:%Y%m%d}"
        if _newest_block(client, staging, day):
            client.command(f"ALTER TABLE `{table}` REPLACE PARTITION {partition} FROM `{staging}`")
        else:  # an empty source would be refused
            client.command(f"ALTER TABLE `{table}` DROP PARTITION {partition}")
        return done


@contextmanager
def _staging(client: Client, table: str, day: datetime) -> Iterator[tuple[str, list[str]]]:
    """Give a fresh staging table with the keys of `table`; drop it afterwards."""
    keys = client.query(
        "SELECT partition_key, sorting_key FROM system.tables "
        "WHERE database = currentDatabase() AND name = {table:String}",
        parameters={"table": table},
    ).result_rows
    if not keys:
        raise StoreError(f"there is no table {table}; run `vol migrate`")
    partition_key, sorting_key = keys[0]
    if partition_key != "toYYYYMMDD(snapshot_ts)":
        raise StoreError(
            f"{table} must be partitioned by toYYYYMMDD(snapshot_ts), was by "
            f"{partition_key or 'nothing'}"
        )
    staging = f"{table}{_STAGING_MARK}{day:%Y%m%d}_{secrets.token_hex(4)}"
    # a plain MergeTree on this server, also where the table itself is replicated
    client.command(
        f"CREATE TABLE `{staging}` AS `{table}` ENGINE = MergeTree "
        f"PARTITION BY {partition_key} ORDER BY ({sorting_key})"
    )
    try:
        yield staging, sorting_key.split(", ")
    finally:
        client.command(f"DROP TABLE IF EXISTS `{staging}` SYNC")


def _newest_block(client: Client, table: str, day: datetime) -> int:
    """Return the newest block number of a day: every insert and swap raises it, merges do not."""
    newest = client.query(
        "SELECT max(max_block_number) FROM system.parts WHERE active AND database = "
        "currentDatabase() AND table = {table:String} AND partition = {day:String}",
        parameters={"table": table, "day": f"{day:%Y%m%d}"},
    ).result_rows
    return int(newest[0][0])


def _contents(client: Client, table: str, hours: list[datetime]) -> list[PublishedHour]:
    found = {
        hour: (rows, checksum)
        for hour, rows, checksum in client.query(
            "SELECT toStartOfHour(snapshot_ts) AS hour, count(), sum(cityHash64(tuple(*))) "  # noqa: S608 - the name of a table
            f"FROM `{table}` WHERE hour IN {{hours:Array(DateTime('UTC'))}} GROUP BY hour",
            parameters={"hours": hours},
            tz_mode="aware",
        ).result_rows
    }
    return [PublishedHour(hour, *found.get(hour, (0, 0))) for hour in hours]


def record_publication(
    client: Client,
    table: str,
    hours: list[PublishedHour],
    lineage: tuple[str, str, str],
    now: datetime,
) -> None:
    """Write what was published to ``derivation_runs``.

    Parameters
    ----------
    client, table
        Where.
    hours
        What.
    lineage
        Run, code version and hash of the parameters.
    now
        Time of publication.
    """
    run_id, code_version, parameters_hash = lineage
    frame = pl.DataFrame(
        {
            "table_name": [table] * len(hours),
            "hour_ts": [item.hour for item in hours],
            "run_id": [run_id] * len(hours),
            "code_version": [code_version] * len(hours),
            "parameters_hash": [parameters_hash] * len(hours),
            "rows": [item.rows for item in hours],
            "content_checksum": [item.content_checksum for item in hours],
            "published_ts": [now] * len(hours),
        },
        schema_overrides={"rows": pl.UInt64, "content_checksum": pl.UInt64},
    )
    first = hours[0].hour.strftime("%Y%m%dT%H")
    insert_frame(
        client, "derivation_runs", frame, token=f"{run_id}:{table}:{first}:{now.isoformat()}"
    )


def _drop_abandoned(client: Client, table: str, now: datetime) -> None:
    """Drop staging tables that a crashed publication left behind."""
    left = client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() "
        "AND startsWith(name, {prefix:String}) AND metadata_modification_time < "
        "{before:DateTime('UTC')}",
        parameters={"prefix": f"{table}{_STAGING_MARK}", "before": now - _ABANDONED_AFTER},
    ).result_rows
    for (name,) in left:
        client.command(f"DROP TABLE IF EXISTS `{name}` SYNC")
