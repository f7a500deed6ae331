"""What yesterday was: one message a day, so that silence never has to be read as good news."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg
from clickhouse_connect.driver.client import Client

from vol_platform import alerts
from vol_platform.clock import utc_now
from vol_platform.record.alert_sensor import check_results
from vol_platform.settings import Settings
from vol_platform.store.client import connect

__all__ = ["day_summary", "summary_job", "summary_schedule"]

_WHOLE_DAY_SNAPSHOTS = 1440
_FEW_SNAPSHOTS = 0.99
_QUALITY = """
SELECT currency, sum(snapshots) AS snapshots, sum(expiries) AS expiries, sum(refused) AS refused,
    sum(repaired) AS repaired, avg(mean_completeness) AS completeness, median(median_rmse) AS rmse,
    sum(gap_seconds) AS gap_seconds, max(dead_letters) AS dead_letters
FROM mart_data_quality
WHERE toDate(snapshot_ts) = {day:Date}
GROUP BY currency ORDER BY currency
"""
_LEVELS = """
SELECT currency, argMin(vol, snapshot_ts) AS open_vol, argMax(vol, snapshot_ts) AS close_vol,
    min(vol) AS low_vol, max(vol) AS high_vol
FROM variance_index
WHERE toDate(snapshot_ts) = {day:Date}
GROUP BY currency
"""


def day_summary(client: Client, day: date, failing: list[str]) -> alerts.Alert:
    """Say in a few lines what a day brought, market by market.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    day
        UTC day.
    failing
        Names of the checks that do not pass now.

    Returns
    -------
    Alert
        A warning when a market has fewer than 99 % of the day's snapshots, or a check fails.
    """
    parameters = {"day": day.isoformat()}
    # Its table is made with its first hour.
    quality = (
        list(client.query(_QUALITY, parameters=parameters).named_results())
        if client.command("EXISTS TABLE mart_data_quality")
        else []
    )
    levels = {
        row["currency"]: row for row in client.query(_LEVELS, parameters=parameters).named_results()
    }
    lines = [_line(row, levels.get(row["currency"])) for row in quality]
    if not lines:
        cure = f"vol backfill --from {day}T00 --to {day}T23 --missing"
        lines = [f"no hour of the day was published; `{cure}` computes it"]
    lines.append(f"{len(failing)} checks fail: {', '.join(failing)}" if failing else "checks pass")
    whole = bool(quality) and all(
        row["snapshots"] >= _FEW_SNAPSHOTS * _WHOLE_DAY_SNAPSHOTS for row in quality
    )
    return alerts.Alert(
        key=f"summary:{day.isoformat()}",
        title=f"Summary of {day.isoformat()}",
        text="\n".join(lines),
        severity="info" if whole and not failing else "warning",
    )


def _line(row: Mapping[str, Any], level: Mapping[str, Any] | None) -> str:
    parts = [
        f"{row['currency']}: {row['snapshots']} of {_WHOLE_DAY_SNAPSHOTS} snapshots",
        f"{row['refused']} of {row['expiries']} expiries refused, {row['repaired']} repaired",
        f"gaps {row['gap_seconds']:.0f} s, {row['dead_letters']} dead letters at most an hour",
    ]
    if row["completeness"] is not None:
        parts.append(f"{row['completeness']:.1%} of options fresh")
    if row["rmse"] is not None:
        parts.append(f"RMSE {row['rmse']:.2%} of volatility")
    if level is not None:
        parts.append(
            "30-day index {open_vol:.1%} to {close_vol:.1%}, between {low_vol:.1%} and "
            "{high_vol:.1%}".format_map(level)
        )
    return "; ".join(parts)


def summary_job(keys: list[dg.AssetCheckKey]) -> dg.JobDefinition:
    """Return the job that sends the summary of the day before.

    Parameters
    ----------
    keys
        Checks that it counts.
    """

    @dg.op(description="Sends what the record and the checks say of yesterday.")
    def summarise(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> None:
        failing = [one.name for one in check_results(context.instance, keys) if not one.passed]
        with connect(settings) as client:
            summary = day_summary(client, (utc_now() - timedelta(days=1)).date(), failing)
        context.log.info(summary.message())
        alerts.notify(settings, summary)

    @dg.job(
        name="summarise_day",
        description="One message a day: snapshots, fits, gaps, index, failing checks.",
        executor_def=dg.in_process_executor,
        tags={"dagster/max_runtime": "600"},
    )
    def summarise_day() -> None:
        summarise()

    return summarise_day


def summary_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Return the daily schedule: when the last hour of the day has been finalised."""
    return dg.ScheduleDefinition(
        name="daily_summary",
        job=job,
        cron_schedule="50 0 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Sends the summary of the day before.",
    )
