"""A closed hour runs once; a repaired one runs again; an old one is requested by the sensor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from vol_platform.derivations.registry import REGISTRY
from vol_platform.record import ingest_sensor
from vol_platform.record.assets import record_key
from vol_platform.record.graph import build_definitions
from vol_platform.record.ingest_sensor import ClosedHour, Cursor
from vol_platform.record.partitions import partition_key
from vol_platform.record.raw_assets import HOURLY_RAW, raw_key
from vol_platform.settings import RecordSettings, Settings
from vol_platform_tests.record.ticks import close_hour

NOW = datetime(2026, 2, 4, 17, 20, tzinfo=UTC)
ONE_HOUR = timedelta(hours=1)
CHAIN = [record_key(derivation.name) for derivation in REGISTRY]


def report(instance: dg.DagsterInstance, hour: datetime) -> None:
    """Report an hour of raw ticks complete."""
    for table in HOURLY_RAW:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(raw_key(table), partition=partition_key(hour))
        )


class Daemon:
    """Evaluates the conditions again and again, and materialises what they request."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.definitions = definitions
        self.instance = instance
        self.cursor: dg.AssetDaemonCursor | None = None  # type: ignore[name-defined]

    def tick(self, now: datetime = NOW) -> dict[str, set[str]]:
        result = dg.evaluate_automation_conditions(
            defs=self.definitions,
            instance=self.instance,
            asset_selection=dg.AssetSelection.groups("record"),
            cursor=self.cursor,
            evaluation_time=now,
        )
        self.cursor = result.cursor
        requested = {
            key.path[-1]: set(result.get_requested_partitions(key) or ()) - {None} for key in CHAIN
        }
        hours = set().union(*requested.values())
        for hour in sorted(hours):
            for key in CHAIN:
                if hour in requested[key.path[-1]]:
                    self.instance.report_runless_asset_event(
                        dg.AssetMaterialization(key, partition=hour)
                    )
        return {name: found for name, found in requested.items() if found}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    """Give the definitions of a short record, which evaluate quickly."""
    start = NOW.replace(hour=0, minute=0)
    return build_definitions(Settings(record=RecordSettings(start=start)))


def everything(*hours: datetime) -> dict[str, set[str]]:
    return {key.path[-1]: {partition_key(hour) for hour in hours} for key in CHAIN}


