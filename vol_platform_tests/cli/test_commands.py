"""The `vol` command as a user types it: instant help, one line per error."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vol_platform.cli.main import app
from vol_platform.local.ports import HOST
from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform_tests.conftest import REPOSITORY, finish, start_store


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def vol(directory: Path, *arguments: str, **environment: str) -> Said:
    """Run `vol` in this process, in `directory`, with a data directory of its own."""
    inherited = dict.fromkeys(name for name in os.environ if name.startswith("VOL_"))  # noqa: TID251 - taken out for the test
    with contextlib.chdir(directory):
        result = CliRunner().invoke(
            app,
            arguments,
            env={
                **inherited,
                "VOL_DATA_DIRECTORY": str(directory / "data"),
                "COLUMNS": "200",
                **environment,
            },
        )
    assert result.exception is None or isinstance(result.exception, SystemExit), result
    return Said(result.exit_code, result.stdout, result.stderr)


def one_line(result: Said) -> str:
    """Return the only line of the error, having checked that it is the only one."""
    assert result.returncode == 1, result
    assert result.stderr.startswith("vol: "), result
    assert result.stderr.count("\n") == 1, result
    return result.stderr


@pytest.fixture
def taken() -> Iterator[int]:
    """Yield a port that somebody listens on."""
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        yield server.getsockname()[1]


def test_help_names_every_command_and_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys\nsys.argv = ['vol', '--help']\n"
        "from vol_platform.cli.main import app\n"
        "try:\n    app()\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'polars', 'dagster', 'pydantic', 'clickhouse_connect', 'redis'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    for command in (
        "up",
        "down",
        "status",
        "doctor",
        "surface",
        "smile",
        "sql",
        "replay",
        "capture",
        "import",
    ):
        assert f" {command} " in result.stdout


def test_status_and_down_say_that_nothing_runs(tmp_path: Path) -> None:
    status = vol(tmp_path, "status")
    assert status.returncode == 1
    assert "Nothing runs in" in status.stdout
    assert "`vol up` starts the platform" in status.stdout
    down = vol(tmp_path, "down")
    assert (down.returncode, down.stdout) == (0, "Nothing was running.\n")


def test_a_busy_port_that_was_asked_for_is_one_line_with_the_cure(
    tmp_path: Path, taken: int
) -> None:
    for arguments, environment in (
        (("up", "--store-port", str(taken)), {}),
        (("up",), {"VOL_CLICKHOUSE__PORT": str(taken)}),
    ):
        line = one_line(vol(tmp_path, *arguments, **environment))
        assert f"port {taken} for the store is in use by another process; stop that process" in line


def test_a_data_folder_that_cannot_be_written_is_one_line_with_the_cure(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    for directory in (str(blocked / "data"), "/proc/nowhere"):
        line = one_line(vol(tmp_path, "up", VOL_DATA_DIRECTORY=directory))
        assert f"cannot write to the data directory {directory}" in line
        assert "set VOL_DATA_DIRECTORY to another directory" in line


def test_a_misspelt_setting_is_one_line_with_the_cure(tmp_path: Path) -> None:
    line = one_line(vol(tmp_path, "status", VOL_CLICKHOUSE__PRT="8123"))
    assert "clickhouse.prt" in line
    assert "correct vol.yaml or the VOL_… environment variable" in line


def test_a_store_that_is_away_is_one_line_with_the_cure(tmp_path: Path) -> None:
    """As a process of its own: no log or warning of a library stands beside the line."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    result = subprocess.run(
        [sys.executable, "-m", "vol_platform.cli.main", "sql", "SELECT 1"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "VOL_CLICKHOUSE__PORT": str(port)},
        check=False,
    )
    line = one_line(Said(result.returncode, result.stdout, result.stderr))
    assert f"127.0.0.1:{port}" in line


def test_a_missing_capture_is_one_line_with_the_cure(tmp_path: Path) -> None:
    line = one_line(vol(tmp_path, "replay", "--scratch", "nowhere.raw"))
    assert "nowhere.raw" in line
    assert "does not exist" in line


def test_doctor_names_a_cure_for_each_problem(tmp_path: Path, taken: int) -> None:
    result = vol(tmp_path, "doctor", VOL_CLICKHOUSE__PORT=str(taken))
    assert result.returncode == 1
    problem = next(line for line in result.stdout.splitlines() if line.startswith("problem"))
    assert f"{taken} is in use by another process" in problem
    assert "→ stop that process or configure another port" in problem


def test_doctor_finds_nothing_wrong_with_a_fresh_machine(tmp_path: Path) -> None:
    result = vol(tmp_path, "doctor")
    assert result.returncode == 0, result.stdout
    assert "nothing runs here → start it: vol up" in result.stdout


def test_unknown_exchange_is_refused_with_the_choices(tmp_path: Path) -> None:
    result = vol(tmp_path, "up", "--exchange", "binance")
    assert result.returncode == 2
    assert "must be simulator or deribit, was 'binance'" in result.stderr


def test_a_wrong_password_is_one_line_with_the_cure(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("right\n")
    store = start_store(tmp_path / "store", "--password-file", str(secret))
    try:
        where = {"VOL_CLICKHOUSE__PORT": str(store.port), "VOL_CLICKHOUSE__DATABASE": "default"}
        line = one_line(vol(tmp_path, "sql", "SELECT 1", **where, VOL_CLICKHOUSE__PASSWORD="wrong"))
        assert "refuses user 'default': wrong name or password" in line
        assert "set VOL_CLICKHOUSE__USER and VOL_CLICKHOUSE__PASSWORD" in line
        assert "wrong'" not in line
        good = vol(tmp_path, "sql", "SELECT 42", **where, VOL_CLICKHOUSE__PASSWORD="right")
        assert "42" in good.stdout
    finally:
        finish(store)


def test_an_instrument_without_greeks_is_one_line_with_the_cure(
    tmp_path: Path, database: Settings
) -> None:
    line = one_line(
        vol(
            tmp_path,
            *("greeks", "BTC-1JAN30-1-C"),
            VOL_CLICKHOUSE__PORT=str(database.clickhouse.port),
            VOL_CLICKHOUSE__DATABASE=database.clickhouse.database,
        )
    )
    assert "no greeks of BTC-1JAN30-1-C; check its name in the view `instruments`" in line


def test_a_surface_that_is_not_there_is_one_line_with_the_cure(
    tmp_path: Path, database: Settings
) -> None:
    where = {
        "VOL_CLICKHOUSE__PORT": str(database.clickhouse.port),
        "VOL_CLICKHOUSE__DATABASE": database.clickhouse.database,
    }
    for command in (("surface",), ("term", "--at", "2026-06-05T08:00"), ("smile",), ("atm",)):
        assert "there is no surface of BTC" in one_line(vol(tmp_path, *command, **where))


def test_a_surface_whose_every_expiry_was_refused_is_one_line_with_the_cure(
    tmp_path: Path, database: Settings
) -> None:
    with connect(database) as client:
        client.command(
            "INSERT INTO surfaces (snapshot_ts, currency, expiry_ts, expiry_years, status, reason) "
            "VALUES ('2026-06-05 08:00:00', 'BTC', '2026-06-26 08:00:00', 0.06, 'refused', 'quiet')"
        )
    where = {
        "VOL_CLICKHOUSE__PORT": str(database.clickhouse.port),
        "VOL_CLICKHOUSE__DATABASE": database.clickhouse.database,
    }
    assert "no expiry of BTC is fitted at 2026-06-05 08:00 UTC" in one_line(
        vol(tmp_path, "atm", **where)
    )
    assert "refused" in vol(tmp_path, "surface", **where).stdout
