"""Publishing hours of a table: all of them at once or not at all, and twice is like once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.clock import Clock, utc_now
from vol_platform.store.day_publication import (
    Audit,
    DayPublication,
    Lineage,
    PublishedHour,
    checked_hours,
    record_publication,
)

__all__ = ["Audit", "PublishedHour", "publish_hours", "publish_query", "record_publication"]


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
    ordered = checked_hours(table, frame, hours)
    lineage = Lineage(run_id, code_version, parameters_hash)
    published: list[PublishedHour] = []
    for day, of_day in groupby(ordered, key=lambda hour: hour.replace(hour=0)):
        hours_of_day = list(of_day)
        rows = frame.filter(pl.col("snapshot_ts").dt.truncate("1h").is_in(hours_of_day))
        with DayPublication(client, table, day, clock=clock) as publication:
            publication.add(rows, hours_of_day)
            published += publication.publish(lineage, audit)
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
    ordered = checked_hours(table, pl.DataFrame(), hours)
    lineage = Lineage(run_id, code_version, parameters_hash)
    published: list[PublishedHour] = []
    for day, hours_of_day in groupby(ordered, key=lambda hour: hour.replace(hour=0)):
        with DayPublication(client, table, day, clock=clock) as publication:
            for hour in hours_of_day:
                publication.add_query(query, parameters, hour)
            published += publication.publish(lineage, audit)
    return published
