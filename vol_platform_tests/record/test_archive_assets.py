"""The archive as an asset, by command, and its checks on good and on spoiled days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from vol_platform.cli.main import app
from vol_platform.clock import utc_now
from vol_platform.record.archive_assets import compare_archive, unarchived_days
from vol_platform.record.graph import build_definitions
from vol_platform.settings import S3Settings, Settings
from vol_platform.store.client import connect
from vol_platform.store.s3.archive_tables import day_contents
from vol_platform_tests.record.market import insert_market
from vol_platform_tests.record.ticks import HOUR
from vol_platform_tests.store.s3.s3_server import running_s3

DAY = HOUR.date()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Settings]:
    """Give a running S3 server."""
    with running_s3() as settings:
        yield settings


def test_a_day_is_archived_by_its_asset_and_spoiled_days_fail_the_checks(
    database: Settings, s3: S3Settings, instance: dg.DagsterInstance
) -> None:
    insert_market(database, [HOUR + timedelta(minutes=1)])
    settings = database.model_copy(update={"s3": s3})
    with connect(settings) as client:
        missing = unarchived_days(client, utc_now())
        assert not missing.passed
        assert "2026-02-04" in str(missing.metadata["sample"].value)
        assert unarchived_days(client, HOUR).passed
    result = (
        build_definitions(settings)
        .resolve_job_def("archive_day")
        .execute_in_process(partition_key=DAY.isoformat(), instance=instance)
    )
    assert result.success
    assert [one.passed for one in result.get_asset_check_evaluations()] == [True, True]
    with connect(settings) as client:
        assert compare_archive(client).metadata["tables_compared"].value >= 5
        client.command("DELETE FROM trades WHERE 1")
        spoiled = compare_archive(client)
    assert not spoiled.passed
    assert "| 2026-02-04 | trades | 1 | 0 |" in str(spoiled.metadata["sample"].value)


def test_the_schedule_runs_where_s3_has_a_key(s3: S3Settings) -> None:
    for settings, status in (
        (Settings(), dg.DefaultScheduleStatus.STOPPED),
        (Settings(s3=s3), dg.DefaultScheduleStatus.RUNNING),
    ):
        repository = build_definitions(settings).get_repository_def()
        schedule = repository.get_schedule_def("daily_archive")
        assert schedule.default_status == status


def test_days_are_archived_and_restored_by_command(
    database: Settings, s3: S3Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    insert_market(database, [HOUR + timedelta(minutes=1)])
    where = database.clickhouse
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "CLICKHOUSE__HOST": where.host,
        "CLICKHOUSE__PORT": where.port,
        "CLICKHOUSE__DATABASE": where.database,
        "S3__ENDPOINT": s3.endpoint,
        "S3__ACCESS_KEY": s3.access_key.get_secret_value(),
        "S3__SECRET_KEY": s3.secret_key.get_secret_value(),
    }.items():
        monkeypatch.setenv(f"VOL_{name}", str(value))
    run = CliRunner()
    archived = run.invoke(app, ["archive", DAY.isoformat()])
    assert archived.exit_code == 0, archived.output
    with connect(database) as client:
        contents = day_contents(client, DAY)
        client.command("TRUNCATE TABLE options_quotes")
    restored = run.invoke(app, ["restore", DAY.isoformat()])
    assert restored.exit_code == 0, restored.output
    assert f"restored {DAY}" in restored.output
    with connect(database) as client:
        assert day_contents(client, DAY) == contents
    assert run.invoke(app, ["restore", "2020-01-01"]).exit_code == 1
    assert run.invoke(app, ["archive", "yesterday"]).exit_code == 2
