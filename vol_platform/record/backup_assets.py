"""The backup as a Dagster asset: the whole database to S3 once a day, and its age as a check."""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from vol_platform.clock import utc_now
from vol_platform.record.archive_assets import ARCHIVE
from vol_platform.record.presentation import OWNER
from vol_platform.settings import Settings
from vol_platform.store.s3.backup import Backup, backups, forget_backups, make_backup
from vol_platform.store.s3.object_store import Bucket

__all__ = ["BACKUPS", "backup_age", "backup_asset", "backup_check", "backup_job", "backup_schedule"]

BACKUPS = dg.AssetKey(["archive", "backups"])
_OLDEST = timedelta(days=2)
"""A younger backup has to exist: the schedule is daily, and one may fail."""
_MANIFEST = dg.TableSchema(
    columns=[
        dg.TableColumn("name", "string", description="Time of the backup, UTC."),
        dg.TableColumn("base", "string", description="Full backup that it completes, or null."),
        dg.TableColumn("started_ts", "string", description="ISO 8601."),
        dg.TableColumn("finished_ts", "string", description="ISO 8601."),
        dg.TableColumn("files", "int", description="Files of the database."),
        dg.TableColumn("bytes", "int", description="Their size."),
        dg.TableColumn("stored_bytes", "int", description="What this backup itself holds of them."),
        dg.TableColumn("rows", "map", description="Rows by table, counted when it began."),
    ]
)
"""What is written beside each backup."""


def backup_asset() -> dg.AssetsDefinition:
    """Build the asset; each materialisation is a backup."""

    @dg.asset(
        key=BACKUPS,
        deps=[ARCHIVE],
        description=(
            "The whole database on S3 by ClickHouse's own BACKUP, what is derived included: full "
            "once a week, else what changed since. `vol backup restore` brings it back."
        ),
        group_name="archive",
        kinds={"s3", "clickhouse"},
        owners=[OWNER],
        tags={"vol/layer": "archive"},
        metadata={"dagster/column_schema": _MANIFEST},
        code_version="1",
        pool="archive",
        retry_policy=dg.RetryPolicy(
            max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
        ),
    )
    def backups_of_the_database(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult[Any]:
        backup = make_backup(settings)
        gone = forget_backups(settings, told=lambda name: context.log.info("deleting %s", name))
        return dg.MaterializeResult(
            metadata={
                "name": backup.name,
                "base": backup.base or "none: it is full",
                "files": backup.files,
                "bytes": backup.bytes,
                "stored_bytes": backup.stored_bytes,
                "rows": sum(backup.rows.values()),
                "deleted_backups": len(gone),
            }
        )

    return backups_of_the_database


def backup_age(found: list[Backup], now: datetime) -> dg.AssetCheckEvaluation:
    """Tell whether the newest backup is younger than two days.

    Parameters
    ----------
    found
        Oldest first.
    now
        The present moment.
    """
    newest = found[-1] if found else None
    age = None if newest is None else now - newest.started
    metadata: dict[str, Any] = {"backups": len(found), "oldest_allowed_hours": _OLDEST.days * 24}
    if newest is not None and age is not None:
        metadata |= {"newest": newest.name, "age_hours": age.total_seconds() / 3600}
    return dg.AssetCheckEvaluation(
        asset_key=BACKUPS,
        check_name="newest_backup_is_young",
        passed=age is not None and age <= _OLDEST,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
    )


def backup_check() -> dg.AssetChecksDefinition:
    """Return the check of the backups."""

    @dg.asset_check(
        asset=BACKUPS,
        name="newest_backup_is_young",
        description="The newest backup began at most two days ago.",
    )
    def newest_backup_is_young(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        found = backups(Bucket(settings.s3), settings.clickhouse.database)
        outcome = backup_age(found, utc_now())
        return dg.AssetCheckResult(
            passed=outcome.passed, severity=outcome.severity, metadata=outcome.metadata
        )

    return newest_backup_is_young


def backup_job() -> Any:
    """Return the job that backs the database up and looks at the backups."""
    return dg.define_asset_job(
        "back_up",
        selection=dg.AssetSelection.assets(BACKUPS),
        description="The whole database to S3.",
        tags={"dagster/max_runtime": "14400"},
    )


def backup_schedule(settings: Settings, job: Any) -> dg.ScheduleDefinition:
    """Return the daily schedule, after the archive; it runs by itself where S3 has a key."""
    has_key = bool(settings.s3.access_key.get_secret_value())
    return dg.ScheduleDefinition(
        name="daily_backup",
        job=job,
        cron_schedule="40 2 * * *",
        execution_timezone="UTC",
        default_status=(
            dg.DefaultScheduleStatus.RUNNING if has_key else dg.DefaultScheduleStatus.STOPPED
        ),
        description="Backs the database up: full once a week, else what changed since.",
    )
