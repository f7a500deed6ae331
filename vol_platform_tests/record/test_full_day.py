"""A whole day, from the exchange's messages to the summary that says that it was one."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from vol_platform.clock import utc_now
from vol_platform.derivations.registry import REGISTRY
from vol_platform.record import archive_assets, ingest_sensor
from vol_platform.record.daily_summary import day_summary
from vol_platform.record.engine import materialise
from vol_platform.record.feed_checks import rows_evaluation, segments_evaluation
from vol_platform.record.graph import build_definitions
from vol_platform.record.missing import missing_hours
from vol_platform.record.model_assets import hourly_selection
from vol_platform.record.partitions import partition_key
from vol_platform.settings import RecordSettings, Settings
from vol_platform.store.client import connect, query_frame
from vol_platform_tests.record.small_day import (
    DAY,
    EXPIRING,
    LISTED,
    MINUTES,
    SmallDay,
    fill_small_day,
)

HOURS = [DAY + timedelta(hours=number) for number in range(24)]
KEYS = [partition_key(hour) for hour in HOURS]
MIDNIGHT = DAY + timedelta(days=1, minutes=5)
"""When the sensors look: the day is over, and of it some hours are older than the window."""
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_NOW = ("surfaces", "options_greeks", "term_structure", "skew_metrics")


class Day:
    """The day in the hands of the sensors, the condition and the jobs, without a daemon."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings = settings
        self.instance = instance
        self.definitions = build_definitions(settings)
        self.sensor_cursor: str | None = None
        self.condition_cursor: dg.AssetDaemonCursor | None = None  # type: ignore[name-defined]  # not exported
        self.evaluations: list[dg.AssetCheckEvaluation] = []

    def sense(self) -> list[dg.RunRequest]:
        """Let the sensor report closed hours; return the runs that it requests."""
        context = dg.build_sensor_context(
            self.instance, self.sensor_cursor, resources={"settings": self.settings}
        )
        result = ingest_sensor.ingest_sensor(self.settings)(context)
        assert isinstance(result, dg.SensorResult)
        self.sensor_cursor = result.cursor
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        return list(result.run_requests or ())

    def finalise(self) -> dict[dg.AssetKey, set[str]]:
        """Evaluate the condition of every hourly asset; return the hours that it requests."""
        result = dg.evaluate_automation_conditions(
            defs=self.definitions,
            instance=self.instance,
            asset_selection=hourly_selection(),
            cursor=self.condition_cursor,
            evaluation_time=MIDNIGHT,
        )
        self.condition_cursor = result.cursor
        keys = hourly_selection().resolve(self.definitions.resolve_asset_graph())
        found = {key: set(result.get_requested_partitions(key) or ()) - {None} for key in keys}
        return {key: hours for key, hours in found.items() if hours}

    def run(self, job: str, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """Run a job as a run of its own and keep the outcomes of its checks."""
        result = self.definitions.resolve_job_def(job).execute_in_process(
            run_config=_QUIET, tags=tags, instance=self.instance
        )
        self.evaluations.extend(result.get_asset_check_evaluations())
        return result


def hours_between(first: str, last: str) -> dict[str, str]:
    return {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }


def contents(settings: Settings, tables: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return the number of rows and a checksum of every table."""
    with connect(settings) as client:
        return {
            table: client.query(f"SELECT count(), sum(cityHash64(tuple(*))) FROM {table}").first_row  # noqa: S608 - names of our registry
            for table in tables
        }


def assert_every_message_is_in_its_table(settings: Settings, day: SmallDay) -> None:
    put_in = {table: rows for table, rows in day.messages.items() if table != "instruments"}
    stored = dict(day.accounting.accounts.rows)
    assert day.accounting.is_balanced
    assert day.accounting.messages == day.messages.total()
    assert stored.pop("options_metadata") > max(day.listed.values())
    assert stored == put_in
    assert {name: rows for name, (rows, _) in contents(settings, put_in).items()} == put_in
    lost = contents(settings, ("dead_letters", "ingest_gaps"))
    assert {rows for rows, _ in lost.values()} == {0}
    with connect(settings) as client:
        closed = client.query(
            "SELECT arraySort(groupArray(hour_ts)), sum(rows) FROM ingest_hours", tz_mode="aware"
        ).first_row
        counted = [rows_evaluation(client, MIDNIGHT)]
        counted.append(segments_evaluation(client, utc_now() + timedelta(minutes=3)))
    assert closed == (HOURS, put_in["options_quotes"])
    assert all(one.passed for one in counted)
    assert counted[0].metadata["hours"].value == len(HOURS)
    assert counted[1].metadata["tables_compared"].value == len(put_in)


def assert_every_option_of_every_minute_is_accounted_for(settings: Settings, day: SmallDay) -> None:
    with connect(settings) as client:
        quotes = query_frame(
            client,
            "SELECT snapshot_ts, count() AS rows FROM (SELECT snapshot_ts FROM quotes_clean "
            "UNION ALL SELECT snapshot_ts FROM quotes_rejected) GROUP BY snapshot_ts",
        )
    assert dict(quotes.iter_rows()) == day.listed


def assert_every_minute_has_a_surface_or_says_why_not(settings: Settings) -> None:
    with connect(settings) as client:
        fits = query_frame(client, "SELECT snapshot_ts, expiry_ts, status, reason FROM surfaces")
    per_minute = fits.group_by("snapshot_ts").agg(
        pl.len(), fitted=(pl.col("status") != "refused").sum()
    )
    assert sorted(per_minute["snapshot_ts"]) == MINUTES
    assert set(per_minute["len"]) == {3}
    assert per_minute["fitted"].min() == 2
    refused = fits.filter(pl.col("status") == "refused").sort("snapshot_ts")
    settling = refused.filter(pl.col("expiry_ts") == EXPIRING)
    assert dict(settling.select("snapshot_ts", "reason").iter_rows()) == {
        EXPIRING - timedelta(minutes=left): f"settlement: {60 * left} s to delivery"
        for left in range(1, 31)
    }
    # Nobody quotes an expiry yet in its first minutes.
    new = refused.filter(pl.col("expiry_ts") == LISTED)
    assert new["snapshot_ts"].to_list() == [
        EXPIRING + timedelta(minutes=number) for number in range(new.height)
    ]
    assert set(new["reason"]) == {"no usable quote"}
    assert new.height < 15
    assert new.height + settling.height == refused.height


def names_of_failed(evaluations: Iterable[dg.AssetCheckEvaluation]) -> list[str]:
    return [
        f"{one.asset_key.to_user_string()}/{one.check_name}: {one.metadata}"
        for one in evaluations
        if not one.passed
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_whole_day_goes_from_messages_to_a_summary_and_nothing_is_lost(
    database: Settings,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (ingest_sensor, archive_assets):
        monkeypatch.setattr(module, "utc_now", lambda: MIDNIGHT)
    settings = database.model_copy(update={"record": RecordSettings(start=DAY, processes=1)})
    put_in = fill_small_day(settings, tmp_path, monkeypatch)
    assert_every_message_is_in_its_table(settings, put_in)

    day = Day(settings, instance)
    (request,) = day.sense()
    old = settings.record.automation_window_hours - 1  # the window begins with the running hour
    assert request.tags.items() >= hours_between(KEYS[0], KEYS[-old - 1]).items()
    requested = day.finalise()
    assert set(requested) == hourly_selection().resolve(day.definitions.resolve_asset_graph())
    assert all(hours == set(KEYS[-old:]) for hours in requested.values())
    for tags in (request.tags, hours_between(KEYS[-old], KEYS[-1])):
        day.run("record_hours", tags)
    assert day.sense() == []
    assert day.finalise() == {}
    for key in requested:
        assert instance.get_materialized_partitions(key) == set(KEYS)
    day.run("replace_history")
    assert len(day.evaluations) > 2 * sum(len(one.checks) for one in REGISTRY)
    assert names_of_failed(day.evaluations) == []
    assert missing_hours(settings, HOURS) == set()
    assert_every_option_of_every_minute_is_accounted_for(settings, put_in)
    assert_every_minute_has_a_surface_or_says_why_not(settings)
    with connect(settings) as client:
        summary = day_summary(client, DAY.date(), names_of_failed(day.evaluations))
    assert "BTC: 1440 of 1440 snapshots" in summary.text
    assert summary.severity == "info"

    tables = [one.table for one in REGISTRY]
    held = contents(settings, tables)
    hour = random.choice(HOURS)
    alone = materialise(settings, [hour], run_id="alone")
    assert contents(settings, tables) == held, hour
    assert not any(one.blocked for one in alone.values())
    for name in _NOW:
        with connect(settings) as client:
            rows = client.query(f"SELECT count(), countIf(is_live) FROM {name}_now").first_row  # noqa: S608 - names of our list
        assert rows == (held[name][0], 0)
