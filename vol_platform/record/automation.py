"""When the record moves by itself.

An hour of raw ticks is reported closed (a runless materialisation of ``raw/options_quotes``), again
when a gap in it is repaired; each report makes exactly that hour of the whole chain run once.  This
is an explicit condition and not ``eager()``, which loses an update that lands between a run and the
next tick.
"""

from datetime import timedelta

import dagster as dg

from vol_platform.record.raw_assets import HOURLY_RAW, raw_key
from vol_platform.settings import RecordSettings

__all__ = ["FINALISE", "HOURLY_GROUPS", "automation_sensor"]

HOURLY_GROUPS = ("record", "staging", "marts")
"""Groups whose assets have hours; one run computes an hour of all of them."""

_TICK_SECONDS = 4
"""The daemon looks every five seconds; asking for five would make it every second look."""


def FINALISE(record: RecordSettings) -> dg.AutomationCondition[dg.AssetKey]:  # noqa: N802 - the design's name
    """Return the condition that finalises closed hours of the automation window.

    Parameters
    ----------
    record
        `automation_window_hours`: older hours are left to the ingest sensor's run requests.
    """
    # Metadata and other tables without hours never hold an hour back, nor set one off.
    # Named one by one: `AssetSelection.all()` leaves external assets out, and so every trigger.
    hourly = dg.AssetSelection.groups("record") | dg.AssetSelection.assets(
        *map(raw_key, HOURLY_RAW)
    )
    updated = dg.AutomationCondition.any_deps_updated().allow(hourly)
    missing = dg.AutomationCondition.any_deps_missing().allow(hourly)
    # Hours that were reported before the first evaluation ever would otherwise wait for ever.
    first_look = dg.AutomationCondition.initial_evaluation() & dg.AutomationCondition.missing()
    return (
        dg.AutomationCondition.in_latest_time_window(
            timedelta(hours=record.automation_window_hours)
        )
        & ((dg.AutomationCondition.newly_missing() | updated).since_last_handled() | first_look)
        & ~missing
        # A run tells of its assets one after another: a reader of two of them waits for both.
        & ~dg.AutomationCondition.any_deps_in_progress().allow(hourly)
        & ~dg.AutomationCondition.in_progress()
    ).with_label("finalise closed hours")


def automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """Return the sensor that evaluates the conditions of the record."""
    return dg.AutomationConditionSensorDefinition(
        "finalise_hours",
        target=dg.AssetSelection.groups(*HOURLY_GROUPS),
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs the record for hours whose raw ticks were reported complete.",
    )
