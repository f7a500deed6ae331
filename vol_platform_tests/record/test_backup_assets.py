"""The backup as an asset, by schedule and by command, and its check."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from vol_platform.cli.main import app
from vol_platform.record.backup_assets import backup_age
from vol_platform.record.graph import build_definitions
from vol_platform.settings import S3Settings, Settings
from vol_platform.store.client import connect
from vol_platform.store.s3.backup import backups
from vol_platform.store.s3.object_store import Bucket
from vol_platform_tests.record.market import insert_market
from vol_platform_tests.record.ticks import HOUR
from vol_platform_tests.store.s3.s3_server import running_s3

RESTORED = "vol_restored_by_command"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Settings]:
    """Give a running S3 server."""
    with running_s3() as settings:
        yield settings


def test_the_job_backs_up_and_its_check_wants_a_young_backup(
    database: Settings, s3: S3Settings, instance: dg.DagsterInstance
) -> None:
    settings = database.model_copy(update={"s3": s3})
    result = (
        build_definitions(settings).resolve_job_def("back_up").execute_in_process(instance=instance)
    )
    assert result.success
    assert [one.passed for one in result.get_asset_check_evaluations()] == [True]
    found = backups(Bucket(s3), database.clickhouse.database)
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["name"].value == found[-1].name
    newest = found[-1].started
    assert backup_age(found, newest + timedelta(hours=47)).passed
    old = backup_age(found, newest + timedelta(hours=49))
    assert not old.passed
    assert old.metadata["age_hours"].value == pytest.approx(49)
    assert not backup_age([], newest).passed


def test_the_schedule_runs_where_s3_has_a_key(s3: S3Settings) -> None:
    for settings, status in (
        (Settings(), dg.DefaultScheduleStatus.STOPPED),
        (Settings(s3=s3), dg.DefaultScheduleStatus.RUNNING),
    ):
        repository = build_definitions(settings).get_repository_def()
        assert repository.get_schedule_def("daily_backup").default_status == status


def test_a_backup_is_made_listed_and_restored_by_command(
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
        "S3__BUCKET": "by-command",
        "S3__ACCESS_KEY": s3.access_key.get_secret_value(),
        "S3__SECRET_KEY": s3.secret_key.get_secret_value(),
    }.items():
        monkeypatch.setenv(f"VOL_{name}", str(value))
    run = CliRunner()
    assert "no backup" in run.invoke(app, ["backup", "list"]).output
    made = run.invoke(app, ["backup", "make"])
    assert made.exit_code == 0, made.output
    listed = run.invoke(app, ["backup", "list"]).output
    name = listed.split()[0]
    assert name in made.output
    try:
        restored = run.invoke(app, ["backup", "restore", name, "--into", RESTORED])
        assert restored.exit_code == 0, restored.output
        assert f"restored {name} into {RESTORED}" in restored.output.replace("\n", " ")
        with connect(database) as client:
            counts = [
                client.query(
                    "SELECT count() FROM {name:Identifier}.options_quotes",
                    parameters={"name": one},
                ).first_row[0]
                for one in (where.database, RESTORED)
            ]
        assert counts[0] == counts[1] > 0
    finally:
        with connect(database) as client:
            client.command(f"DROP DATABASE IF EXISTS {RESTORED} SYNC")
