"""The command: a ready line, a clean stop, and one clear line for each mistake."""

import json
import os
import select
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from vol_platform_tests.conftest import REPOSITORY

COMMAND = [sys.executable, "-m", "vol_platform.simulator"]


def _environment() -> dict[str, str]:
    environment = dict(os.environ)  # noqa: TID251 - a child process of a test
    environment["PYTHONPATH"] = str(REPOSITORY)
    return environment


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=_environment(),
        check=False,
    )


def test_it_says_when_it_is_ready_answers_and_stops_on_a_signal() -> None:
    with subprocess.Popen(
        [*COMMAND, "--port", "0"], stdout=subprocess.PIPE, text=True, env=_environment()
    ) as process:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], 60)
        assert readable
        line = process.stdout.readline()
        assert line.startswith("simulator ready on ws://127.0.0.1:")
        rest = line.split()[-1]
        with urllib.request.urlopen(f"{rest}/public/test") as answer:  # noqa: S310 - loopback
            assert json.load(answer)["result"] == {"version": "1.2.26"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "99999"), "--port: Input should be less than or equal to 65535, was '99999'"),
        (("--rate", "fast"), "--rate: Input should be a valid number"),
        (("--speed", "0"), "--speed 0 (as fast as the socket takes it) needs --capture"),
        (("--drop-share", "2"), "--drop-share: Input should be less than or equal to 1"),
        (("--bogus",), "unrecognized arguments: --bogus; see python -m vol_platform.simulator"),
        (("--capture", "/no/such/file"), "capture /no/such/file does not exist"),
        (("history", "--end", "yesterday"), "--end must be ISO 8601"),
        (
            ("history", "--currency", "DOGE"),
            "currency must be one of BTC, ETH, BTC_USDC, SOL_USDC, was 'DOGE'",
        ),
        (("history", "--output", "/no/such/folder/x"), "--output /no/such/folder/x cannot be"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_value(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from vol_platform.simulator.__main__ import main

    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert words in captured.err
    assert captured.err.count("\n") == 1


def test_history_goes_to_a_file_and_says_how_much(tmp_path: Path) -> None:
    path = tmp_path / "history.zst"
    window = ("--hours", "0.01", "--end", "2026-06-03T15:00:00Z")
    done = _run("history", *window, "--output", str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "history finished:" in done.stderr
    assert path.stat().st_size > 10_000
