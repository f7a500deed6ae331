"""How old may what be: every freshness policy, in this place.

A policy colours the asset in Dagster's pages and can be alerted on.  It is about reports, not about
ticks: whether the feed itself is alive is the check ``fresh`` of `feed_checks`, within a minute.
"""

from datetime import timedelta

import dagster as dg

__all__ = ["FRESHNESS", "with_freshness"]

FRESHNESS = {
    # An hour of ticks is reported complete shortly after it ends.
    "raw": dg.FreshnessPolicy.time_window(
        warn_window=timedelta(minutes=90), fail_window=timedelta(minutes=150)
    ),
    # The record and the hourly models follow within minutes.
    "hourly": dg.FreshnessPolicy.time_window(
        warn_window=timedelta(minutes=105), fail_window=timedelta(hours=3)
    ),
    # Histories, replaced models and the archive are made once a day.
    "daily": dg.FreshnessPolicy.time_window(
        warn_window=timedelta(hours=26), fail_window=timedelta(hours=50)
    ),
}


def with_freshness(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Return the asset with the policy of its kind; raw tables without hours have none."""
    is_hourly = isinstance(spec.partitions_def, dg.HourlyPartitionsDefinition)
    if spec.group_name == "raw":
        kind = "raw" if is_hourly else None
    elif spec.tags.get("vol/materialized") == "view":
        kind = None  # always as fresh as what it reads
    else:
        kind = "hourly" if is_hourly else "daily"
    return spec if kind is None else spec.replace_attributes(freshness_policy=FRESHNESS[kind])
