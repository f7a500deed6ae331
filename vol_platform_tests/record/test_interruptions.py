"""Runs that meet trouble: a broken connection, a death between writes, another run, late ticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from vol_platform.clock import utc_now
from vol_platform.derivations.registry import REGISTRY
from vol_platform.errors import StoreError
from vol_platform.record import engine
from vol_platform.record.engine import materialise
from vol_platform.record.missing import missing_hours
from vol_platform.record.run import materialise_hours
from vol_platform.settings import RecordSettings, Settings
from vol_platform.store import day_publication
from vol_platform.store.client import connect
from vol_platform_tests.record.ticks import HOUR, close_hour, insert_board

DAYS = [HOUR, HOUR + timedelta(days=1)]
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

    def together(*arguments: Any) -> None:
        real(*arguments)
        both.wait()

    monkeypatch.setattr(engine, "_send", together)

    def run(name: str) -> StoreError | None:
        try:
            materialise(database, [HOUR], run_id=name)
        except StoreError as error:
            return error
        return None

    with ThreadPoolExecutor(2) as pool:
        errors = [error for error in pool.map(run, ["one", "other"]) if error is not None]
    assert all("another writer" in str(error) for error in errors)
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
