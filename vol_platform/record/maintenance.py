"""Keeping Dagster's own storage small.

Dagster never forgets a run.  What says which hours are materialised is the newest event of each
hour, so those runs stay; everything else that is finished and old goes.
"""

from datetime import timedelta

import dagster as dg

from vol_platform.clock import utc_now
from vol_platform.settings import Settings

__all__ = ["maintenance_job", "maintenance_schedule", "prune_runs"]

_BATCH = 500
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

    @dg.op(description="Deletes finished old runs that no hour needs.")
    def prune(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> None:
        days = settings.record.run_retention_days
        deleted = prune_runs(context.instance, timedelta(days=days))
        context.log.info("deleted %s runs older than %s days", deleted, days)

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
        description="Prunes finished runs that are older than the retention.",
    )
