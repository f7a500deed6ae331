"""The whole record as one set of Dagster definitions."""

import dagster as dg

from vol_platform.record.alert_sensor import alert_sensor, run_failure_alert
from vol_platform.record.archive_assets import (
    archive_assets,
    archive_checks,
    archive_job,
    archive_schedule,
)
from vol_platform.record.assets import record_assets
from vol_platform.record.automation import automation_sensor
from vol_platform.record.backup_assets import (
    backup_asset,
    backup_check,
    backup_job,
    backup_schedule,
)
from vol_platform.record.daily_summary import summary_job, summary_schedule
from vol_platform.record.expiry_sensor import expiry_sensor
from vol_platform.record.feed_checks import feed_checks, feed_sensor
from vol_platform.record.freshness import with_freshness
from vol_platform.record.history_assets import history_assets, history_job, history_schedule
from vol_platform.record.ingest_sensor import ingest_sensor
from vol_platform.record.maintenance import maintenance_job, maintenance_schedule
from vol_platform.record.model_assets import hourly_model_assets, hourly_selection
from vol_platform.record.partitions import hourly_partitions
from vol_platform.record.raw_assets import raw_assets
from vol_platform.settings import Settings

__all__ = ["build_definitions"]


def build_definitions(settings: Settings) -> dg.Definitions:
    """Build the definitions of the record.

    Parameters
    ----------
    settings
        Shape of the record and the resource of every asset, check and sensor.
    """
    partitions = hourly_partitions(settings.record)
    record = record_assets(settings, partitions)
    models = hourly_model_assets(settings, partitions)
    whole = history_assets()
    fresh, rows_match_ingest, *hourly = [*feed_checks(), *archive_checks()]
    checks = [fresh, rows_match_ingest, *hourly, backup_check()]
    maintenance, history = maintenance_job(), history_job(hourly)
    archive = archive_assets(settings)
    archiving, backing_up = archive_job(), backup_job()
    watched = [
        *record.check_keys,
        *models.check_keys,
        *whole.check_keys,
        *(key for check in checks for key in check.check_keys),
    ]
    summary = summary_job(watched)
    return dg.Definitions(
        assets=dg.map_asset_specs(
            with_freshness,
            [*raw_assets(partitions), record, models, whole, archive, backup_asset()],
        ),
        asset_checks=checks,
        jobs=[
            maintenance,
            history,
            archiving,
            backing_up,
            summary,
            dg.define_asset_job(
                "record_hours",
                selection=hourly_selection(),
                description="Every derived table and hourly model of the chosen hours.",
                tags={"dagster/max_runtime": "7200"},
            ),
        ],
        schedules=[
            maintenance_schedule(maintenance),
            history_schedule(history),
            archive_schedule(settings, archiving),
            backup_schedule(settings, backing_up),
            summary_schedule(summary),
        ],
        sensors=[
            automation_sensor(),
            ingest_sensor(settings),
            feed_sensor(),
            expiry_sensor(),
            alert_sensor(watched),
            run_failure_alert(),
        ],
        resources={"settings": settings},
        executor=dg.in_process_executor,
    )
