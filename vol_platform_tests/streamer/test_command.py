"""The command: each mistake is one clear line that names the cure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamer.main import app
from vol_platform.settings import Settings
from vol_platform_tests.conftest import REPOSITORY
from vol_platform_tests.streamer.support import ticker_frame


@pytest.fixture
def run(monkeypatch, database: Settings, tmp_path: Path):
    for name in [name for name in os.environ if name.startswith("VOL_")]:  # noqa: TID251 - cleaned for the test
        monkeypatch.delenv(name)
    where = database.clickhouse
    for name, value in {
        "CLICKHOUSE__HOST": where.host,
        "CLICKHOUSE__PORT": str(where.port),
        "CLICKHOUSE__DATABASE": where.database,
        "SPOOL_DIRECTORY": str(tmp_path / "spool"),
        "SPOOL__DISK_FLOOR_BYTES": "0",
        "COLLECTOR": "commanded",
    }.items():
        monkeypatch.setenv(f"VOL_STREAMER_{name}", value)

    def invoke(*arguments: str, stdin: bytes | None = None):
        return CliRunner().invoke(app, list(arguments), input=stdin)

    return invoke


def capture_of(*frames: bytes) -> bytes:
    return b"\n".join(frames) + b"\n"


def test_ingest_prints_the_accounting_as_one_line_of_json(run, tmp_path):
    capture = tmp_path / "capture.jsonl"
    capture.write_bytes(capture_of(ticker_frame(), b"broken", b'{"id":1,"result":[]}'))
    result = run("ingest", str(capture), "--json")
    assert result.exit_code == 0
    accounting = json.loads(result.stdout)
    assert accounting["messages"] == accounting["frames"] == 3
    assert accounting["rows"] == {"options_quotes": 1}
    assert (accounting["dead_letters"], accounting["control_messages"]) == (1, 1)
    assert accounting["balanced"] is True


def test_ingest_reads_standard_input_and_speaks_plainly(run):
    result = run("ingest", "-", stdin=capture_of(ticker_frame()))
    assert result.exit_code == 0
    expected = "1 messages: 1 data, 0 control, 0 dead letters (balanced); rows: options_quotes 1"
    assert result.stdout.strip() == expected


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("CLICKHOUSE__PORT", "9", "cannot be reached"),
        ("CLICKHOUSE__DATABASE", "not_there", "vol migrate"),
        ("CLICKHOUSE__PORT", "many", "clickhouse.port"),
        ("INTERVAL", "1s", "interval"),
        ("SPOOL_DIRECTORY", "/proc/nowhere", "set VOL_STREAMER_SPOOL_DIRECTORY"),
    ],
)
def test_a_wrong_setting_is_one_line_with_the_cure(run, monkeypatch, variable, value, text):
    monkeypatch.setenv(f"VOL_STREAMER_{variable}", value)
    result = run("ingest", "-", stdin=capture_of(ticker_frame()))
    assert result.exit_code == 1
    assert text in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", [("run", "--log-level", "error"), ("ingest", "-")])
def test_a_spool_directory_that_cannot_be_made_is_one_line_with_the_cure(run, command):
    result = run(*command, "--spool-directory", "/proc/nowhere", stdin=b"")
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("vol-streamer: spool directory /proc/nowhere")
    assert "set VOL_STREAMER_SPOOL_DIRECTORY to another" in line


def test_a_database_that_is_away_is_one_line_of_a_whole_process(tmp_path):
    environment = {name: text for name, text in os.environ.items() if not name.startswith("VOL_")}  # noqa: TID251 - of a child process
    done = subprocess.run(
        [sys.executable, "-m", "streamer.main", "ingest", "-"],
        input=ticker_frame(),
        capture_output=True,
        check=False,
        cwd=REPOSITORY,
        timeout=60,
        env=environment
        | {
            "VOL_STREAMER_CLICKHOUSE__PORT": "9",
            "VOL_STREAMER_SPOOL_DIRECTORY": str(tmp_path / "spool"),
        },
    )
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.endswith("127.0.0.1:9 cannot be reached; start it first")


@pytest.mark.parametrize("command", [("ingest", "missing.jsonl"), ("ingest", "missing.gz")])
def test_a_missing_capture_is_one_line(run, command):
    result = run(*command)
    assert result.exit_code == 1
    assert "does not exist; check the path" in result.stderr


def test_a_capture_that_is_none_is_one_line(run, tmp_path):
    wrong = tmp_path / "wrong.gz"
    wrong.write_text("plain text")
    result = run("ingest", str(wrong))
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr
