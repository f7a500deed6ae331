"""Failed checks and failed runs become messages.

A failed check does not fail its run, so nothing in Dagster tells anybody; this sensor reads the
newest outcome of every check, whoever reported it, and speaks when one changes.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from vol_platform import alerts
from vol_platform.errors import VolError
from vol_platform.settings import Settings

__all__ = ["alert_sensor", "check_results", "run_failure_alert"]

_CURSOR_VERSION = 1
_TICK_SECONDS = 9
_FINISHED = {"SUCCEEDED": True, "FAILED": False, "EXECUTION_FAILED": False}


def check_results(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey]
) -> list[alerts.CheckResult]:
    """Return the newest finished outcome of every check that has one.

    Parameters
    ----------
    instance
        Whose event log is read, in one query on any storage.
    keys
        Checks to look at.
    """
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    results = []
    for key, record in sorted(latest.items()):
        status = record.status.value
        if status not in _FINISHED:
            continue
        evaluation = record.evaluation
        severity: alerts.Severity = "warning"
        if evaluation is None or evaluation.severity == dg.AssetCheckSeverity.ERROR:
            severity = "critical"
        results.append(
            alerts.CheckResult(
                name=f"{key.asset_key.to_user_string()}/{key.name}",
                passed=_FINISHED[status],
                detail="the check itself failed to run"
                if evaluation is None
                else _detail(evaluation),
                severity=severity,
            )
        )
    return results


def _detail(evaluation: dg.AssetCheckEvaluation) -> str:
    values = {name: entry.value for name, entry in evaluation.metadata.items()}
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
        if isinstance(value, (int, float)) or name == "failed_hours"
    )


def alert_sensor(keys: Iterable[dg.AssetCheckKey]) -> dg.SensorDefinition:
    """Return the sensor that sends alerts about checks.

    Parameters
    ----------
    keys
        Checks that are watched.
    """
    watched = list(keys)

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends a message when a check fails, and when it passes again.",
    )
    def check_alerts(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.SensorResult:
        previous = _read_cursor(context.cursor)
        verdict = alerts.failed_checks(check_results(context.instance, watched), previous)
        state = dict(verdict.state)
        for alert in verdict.alerts:
            try:
                alerts.notify(settings, alert)
            except VolError as error:
                # Not delivered is not told: the next tick tries again.
                context.log.warning(str(error))
                _restore(state, previous, alert.key)
        return dg.SensorResult(cursor=json.dumps({"v": _CURSOR_VERSION, "state": state}))

    return check_alerts


def _restore(state: dict[str, str], previous: Mapping[str, str], key: str) -> None:
    if key in previous:
        state[key] = previous[key]
    else:
        state.pop(key, None)


def _read_cursor(text: str | None) -> dict[str, str]:
    try:
        loaded: Any = json.loads(text) if text else {}
    except ValueError:
        loaded = {}
    if not isinstance(loaded, dict) or loaded.get("v") != _CURSOR_VERSION:
        return {}
    return dict(loaded["state"])


def run_failure_alert() -> dg.SensorDefinition:
    """Return the sensor that sends an alert when a run fails."""

    @dg.run_failure_sensor(
        name="failed_runs",
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends a message when a run fails.",
    )
    def failed_runs(
        context: dg.RunFailureSensorContext, settings: dg.ResourceParam[Settings]
    ) -> None:
        run = context.dagster_run
        hours = run.tags.get("dagster/partition") or " to ".join(
            run.tags[tag]
            for tag in (
                "dagster/asset_partition_range_start",
                "dagster/asset_partition_range_end",
            )
            if tag in run.tags
        )
        steps = [event.message or "" for event in context.get_step_failure_events()]
        alerts.notify(
            settings,
            alerts.Alert(
                key=f"run:{run.job_name}:{hours}",
                title=f"Run failed: {run.job_name} {hours}".strip(),
                text="\n".join(steps) or context.failure_event.message or "no step failed",
                severity="critical",
            ),
        )

    return failed_runs
