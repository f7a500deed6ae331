"""The archive as a Dagster asset: a day of raw rows on S3, once a day, with its checks."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
from clickhouse_connect.driver.client import Client

from vol_platform.clock import utc_now
from vol_platform.record.presentation import OWNER, table_metadata
from vol_platform.record.raw_assets import raw_key, raw_names
from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform.store.s3.archive import archive_day
from vol_platform.store.s3.archive_tables import ARCHIVED, day_contents
from vol_platform.store.s3.object_store import Bucket

__all__ = [
    "ARCHIVE",
    "archive_assets",
    "archive_checks",
    "archive_job",
    "archive_schedule",
    "compare_archive",
    "unarchived_days",
]

ARCHIVE = dg.AssetKey(["archive", "raw_days"])
_COMPARED_DAYS = 3
_GRACE = timedelta(days=2)
"""A day may be without an archive for this long after its end."""
_SAMPLE = 10


def archive_assets(settings: Settings) -> dg.AssetsDefinition:
    """Build the daily asset of the archive.

    Parameters
    ----------
    settings
        The first day is that of the record.
    """
    days = dg.DailyPartitionsDefinition(
        start_date=settings.record.start.replace(hour=0), timezone="UTC"
    )

    @dg.asset(
        key=ARCHIVE,
        deps=[raw_key(table.name) for table in ARCHIVED if table.name in raw_names()],
        description=(
            "Raw rows and raw frames of a day as Parquet on S3, read back and compared before the "
            "manifest that names them is written."
        ),
        group_name="archive",
        kinds={"s3", "parquet"},
        owners=[OWNER],
        tags={"vol/layer": "archive"},
        metadata=table_metadata("archive_manifest"),
        partitions_def=days,
        code_version="1",
        pool="archive",
        retry_policy=dg.RetryPolicy(
            max_retries=3, delay=60, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
        ),
    )
    def raw_days(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult[Any]:
        day = date.fromisoformat(context.partition_key)
        with connect(settings) as client:
            manifest = archive_day(
                client, Bucket(settings.s3), day, frames=settings.s3.raw_frames_directory
            )
        return dg.MaterializeResult(
            metadata={
                "dagster/partition_row_count": sum(part.rows for part in manifest.parts),
                "objects": len(manifest.parts),
                "bytes": sum(part.bytes for part in manifest.parts),
                "manifest": dg.MetadataValue.json(manifest.as_json()),
            }
        )

    return raw_days


def compare_archive(client: Client, limit: int = _COMPARED_DAYS) -> dg.AssetCheckEvaluation:
    """Compare the newest archived days with what the store holds of them.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    limit
        Days, newest first.
    """
    days = [
        row[0]
        for row in client.query(
            "SELECT DISTINCT day FROM archive_manifest FINAL ORDER BY day DESC LIMIT {n:UInt32}",
            parameters={"n": limit},
        ).result_rows
    ]
    daily = {table.name for table in ARCHIVED if not table.until}
    compared, different = 0, []
    for day in days:
        archived = {
            table: (rows, checksum)
            for table, rows, checksum in client.query(
                "SELECT table_name, rows, content_checksum FROM archive_manifest FINAL "
                "WHERE day = {day:Date}",
                parameters={"day": day},
            ).result_rows
            if table in daily
        }
        stored = {name: found for name, found in day_contents(client, day).items() if name in daily}
        for table in sorted(archived.keys() | stored.keys()):
            compared += 1
            if archived.get(table) != stored.get(table):
                different.append((day, table, archived.get(table), stored.get(table)))
    lines = "\n".join(
        f"| {day} | {table} | {(held or (0,))[0]} | {(now or (0,))[0]} |"
        for day, table, held, now in different[:_SAMPLE]
    )
    return _evaluation(
        "archive_equals_store",
        failed=len(different),
        numbers={"days": len(days), "tables_compared": compared},
        sample=f"| day | table | rows archived | rows stored |\n|---|---|---|---|\n{lines}",
    )


def unarchived_days(client: Client, now: datetime) -> dg.AssetCheckEvaluation:
    """Find days of option quotes in the store that should be archived by now and are not.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    now
        The present moment.
    """
    before = (now.astimezone(UTC) - _GRACE).date()
    found = client.query(
        "SELECT toDate(partition) AS day, sum(rows) AS rows, day IN (SELECT day FROM "
        "archive_manifest WHERE table_name = 'options_quotes') AS is_archived FROM system.parts "
        "WHERE active AND database = currentDatabase() AND table = 'options_quotes' "
        "GROUP BY day HAVING day < {before:Date} ORDER BY day",
        parameters={"before": before},
    ).result_rows
    missing = [(day, rows) for day, rows, is_archived in found if not is_archived]
    lines = "\n".join(f"| {day} | {rows} |" for day, rows in missing[:_SAMPLE])
    return _evaluation(
        "old_days_are_archived",
        failed=len(missing),
        numbers={"days": len(found), "rows_at_risk": sum(rows for _, rows in missing)},
        sample=f"| day | rows |\n|---|---|\n{lines}",
    )


def _evaluation(
    name: str, *, failed: int, numbers: dict[str, int], sample: str
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=ARCHIVE,
        check_name=name,
        passed=failed == 0,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "failed": failed,
            **numbers,
            **({"sample": dg.MetadataValue.md(sample)} if failed else {}),
        },
    )


def _as_result(evaluation: dg.AssetCheckEvaluation) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=evaluation.passed, severity=evaluation.severity, metadata=evaluation.metadata
    )


def archive_checks() -> list[dg.AssetChecksDefinition]:
    """Return the checks of the archive."""

    @dg.asset_check(
        asset=ARCHIVE,
        name="archive_equals_store",
        description="The newest archived days hold exactly the rows that the store holds.",
    )
    def archive_equals_store(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        with connect(settings) as client:
            return _as_result(compare_archive(client))

    @dg.asset_check(
        asset=ARCHIVE,
        name="old_days_are_archived",
        description="Every day that ended two days ago or earlier is in the archive.",
    )
    def old_days_are_archived(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        with connect(settings) as client:
            return _as_result(unarchived_days(client, utc_now()))

    return [archive_equals_store, old_days_are_archived]


def archive_job() -> Any:
    """Return the job that archives days and checks the archive."""
    return dg.define_asset_job(
        "archive_day",
        selection=dg.AssetSelection.assets(ARCHIVE),
        description="Raw rows of a day to S3.",
        tags={"dagster/max_runtime": "14400"},
    )


def archive_schedule(settings: Settings, job: Any) -> Any:
    """Return the schedule of `archive_job`; it runs by itself where S3 has a key."""
    has_key = bool(settings.s3.access_key.get_secret_value())
    status = dg.DefaultScheduleStatus.RUNNING if has_key else dg.DefaultScheduleStatus.STOPPED
    return dg.build_schedule_from_partitioned_job(
        job, name="daily_archive", hour_of_day=1, minute_of_hour=40, default_status=status
    )
