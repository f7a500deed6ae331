"""Keeping Dagster's own storage small.

Dagster never forgets a run, nor an event without one.  What says which hours are materialised is
the newest event of each hour, so those stay; everything else that is finished and old goes.
"""

from datetime import timedelta

import dagster as dg
import sqlalchemy as sql
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable

from vol_platform.clock import utc_now
from vol_platform.settings import Settings

__all__ = ["maintenance_job", "maintenance_schedule", "prune_runless_events", "prune_runs"]

_BATCH = 500
_PRUNED_EVENTS = (
    dg.DagsterEventType.ASSET_MATERIALIZATION.value,
    dg.DagsterEventType.ASSET_OBSERVATION.value,
)
_FINISHED = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


def prune_runs(instance: dg.DagsterInstance, older_than: timedelta, limit: int = _BATCH) -> int:
    """Delete finished old runs that are not the newest of any asset partition.

    Parameters
    ----------
    instance
        Whose runs.
    older_than
        Age from which a run may go.
    limit
        Runs to look at, oldest first, so that one call stays short.

    Returns
    -------
    int
        Deleted runs.
    """
    records = instance.get_run_records(
        dg.RunsFilter(statuses=list(_FINISHED), created_before=utc_now() - older_than),
        limit=limit,
        ascending=True,
    )
    deleted = 0
    for record in records:
        if not _holds_newest(instance, record.dagster_run.run_id):
            instance.delete_run(record.dagster_run.run_id)
            deleted += 1
    return deleted


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
        deleted = prune_runs(context.instance, timedelta(days=days))
        events = prune_runless_events(context.instance, timedelta(days=days))
        context.log.info("deleted %s runs and %s events older than %s days", deleted, events, days)

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