def test_nothing_runs_before_an_hour_is_closed(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    daemon = Daemon(definitions, instance)
    assert daemon.tick() == {}


def test_a_closed_hour_runs_the_whole_chain_once(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    daemon = Daemon(definitions, instance)
    daemon.tick()
    hour = NOW.replace(minute=0) - ONE_HOUR
    report(instance, hour)
    assert daemon.tick() == everything(hour)
    assert daemon.tick() == {}
    assert daemon.tick(NOW + timedelta(minutes=5)) == {}


def test_a_repaired_hour_runs_again_and_alone(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    daemon = Daemon(definitions, instance)
    hours = [NOW.replace(minute=0) - step * ONE_HOUR for step in (3, 2, 1)]
    for hour in hours:
        report(instance, hour)
    assert daemon.tick() == everything(*hours)
    assert daemon.tick() == {}
    report(instance, hours[1])
    assert daemon.tick() == everything(hours[1])
    assert daemon.tick() == {}


def test_the_condition_and_the_sensor_share_the_hours_without_gap_or_overlap(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    database: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ingest_sensor, "utc_now", lambda: NOW)
    hours = [NOW.replace(minute=0) - step * ONE_HOUR for step in range(10, -1, -1)]
    for number, hour in enumerate(hours):
        close_hour(database, hour, rows=5, closed_ts=NOW - timedelta(seconds=60 - number))
    sensed = sense(database, instance)
    requested = {
        hour
        for request in sensed.run_requests or ()
        for hour in hours
        if first(request) <= partition_key(hour) <= last(request)
    }
    for event in sensed.asset_events:
        instance.report_runless_asset_event(event)
    automatic = Daemon(definitions, instance).tick()["surfaces"]
    assert {partition_key(hour) for hour in requested} & automatic == set()
    assert {partition_key(hour) for hour in requested} | automatic == set(map(partition_key, hours))
    assert len(automatic) == Settings().record.automation_window_hours


def first(request: dg.RunRequest) -> str:
    return request.partition_key or request.tags["dagster/asset_partition_range_start"]


def last(request: dg.RunRequest) -> str:
    return request.partition_key or request.tags["dagster/asset_partition_range_end"]


def sense(
    settings: Settings, instance: dg.DagsterInstance, cursor: str | None = None
) -> dg.SensorResult:
    """Evaluate the sensor of closed hours once."""
    sensor = ingest_sensor.ingest_sensor(settings)
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"settings": settings}
    )
    result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_a_closed_hour_is_reported_on_every_hourly_raw_table_and_only_once(
    database: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_sensor, "utc_now", lambda: NOW)
    hour = NOW.replace(minute=0) - ONE_HOUR
    close_hour(database, hour, rows=77, closed_ts=NOW)
    result = sense(database, instance)
    assert not result.run_requests
    told = [(event.asset_key, event.partition) for event in result.asset_events]
    assert told == [(raw_key(table), partition_key(hour)) for table in HOURLY_RAW]
    assert result.asset_events[-1].metadata["dagster/partition_row_count"].value == 77
    again = sense(database, instance, result.cursor)
    assert not again.asset_events
    close_hour(database, hour, rows=78, closed_ts=NOW + timedelta(seconds=1), reason="gap_repaired")
    repaired = sense(database, instance, again.cursor)
    assert {event.description for event in repaired.asset_events} == {"hour complete: gap_repaired"}


def test_a_row_that_became_visible_late_is_still_seen(
    database: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_sensor, "utc_now", lambda: NOW)
    hour = NOW.replace(minute=0)
    close_hour(database, hour, rows=1, closed_ts=NOW)
    cursor = sense(database, instance).cursor
    close_hour(database, hour - ONE_HOUR, rows=1, closed_ts=NOW - timedelta(minutes=5))
    late = sense(database, instance, cursor)
    assert {event.partition for event in late.asset_events} == {partition_key(hour - ONE_HOUR)}


def test_old_hours_become_runs_of_consecutive_hours(
    database: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_sensor, "utc_now", lambda: NOW)
    start = datetime(2026, 1, 3, 5, tzinfo=UTC)
    for step in (0, 1, 2, 40):
        close_hour(database, start + step * ONE_HOUR, rows=1, closed_ts=NOW, reason="import")
    requests = list(sense(database, instance).run_requests or ())
    assert [(first(one), last(one)) for one in requests] == [
        ("2026-01-03-05:00", "2026-01-03-07:00"),
        ("2026-01-04-21:00", "2026-01-04-21:00"),
    ]
    assert len({one.run_key for one in requests}) == 2


def test_more_old_hours_than_fit_a_tick_are_taken_in_the_next(
    database: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_sensor, "utc_now", lambda: NOW)
    monkeypatch.setattr(ingest_sensor, "_OLD_HOURS_PER_TICK", 2)
    start = datetime(2026, 1, 3, 5, tzinfo=UTC)
    hours = [start + step * 5 * ONE_HOUR for step in range(5)]
    for hour in hours:
        close_hour(database, hour, rows=1, closed_ts=NOW, reason="import")
    cursor, requested = None, []
    for _ in range(4):
        result = sense(database, instance, cursor)
        cursor = result.cursor
        requested.append([first(one) for one in result.run_requests or ()])
    assert [len(one) for one in requested] == [2, 2, 1, 0]
    assert sorted(hour for tick in requested for hour in tick) == [
        partition_key(hour) for hour in hours
    ]


def test_an_hour_outside_the_record_is_passed_over(
    database: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_sensor, "utc_now", lambda: NOW)
    for hour in (datetime(2019, 12, 31, 23, tzinfo=UTC), NOW.replace(minute=0) + 2 * ONE_HOUR):
        close_hour(database, hour, rows=1, closed_ts=NOW)
    result = sense(database, instance)
    assert not result.asset_events
    assert not result.run_requests
    assert Cursor.parse(result.cursor).closed_ts == NOW


@pytest.mark.parametrize("text", [None, "", "17", "not json", '{"v": 0}', "[1]"])
def test_a_foreign_cursor_starts_anew(text: str | None) -> None:
    assert Cursor.parse(text) == Cursor()


def test_a_cursor_survives_writing_and_reading() -> None:
    rows = [ClosedHour(NOW, NOW.replace(minute=0), "import", "a", 3)]
    cursor = Cursor().advance(rows, rows)
    assert Cursor.parse(cursor.text()) == cursor
    assert cursor.new_rows(rows) == []
