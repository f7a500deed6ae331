"""Runs that meet trouble: a broken connection, a death between writes, another run, late ticks."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import dagster as dg
import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from vol_platform.clock import utc_now
from vol_platform.derivations.registry import REGISTRY
from vol_platform.record import engine
from vol_platform.record.assets import record_key
from vol_platform.record.engine import materialise
from vol_platform.record.graph import build_definitions
from vol_platform.record.missing import missing_hours
from vol_platform.record.partitions import partition_key
from vol_platform.record.run import materialise_hours
from vol_platform.settings import RecordSettings, Settings
from vol_platform.store import day_publication
from vol_platform.store.client import connect
from vol_platform.store.day_publication import DayPublication
from vol_platform.store.migrate import migrate
from vol_platform_tests.conftest import finish, start_store
from vol_platform_tests.record.ticks import HOUR, close_hour, insert_board

DAYS = [HOUR, HOUR + timedelta(days=1)]
AROUND_MIDNIGHT = [HOUR.replace(hour=22) + step * timedelta(hours=1) for step in range(4)]
Checksums = Mapping[str, Mapping[datetime, int]]


def checksums(settings: Settings) -> Checksums:
    """Return what every table holds of every hour."""
    with connect(settings) as client:
        return {
            one.table: {
                hour.astimezone(UTC): checksum
                for hour, checksum in client.query(
                    "SELECT toStartOfHour(snapshot_ts) AS hour, sum(cityHash64(tuple(*))) "  # noqa: S608 - names of our registry
                    f"FROM {one.table} GROUP BY hour",
                    tz_mode="aware",
                ).result_rows
            }
            for one in REGISTRY
        }


def staging_tables(settings: Settings) -> list[str]:
    with connect(settings) as client:
        return [row[0] for row in client.query("SHOW TABLES LIKE '%staging%'").result_rows]


def test_a_day_whose_connection_broke_is_begun_again_and_no_other(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_board(database, DAYS)
    one_process = database.model_copy(update={"record": RecordSettings(processes=1)})
    real, tried = engine._send, []

    def broken_once(staged: Any, lineages: Any, derived: Sequence[Any]) -> None:
        tried.append(derived[0][0])
        if len(tried) == 1:
            raise OperationalError("the connection broke")
        real(staged, lineages, derived)

    monkeypatch.setattr(engine, "_send", broken_once)
    materialise(one_process, DAYS)
    assert tried == [DAYS[0], DAYS[0], DAYS[1]]
    assert set(checksums(database)["surfaces"]) == set(DAYS)
    assert staging_tables(database) == []


def run_record(
    settings: Settings, instance: dg.DagsterInstance, hours: Sequence[datetime]
) -> dg.ExecuteInProcessResult:
    """Run the assets of the record as Dagster runs them, all hours in one step."""
    return (
        build_definitions(settings)
        .resolve_job_def("record_hours")
        .execute_in_process(
            instance=instance,
            asset_selection=[record_key(one.name) for one in REGISTRY],
            tags={
                "dagster/asset_partition_range_start": partition_key(hours[0]),
                "dagster/asset_partition_range_end": partition_key(hours[-1]),
            },
            raise_on_error=False,
        )
    )


def told_events(result: dg.ExecuteInProcessResult) -> Counter[str]:
    """Return what a run told Dagster: materialisations and outcomes of checks, with figures."""
    materialised = (
        event.event_specific_data.materialization  # type: ignore[union-attr]  # of this event type
        for event in result.get_asset_materialization_events()
    )
    return Counter(
        [f"{one.asset_key} {one.partition} {one.metadata}" for one in materialised]
        + [
            f"{one.asset_key} {one.check_name} {one.passed} {one.severity} {one.metadata}"
            for one in result.get_asset_check_evaluations()
        ]
    )


def figures(result: engine.DerivationResult) -> list[tuple[object, ...]]:
    """Return what the checks of a derivation found in every hour."""
    return [
        (name, hour, outcome.passed, outcome.failed, outcome.examined, str(outcome.numbers))
        for name, checks in result.checks.items()
        for hour, outcome in checks.outcomes.items()
    ]


def empty_record(settings: Settings) -> None:
    with connect(settings) as client:
        for table in ["derivation_runs", *(one.table for one in REGISTRY)]:
            client.command(f"TRUNCATE TABLE {table}")


@pytest.fixture
def derived(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """Give the hours in the order in which this process derives them, each as often as it does."""
    real, hours = engine._derive_hour, []

    def counted(known: Any, hour: datetime, *others: Any) -> Any:
        hours.append(hour)
        return real(known, hour, *others)

    monkeypatch.setattr(engine, "_derive_hour", counted)
    return hours


def intrude(monkeypatch: pytest.MonkeyPatch, day: datetime, times: int) -> None:
    """Let another writer add a row to the surfaces of a day, just before they are swapped in."""
    real, left = DayPublication._swap, iter(range(times))

    def swap(publication: DayPublication, before: int) -> None:
        is_due = publication.table == "surfaces" and publication.day.date() == day.date()
        if is_due and next(left, None) is not None:
            publication._client.command(
                f"INSERT INTO surfaces SELECT * FROM {publication._staging} LIMIT 1"  # noqa: S608 - the name of a table
            )
        real(publication, before)

    monkeypatch.setattr(DayPublication, "_swap", swap)


def test_a_day_that_was_refused_is_tried_again_last_and_the_run_tells_of_every_hour(
    database: Settings,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    derived: list[datetime],
) -> None:
    hours = AROUND_MIDNIGHT
    insert_board(database, hours)
    one_process = database.model_copy(update={"record": RecordSettings(processes=1)})
    undisturbed = run_record(one_process, instance, hours)
    assert undisturbed.success
    expected = checksums(database)
    assert set(expected["surfaces"]) == set(hours)
    empty_record(database)
    derived.clear()
    intrude(monkeypatch, hours[0], times=1)
    monkeypatch.setattr(engine, "_PAUSES_SECONDS", (0.0, 0.0))
    disturbed = run_record(one_process, instance, hours)
    assert disturbed.success
    assert derived == [*hours, *hours[:2]]
    assert checksums(database) == expected
    assert told_events(disturbed) == told_events(undisturbed)
    assert staging_tables(database) == []


def test_a_day_that_is_refused_to_the_end_is_named_and_the_others_are_told(
    database: Settings,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    derived: list[datetime],
) -> None:
    hours = AROUND_MIDNIGHT
    insert_board(database, hours)
    one_process = database.model_copy(update={"record": RecordSettings(processes=1)})
    intrude(monkeypatch, hours[0], times=3)
    monkeypatch.setattr(engine, "_PAUSES_SECONDS", (0.0, 0.0))
    refused = run_record(one_process, instance, hours)
    assert not refused.success
    assert Counter(derived) == {hour: 3 if hour in hours[:2] else 1 for hour in hours}
    (failure,) = [event for event in refused.all_events if event.is_step_failure]
    error = failure.step_failure_data.error
    assert error is not None
    others = 2 * len(REGISTRY) - 1
    assert f"quotes_clean {partition_key(hours[0])} and {others} more: " in error.message
    assert "another writer changed surfaces of 2026-02-04" in error.message
    for one in REGISTRY:
        held = instance.get_materialized_partitions(record_key(one.name))
        assert held == set(map(partition_key, hours[2:]))
    outcomes = {
        one.check_name: one.metadata["hours"].value for one in refused.get_asset_check_evaluations()
    }
    assert set(outcomes.values()) == {2}
    assert missing_hours(database, hours) == set(hours[:2])


@pytest.mark.slow
def test_a_database_that_dies_in_the_middle_costs_a_run_only_the_days_that_were_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [HOUR + timedelta(days=number) for number in range(-1, 2)]
    stores = [start_store(tmp_path / "store")]
    settings = stores[0].settings("vol").model_copy(update={"record": RecordSettings(processes=2)})
    migrate(settings)
    insert_board(settings, days)
    published, warnings = [], []

    def dies_after_the_first_day(day: datetime) -> None:
        published.append(day)
        if len(stores) == 1 and stores[0].process.poll() is None:
            stores[0].stop(signal.SIGKILL)

    def comes_back(_: float) -> None:
        if len(stores) == 1:
            stores.append(start_store(tmp_path / "store", port=stores[0].port))

    monkeypatch.setattr(engine, "sleep", comes_back)
    try:
        disturbed = materialise(
            settings,
            days,
            run_id="disturbed",
            progress=dies_after_the_first_day,
            warn=warnings.append,
        )
        assert len(stores) == 2
        assert warnings
        assert Counter(published) == dict.fromkeys(days, 1)
        held = checksums(settings)
        alone = settings.model_copy(update={"record": RecordSettings(processes=1)})
        undisturbed = materialise(alone, days, run_id="undisturbed")
        assert checksums(settings) == held
        for name, result in undisturbed.items():
            assert disturbed[name].published == result.published
            assert figures(disturbed[name]) == figures(result)
            assert not result.blocked
        with connect(settings) as client:
            written = client.query(
                "SELECT count() FROM derivation_runs WHERE run_id = 'disturbed' "
                "AND hour_ts = {hour:DateTime('UTC')}",
                parameters={"hour": published[0]},
            ).result_rows[0][0]
        assert written == len(REGISTRY)
    finally:
        for store in stores:
            finish(store)


def test_a_run_that_died_between_swap_and_note_is_missing_and_runs_again_to_the_same_bytes(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_board(database, DAYS[:1])
    materialise(database, [HOUR])
    before = checksums(database)
    real, notes = day_publication.record_publication, iter(range(100))

    def dies_at_the_fourth(*arguments: Any) -> None:
        if next(notes) == 3:
            raise KeyboardInterrupt
        real(*arguments)

    with connect(database) as client:
        client.command("TRUNCATE TABLE derivation_runs")
    with monkeypatch.context() as patched:
        patched.setattr(day_publication, "record_publication", dies_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            materialise(database, [HOUR])
    assert missing_hours(database, [HOUR]) == {HOUR}
    assert checksums(database) == before
    assert materialise_hours(database, [HOUR], only_missing=True).succeeded == [HOUR]
    assert checksums(database) == before


def test_two_runs_that_race_for_a_day_leave_the_rows_of_one_run(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_board(database, DAYS[:1])
    materialise(database, [HOUR])
    before = checksums(database)
    both, real = Barrier(2, timeout=120), engine._send
    monkeypatch.setattr(engine, "_PAUSES_SECONDS", ())

    def together(*arguments: Any) -> None:
        real(*arguments)
        both.wait()

    monkeypatch.setattr(engine, "_send", together)

    def run(name: str) -> str | None:
        return materialise(database, [HOUR], run_id=name)["surfaces"].blocked.get(HOUR)

    with ThreadPoolExecutor(2) as pool:
        errors = [why for why in pool.map(run, ["one", "other"]) if why is not None]
    assert all("another writer" in why for why in errors)
    assert len(errors) < 2
    assert checksums(database) == before
    assert staging_tables(database) == []


def test_a_late_tick_changes_its_hour_when_the_gap_is_repaired_and_no_other(
    database: Settings,
) -> None:
    hours = [HOUR, HOUR + timedelta(hours=1)]
    insert_board(database, hours)
    materialise(database, hours)
    before = checksums(database)
    insert_board(database, [HOUR + timedelta(minutes=7)], move=0.01)
    assert missing_hours(database, hours) == set()
    close_hour(database, HOUR, rows=1, closed_ts=utc_now(), reason="gap_repaired")
    assert materialise_hours(database, hours, only_missing=True).succeeded == [HOUR]
    after = checksums(database)
    assert after["surfaces"][HOUR] != before["surfaces"][HOUR]
    assert {table: found.get(hours[1]) for table, found in after.items()} == {
        table: found.get(hours[1]) for table, found in before.items()
    }
