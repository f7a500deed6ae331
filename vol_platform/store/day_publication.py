"""One day of a table, built beside it and swapped in at once.

The day partition is built in a staging table (the new hours as they come, then the hours of the day
that are not being written), audited there, and swapped in with ``REPLACE PARTITION``, which is
atomic.  A crash at any moment leaves the old day; what it leaves of staging is removed by a later
publication.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, NamedTuple

import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.clock import Clock, utc_now
from vol_platform.errors import StoreError
from vol_platform.store.client import insert_frame

__all__ = [
    "Audit",
    "DayPublication",
    "Lineage",
    "PublishedHour",
    "checked_hours",
    "record_publication",
]

Audit = Callable[[str], None]
"""Gets the staging table's name before anybody sees the rows; raises to refuse them."""

_STAGING_MARK = "__staging_"
_STAGING_SETTINGS = (
    # The rows are merged once, where they end up; nobody reads statistics of columns.
    "auto_statistics_types = '', max_bytes_to_merge_at_min_space_in_pool = 1, "
    "max_bytes_to_merge_at_max_space_in_pool = 1"
)
_ABANDONED_AFTER = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class PublishedHour:
    """What one hour of a table holds after it was published."""

    hour: datetime
    rows: int
    content_checksum: int
    """Order-independent hash of the rows; equal rows give an equal one."""


class Lineage(NamedTuple):
    """What ``derivation_runs`` keeps of a publication besides its rows."""

    run_id: str
    code_version: str
    parameters_hash: str


