"""Every argument is looked at before anything is opened: here neither exchange nor database is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamer.history.window import read_window
from streamer.main import app

_NOBODY = "http://127.0.0.1:9"
_DAY_MS = 86_400_000
FROM = ("--from", "2026-06-01")


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs the command where nobody answers."""
    for name in [name for name in os.environ if name.startswith("VOL_")]:  # noqa: TID251 - cleaned for the test
        monkeypatch.delenv(name)
    monkeypatch.setenv("VOL_STREAMER_REST_URL", _NOBODY)
    monkeypatch.setenv("VOL_STREAMER_CLICKHOUSE__PORT", "9")

    def invoke(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["history", *arguments])
        assert result.exit_code == 1
        assert len(result.stderr.strip().splitlines()) == 1
        return result.stderr

    return invoke


@pytest.mark.parametrize("command", [(), ("compare",)])
@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ((), ["say from when: --from 2026-06-01"]),
        (
            ("--from", "2026-13-01"),
            ["--from must be a day or a time", "2026-06-01T08:00", "'2026-13-01'"],
        ),
        (("--from", "2026-02-30"), ["--from must be a day or a time", "'2026-02-30'"]),
        ((*FROM, "--to", "2026-06-31"), ["--to must be a day or a time", "'2026-06-31'"]),
        ((*FROM, "--to", "2026-05-31"), ["before --to, was 2026-06-01 and --to 2026-05-31"]),
        ((*FROM, "--currencies", "BTC;ETH"), ["must be markets like BTC,ETH", "'BTC;ETH'"]),
        ((*FROM, "--currencies", ","), ["must be markets like BTC,ETH", "','"]),
    ],
)
def test_a_wrong_window_or_market_is_told_before_the_network_is_reached(
    run, command, arguments, texts
):
    line = run(*command, *arguments)
    assert all(text in line for text in texts), line


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((*FROM, "--what", "books"), "--what must be some of trades"),
        ((*FROM, "--what", ","), "--what must be some of trades"),
        ((*FROM, "--resolution", "7"), "--resolution must be 1, 60, 720 or 1440 (minutes), was 7"),
    ],
)
def test_a_wrong_kind_of_data_is_told_before_the_network_is_reached(run, arguments, text):
    assert text in run(*arguments)


def test_right_arguments_reach_the_network(run):
    assert "cannot be reached" in run(*FROM, "--currencies", "btc, sol_usdc")


def test_the_second_of_two_files_is_looked_for_before_the_first_is_stored(run, tmp_path: Path):
    (tmp_path / "first.csv").write_text("a,b\n1,2\n")
    line = run("tardis", str(tmp_path / "first.csv"), str(tmp_path / "second.csv"))
    assert "second.csv does not exist; check the path" in line
    assert "is a folder" in run("tardis", str(tmp_path))


@pytest.mark.parametrize(
    ("last", "days"), [("2026-06-02", 2), ("20260602", 2), ("2026-06-02T00", 1)]
)
def test_a_last_day_is_taken_whole_however_it_is_written(last, days):
    window = read_window("2026-06-01", last)
    assert window.to_ms is not None
    assert window.to_ms - window.from_ms == days * _DAY_MS
