"""Which hours the record holds, by what ``derivation_runs`` says."""

from collections.abc import Iterable
from datetime import UTC, datetime

import polars as pl

from vol_platform.derivations.registry import REGISTRY
from vol_platform.record.engine import parameters_hash
from vol_platform.record.frames import context_of
from vol_platform.settings import Settings
from vol_platform.store.client import connect, query_frame

__all__ = ["hours_of_run", "missing_hours"]

_PUBLISHED = """
SELECT
    table_name,
    toDateTime64(hour_ts, 3, 'UTC') AS hour,
    argMax(code_version, published_ts) AS code_version,
    argMax(parameters_hash, published_ts) AS parameters_hash,
    max(published_ts) AS published
FROM derivation_runs
WHERE hour_ts >= {first:DateTime('UTC')} AND hour_ts <= {last:DateTime('UTC')}
GROUP BY table_name, hour_ts
"""
_CLOSED = """
SELECT toDateTime64(hour_ts, 3, 'UTC') AS hour, max(closed_ts) AS closed
FROM ingest_hours
WHERE hour_ts >= {first:DateTime('UTC')} AND hour_ts <= {last:DateTime('UTC')}
GROUP BY hour_ts
"""
_OF_RUN = """
SELECT hour_ts FROM derivation_runs
WHERE run_id = {run_id:String}
GROUP BY hour_ts
HAVING uniqExact(table_name) = {tables:UInt32}
"""
_INSTANT = "%Y-%m-%d %H:%M:%S"


def missing_hours(
    settings: Settings, hours: Iterable[datetime], names: Iterable[str] | None = None
) -> set[datetime]:
    """Return the hours of which a table was not published by today's code from today's ticks.

    Parameters
    ----------
    settings
        Where ClickHouse is, and the parameters that count.
    hours
        Starts of hours, UTC.
    names
        Derivations that are wanted; None is all.
    """
    wanted = set(hours)
    if not wanted:
        return wanted
    bounds = {"first": min(wanted).strftime(_INSTANT), "last": max(wanted).strftime(_INSTANT)}
    with connect(settings) as client:
        published = query_frame(client, _PUBLISHED, bounds)
        closed = query_frame(client, _CLOSED, bounds)
    chosen = None if names is None else set(names)
    derivations = [one for one in REGISTRY if chosen is None or one.name in chosen]
    current = pl.DataFrame(
        {
            "table_name": [one.table for one in derivations],
            "code_version": [one.code_version for one in derivations],
            "parameters_hash": [parameters_hash(context_of(settings))] * len(derivations),
        }
    )
    held = (
        published.join(current, on=current.columns, how="semi")
        .join(closed, on="hour", how="left")
        .filter(pl.col("closed").is_null() | (pl.col("closed") <= pl.col("published")))
        .group_by("hour")
        .len()
        .filter(pl.col("len") == len(derivations))
    )
    return wanted - set(held["hour"])


def hours_of_run(settings: Settings, run_id: str, *, tables: int) -> set[datetime]:
    """Return the hours of which a run published so many tables."""
    with connect(settings) as client:
        rows = client.query(
            _OF_RUN, parameters={"run_id": run_id, "tables": tables}, tz_mode="aware"
        ).result_rows
    return {hour.astimezone(UTC) for (hour,) in rows}
