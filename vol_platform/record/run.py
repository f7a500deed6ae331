"""Running the record's assets in this process: imports, validation, tests."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime

import dagster as dg

from vol_platform.clock import utc_now
from vol_platform.record.assets import record_assets, record_key
from vol_platform.record.missing import hours_of_run, missing_hours
from vol_platform.record.model_assets import hourly_model_assets, hourly_selection
from vol_platform.record.partitions import (
    contiguous_ranges,
    hour_of,
    hourly_partitions,
    partition_key,
    start_of_hour,
)
from vol_platform.record.raw_assets import raw_assets
from vol_platform.settings import Settings

__all__ = ["HoursReport", "materialise_hours"]

_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The report says what happened; Dagster's own lines belong to its event log."""


@dataclass
class HoursReport:
    """What became of the hours.

    Attributes
    ----------
    succeeded
        Hours whose every table was published.
    failed
        Why not, by hour.
    failed_checks
        ``record/<table>/<check>`` of every check that did not pass, by hour.
    """

    succeeded: list[datetime] = field(default_factory=list)
    failed: dict[datetime, str] = field(default_factory=dict)
    failed_checks: dict[datetime, list[str]] = field(default_factory=dict)


def materialise_hours(
    settings: Settings,
    hours: Iterable[datetime],
    *,
    names: Iterable[str] | None = None,
    instance: dg.DagsterInstance | None = None,
    progress: Callable[[int, int], None] | None = None,
    only_missing: bool = False,
    with_models: bool = False,
) -> HoursReport:
    """Materialise hours of the record in this process.

    The same assets, checks and writes as in a launched run, without its start-up seconds.

    Parameters
    ----------
    settings
        Where ClickHouse is, which quotes count, how many hours go into one run.
    hours
        Instants whose hours are wanted; every hour runs once, consecutive ones together.
    names
        Derivations to materialise; None is all.
    instance
        Where runs and events are kept; None keeps them nowhere.
    progress
        Called as ``progress(hours done, hours wanted)`` after each hour, or after each day when
        several processes share the days.
    only_missing
        Leave out the hours that today's code has published since their ticks last changed: how a
        backfill that was interrupted goes on.
    with_models
        Compute the hourly SQL models too.

    Returns
    -------
    HoursReport
        A failed hour does not stop the others.
    """
    partitions = hourly_partitions(settings.record)
    done: set[datetime] = set()  # a day that is begun again tells its hours again

    def hour_is_done(hour: datetime) -> None:
        done.add(hour)
        if progress is not None:
            progress(len(done), len(wanted))

    selection: dg.AssetSelection = (
        dg.AssetSelection.groups("record")
        if names is None
        else dg.AssetSelection.assets(*map(record_key, names))
    )
    models = [hourly_model_assets(settings, partitions)] if with_models else []
    if with_models:
        selection |= hourly_selection()
    report = HoursReport()
    wanted = {start_of_hour(hour) for hour in hours}
    if only_missing:
        wanted = missing_hours(settings, wanted, names)
    # Hours of recorded boards lie apart, a run each: a backfill would draw every one of them.
    assets = record_assets(settings, partitions, hour_is_done, with_pictures=len(wanted) == 1)
    job = dg.Definitions(
        assets=[*raw_assets(partitions), assets, *models],
        jobs=[dg.define_asset_job("record_hours", selection=selection)],
        resources={"settings": settings},
        executor=dg.in_process_executor,
    ).resolve_job_def("record_hours")
    first, now = settings.record.start, utc_now()
    for hour in sorted(hour for hour in wanted if not first <= hour <= now):
        report.failed[hour] = (
            f"hour {partition_key(hour)} cannot be addressed: the record goes from "
            f"{partition_key(first)} to now; set VOL_RECORD__START earlier if it should hold it"
        )
    for group in contiguous_ranges(wanted - report.failed.keys(), settings.record.hours_per_run):
        _run(job, group, instance, report, settings)
    return report


def _run(
    job: dg.JobDefinition,
    group: tuple[datetime, ...],
    instance: dg.DagsterInstance | None,
    report: HoursReport,
    settings: Settings,
) -> None:
    tags = {_RANGE_START: partition_key(group[0]), _RANGE_END: partition_key(group[-1])}
    kept = nullcontext(instance) if instance is not None else dg.DagsterInstance.ephemeral()
    with kept as where:
        result = job.execute_in_process(
            run_config=_QUIET, tags=tags, instance=where, raise_on_error=False
        )
    for evaluation in result.get_asset_check_evaluations():
        failed_hours = evaluation.metadata.get("failed_hours")
        if not evaluation.passed and failed_hours is not None:
            name = f"{evaluation.asset_key.to_user_string()}/{evaluation.check_name}"
            for key in str(failed_hours.value).split(", "):
                report.failed_checks.setdefault(hour_of(key), []).append(name)
    if result.success:
        report.succeeded.extend(group)
        return
    selected = len(job.asset_layer.selected_asset_keys)
    published = hours_of_run(settings, result.run_id, tables=selected)
    report.succeeded.extend(hour for hour in group if hour in published)
    failures = [_root_cause(event) for event in result.all_events if event.is_step_failure]
    for hour in group:
        if hour not in published:
            report.failed[hour] = "; ".join(failures)


def _root_cause(event: dg.DagsterEvent) -> str:
    """Return the innermost error of a failed step in one line."""
    error = event.step_failure_data.error
    if error is None:
        return event.message or "the step failed without saying why"
    while error.cause is not None:
        error = error.cause
    return " ".join(error.message.split())