class DayPublication:
    """New hours of one day of a table: collected in staging, swapped in together.

    A context manager; leaving it drops the staging table, and with it whatever was not published.
    Methods may be called from another thread, one at a time.

    Parameters
    ----------
    client
        From `vol_platform.store.client.connect`.
    table
        A table partitioned by day of its column ``snapshot_ts``.
    day
        Midnight, UTC.
    clock
        Time of publication.
    """

    def __init__(
        self, client: Client, table: str, day: datetime, *, clock: Clock = utc_now
    ) -> None:
        self.table = table
        self.day = day
        self._client = client
        self._clock = clock
        self._staging = ""
        self._sorting_key: list[str] = []
        self._rows: dict[datetime, int] = {}

    def __enter__(self) -> DayPublication:
        """Create the staging table; remove those that a crash left behind."""
        _drop_abandoned(self._client, self.table, self._clock())
        self._staging, self._sorting_key = _create_staging(self._client, self.table, self.day)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop the staging table."""
        self._client.command(f"DROP TABLE IF EXISTS `{self._staging}` SYNC")

    def add(self, frame: pl.DataFrame, hours: Sequence[datetime]) -> None:
        """Send all rows of some hours of the day; an hour without rows becomes empty.

        Raises
        ------
        StoreError
            A row lies outside `hours`, or an hour outside the day or added before.
        """
        ordered = checked_hours(self.table, frame, hours)
        self._check_new(ordered)
        if not frame.is_empty():
            keys = [name for name in self._sorting_key if name in frame.columns]
            insert_frame(self._client, self._staging, frame.sort(keys, maintain_order=True))
        self._rows.update(dict.fromkeys(ordered, 0))
        self._rows[ordered[0]] += frame.height

    def add_query(self, query: str, parameters: Mapping[str, Any], hour: datetime) -> None:
        """Take all rows of an hour from a query, inside the database.

        Parameters
        ----------
        query
            A SELECT that returns exactly the table's columns, by name.
        parameters
            Its parameters besides ``partition_start`` and ``partition_end``.
        hour
            Start of the hour.

        Raises
        ------
        StoreError
            The hour is of another day, or was added before.
        """
        self._check_new(checked_hours(self.table, pl.DataFrame(), [hour]))
        described = self._client.query(f"DESCRIBE TABLE `{self._staging}`").result_rows
        columns = ", ".join(f"`{row[0]}`" for row in described)
        before = self._staged_rows()
        self._client.command(
            f"INSERT INTO `{self._staging}` ({columns}) SELECT {columns} FROM (\n{query}\n)",  # noqa: S608 - names of tables and a checked model
            parameters={
                **parameters,
                "partition_start": hour,
                "partition_end": hour + timedelta(hours=1),
            },
        )
        self._rows[hour] = self._staged_rows() - before

    def _staged_rows(self) -> int:
        rows = self._client.query(f"SELECT count() FROM `{self._staging}`").result_rows  # noqa: S608 - the name of a table
        return int(rows[0][0])

    def _check_new(self, hours: Sequence[datetime]) -> None:
        for hour in hours:
            if hour.replace(hour=0) != self.day or hour in self._rows:
                raise StoreError(
                    f"hour {hour.isoformat()} of {self.table} cannot be added to "
                    f"{self.day:%Y-%m-%d}: it is of another day, or was added before"
                )

    def publish(self, lineage: Lineage, audit: Audit | None = None) -> list[PublishedHour]:
        """Swap the day in: the added hours are new, the others stay as they are.

        Parameters
        ----------
        lineage
            For ``derivation_runs``.
        audit
            Called with the staging table's name before the swap; an exception from it leaves the
            published rows as they were.

        Raises
        ------
        StoreError
            Rows were lost on the way, or another writer changed the day meanwhile (try again).
        """
        hours = sorted(self._rows)
        if not hours:
            return []
        before = _newest_block(self._client, self.table, self.day)
        if before:
            self._copy_other_hours(hours)
        done = _contents(self._client, self._staging, hours)
        written, sent = sum(hour.rows for hour in done), sum(self._rows.values())
        if written != sent:
            raise StoreError(
                f"staging of {self.table} holds {written} rows of these hours of {sent} sent; "
                "nothing was published"
            )
        if audit is not None:
            audit(self._staging)
        self._swap(before)
        record_publication(self._client, self.table, done, lineage, self._clock())
        return done

    def _copy_other_hours(self, hours: list[datetime]) -> None:
        end = self.day + timedelta(days=1)
        self._client.command(
            f"INSERT INTO `{self._staging}` SELECT * FROM `{self.table}` "  # noqa: S608 - names of tables
            "WHERE snapshot_ts >= {day:DateTime('UTC')} AND snapshot_ts < {end:DateTime('UTC')} "
            "AND toStartOfHour(snapshot_ts) NOT IN {hours:Array(DateTime('UTC'))}",
            parameters={"day": self.day, "end": end, "hours": hours},
            settings={"max_insert_threads": 1, "max_threads": 1},  # keeps equal keys in order
        )

    def _swap(self, before: int) -> None:
        if _newest_block(self._client, self.table, self.day) != before:
            raise StoreError(
                f"another writer changed {self.table} of {self.day:%Y-%m-%d} during publication; "
                "nothing was published, run it again (one writer per table and day)"
            )
        partition = f"{self.day:%Y%m%d}"
        if _newest_block(self._client, self._staging, self.day):
            self._client.command(
                f"ALTER TABLE `{self.table}` REPLACE PARTITION {partition} FROM `{self._staging}`"
            )
        elif before:  # an empty source would be refused
            self._client.command(f"ALTER TABLE `{self.table}` DROP PARTITION {partition}")


def checked_hours(table: str, frame: pl.DataFrame, hours: Sequence[datetime]) -> list[datetime]:
    """Return the hours in UTC, sorted and each once; `StoreError` when a row is of another one."""
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


def _create_staging(client: Client, table: str, day: datetime) -> tuple[str, list[str]]:
    """Create an empty staging table with the keys of `table`; return its name and sorting key."""
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
        f"PARTITION BY {partition_key} ORDER BY ({sorting_key}) SETTINGS {_STAGING_SETTINGS}"
    )
    return staging, sorting_key.split(", ")


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
        client,
        "derivation_runs",
        frame,
        token=f"{run_id}:{table}:{first}:{now.isoformat()}",
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
