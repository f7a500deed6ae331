"""Keeping Dagster's own storage small.

Dagster never forgets a run, nor an event without one.  What says which hours are materialised is
the newest event of each hour, so those stay, and the runs that they belong to; everything else that
is finished and old goes.
"""

import sqlite3
from contextlib import closing
from datetime import timedelta

import dagster as dg
import sqlalchemy as sql
from dagster._core.storage.event_log import (
    SqlEventLogStorage,
    SqlEventLogStorageTable,
    SqliteEventLogStorage,
)

from vol_platform.clock import utc_now
from vol_platform.settings import Settings

__all__ = ["maintenance_job", "maintenance_schedule", "prune_runless_events", "prune_runs"]

_PAGE = 200
_PRUNED_EVENTS = (
    dg.DagsterEventType.ASSET_MATERIALIZATION.value,
    dg.DagsterEventType.ASSET_OBSERVATION.value,
)
_FINISHED = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


def prune_runs(instance: dg.DagsterInstance, older_than: timedelta) -> tuple[int, int]:
    """Delete finished old runs that are not the newest of any asset partition; condense the others.

    Of a run that an hour needs only its materialisations are needed: what steps, checks and plans
    left in the log goes, about half of it.

    Parameters
    ----------
    instance
        Whose runs.
    older_than
        Age from which a run may go.

    Returns
    -------
    tuple of int
        Runs that were deleted, and runs that were condensed.
    """
    finished = dg.RunsFilter(statuses=list(_FINISHED), created_before=utc_now() - older_than)
    deleted = condensed = 0
    cursor: str | None = None
    while records := instance.get_run_records(finished, limit=_PAGE, cursor=cursor, ascending=True):
        for record in records:
            run_id = record.dagster_run.run_id
            if _holds_newest(instance, run_id):
                condensed += _condense(instance, run_id)
                cursor = run_id
            else:
                instance.delete_run(run_id)
                deleted += 1
        if len(records) < _PAGE:
            break
    return deleted, condensed


def _condense(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Delete the events of a run but its materialisations; tell whether there were any."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return False
    event = SqlEventLogStorageTable.c
    kind = event.dagster_event_type
    needed = dg.DagsterEventType.ASSET_MATERIALIZATION.value
    statement = sql.delete(SqlEventLogStorageTable).where(
        event.run_id == run_id, sql.or_(kind.is_(None), kind != needed)
    )
    found = 0
    for connect in (storage.index_connection, lambda: storage.run_connection(run_id)):
        with connect() as connection:
            found = max(found, connection.execute(statement).rowcount)
    if found and isinstance(storage, SqliteEventLogStorage):
        # The file of a run gives its room back; that of all runs fills it again.
        with closing(sqlite3.connect(storage.path_for_shard(run_id))) as file:
            file.execute("VACUUM")
    return found > 0


def prune_runless_events(instance: dg.DagsterInstance, older_than: timedelta) -> int:
    """Delete old events without a run that are not the newest of their asset and partition.

    Dagster has no call for it.  Materialisations and observations go; check evaluations, of which
    the feed sensor writes a few an hour, stay.

    Parameters
    ----------
    instance
        Whose events; its storage must be one of Dagster's own, SQLite or Postgres.
    older_than
        Age from which an event may go.

    Returns
    -------
    int
        Deleted events.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    event = SqlEventLogStorageTable.c
    is_prunable = sql.and_(event.run_id == "", event.dagster_event_type.in_(_PRUNED_EVENTS))
    newest = (
        sql.select(sql.func.max(event.id))
        .where(is_prunable)
        .group_by(event.dagster_event_type, event.asset_key, event.partition)
    )
    # Stored as naive UTC.
    before = (utc_now() - older_than).replace(tzinfo=None)
    statement = sql.delete(SqlEventLogStorageTable).where(
        is_prunable, event.timestamp < before, event.id.not_in(newest)
    )
    deleted = 0
    # SQLite keeps the events of a run in a file of its own and those of assets in an index too.
    for connect in (storage.index_connection, lambda: storage.run_connection("")):
        with connect() as connection:
            deleted = max(deleted, connection.execute(statement).rowcount)
    return deleted


def _holds_newest(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a materialisation of the run is the newest of its asset and partition."""
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    for event in events:
        materialisation = event.asset_materialization
        if materialisation is None:
            continue
        newest = instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=materialisation.asset_key,
                asset_partitions=(
                    [materialisation.partition] if materialisation.partition else None
                ),
            ),
            limit=1,
        )
        if newest.records and newest.records[0].run_id == run_id:
            return True
    return False


def maintenance_job() -> dg.JobDefinition:
    """Return the job that prunes runs."""

    @dg.op(description="Deletes finished old runs and old events that no hour needs.")
    def prune(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> None:
        days = settings.record.run_retention_days
        deleted, condensed = prune_runs(context.instance, timedelta(days=days))
        events = prune_runless_events(context.instance, timedelta(days=days))
        context.log.info(
            "older than %s days: deleted %s runs and %s events, condensed %s runs",
            days,
            deleted,
            events,
            condensed,
        )

    @dg.job(
        name="maintenance",
        description="Keeps Dagster's storage small.",
        executor_def=dg.in_process_executor,
        tags={"dagster/max_runtime": "1800"},
    )
    def maintenance() -> None:
        prune()

    return maintenance


def maintenance_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Return the daily schedule, shortly after the exchange's expiry at 08:00 UTC."""
    return dg.ScheduleDefinition(
        name="daily_maintenance",
        job=job,
        cron_schedule="40 8 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Prunes runs and events that are older than the retention.",
    )
