"""`vol models` on the real engine."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from vol_platform.cli.main import app
from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform_tests.record.market import insert_market
from vol_platform_tests.record.ticks import HOUR


@pytest.fixture(autouse=True)
def _environment(database: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Point the command at the test database, in a folder without a running stack."""
    where = database.clickhouse
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOL_CLICKHOUSE__HOST", where.host)
    monkeypatch.setenv("VOL_CLICKHOUSE__PORT", str(where.port))
    monkeypatch.setenv("VOL_CLICKHOUSE__DATABASE", where.database)


def models(*arguments: str) -> Result:
    """Run `vol models`."""
    return CliRunner().invoke(app, ["models", *arguments])


def test_every_model_is_listed_and_sound() -> None:
    listed = models("list").output
    assert "marts/mart_dvol_tracking" in listed
    assert "incremental" in listed
    checked = models("check")
    assert checked.exit_code == 0, checked.output
    assert "models are sound" in checked.output


def test_an_hour_of_a_model_is_run_and_its_tests_are_told(database: Settings) -> None:
    insert_market(database, [HOUR + timedelta(minutes=1)])
    result = models("run", "stg_index_bars", f"{HOUR:%Y-%m-%dT%H:%M}")
    assert result.exit_code == 0, result.output
    assert "key_is_unique: passed, 0 of 1 rows" in result.output
    assert "stg_index_bars: 1 rows" in result.output
    with connect(database) as client:
        assert client.query("SELECT count() FROM stg_index_bars").result_rows == [(1,)]


def test_a_changed_table_is_rebuilt(database: Settings) -> None:
    assert models("check").exit_code == 0
    with connect(database) as client:
        client.command("ALTER TABLE stg_index_bars ADD COLUMN stray UInt8")
    refused = models("check")
    assert refused.exit_code == 1
    assert models("rebuild", "stg_index_bars").exit_code == 0
    assert models("check").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nothing"), "no model is called 'nothing'"),
        (("run", "stg_index_bars"), "computed by the hour"),
        (("rebuild", "stg_futures"), "has no table"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], message: str) -> None:
    result = models(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_the_page_is_one_file_with_every_model_column_and_test(tmp_path: Path) -> None:
    page = tmp_path / "models.html"
    assert models("docs", "--output", str(page)).exit_code == 0
    text = page.read_text()
    assert 'id="mart_largest_movers"' in text
    assert "vega_weighted_change_usd" in text
    assert "options_greeks.vega" in text
    assert "index_near_dvol" in text
    assert "://" not in text
