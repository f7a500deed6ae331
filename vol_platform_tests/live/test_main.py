"""The process: it starts, serves, and ends when told to."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import redis

from vol_platform.clock import utc_now
from vol_platform.live.main import main
from vol_platform.store.client import connect, query_frame
from vol_platform_tests.conftest import REPOSITORY
from vol_platform_tests.live.boards import Board, store


def start(**variables: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VOL_")}  # noqa: TID251 - a child process of a test
    return subprocess.Popen(
        [sys.executable, "-m", "vol_platform.live"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=REPOSITORY,
        env={**inherited, "PYTHONPATH": str(REPOSITORY), **variables},
    )


def until(condition, process, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return result


def test_wrong_settings_are_one_clear_line():
    process = start(VOL_CLICKHOUSE__PORT="no number")
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = printed.strip().splitlines()
    assert "clickhouse.port" in line
    assert "no number" in line
    assert "correct vol.yaml" in line


def test_asked_for_help_it_says_what_it_is_and_does_not_start(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "Keep the newest surface and greeks in Redis" in capsys.readouterr().out


@pytest.mark.slow
def test_killed_and_started_again_it_goes_on_and_no_row_is_there_twice(database, redis_url):
    where = database.clickhouse
    variables = {
        "VOL_CLICKHOUSE__PORT": str(where.port),
        "VOL_CLICKHOUSE__DATABASE": where.database,
        "VOL_REDIS__URL": redis_url,
        "VOL_LIVE__STORE_INTERVAL_SECONDS": "0.2",
    }
    board = Board(start=utc_now().replace(microsecond=0), strikes=9)

    def blocks():
        with connect(database) as client:
            query = "SELECT uniqExact(computed_ts) FROM live_metrics"
            return query_frame(client, query).item()

    def status():
        with redis.Redis.from_url(redis_url) as client:
            text = client.get(f"{where.database}:BTC:status")
            return json.loads(text) if text else {}

    store(database, board, board.start)
    first = start(**variables)
    try:
        until(lambda: blocks() >= 3, first)
    finally:
        first.kill()
    first.communicate(timeout=60)
    before = blocks()

    store(database, board, utc_now().replace(microsecond=0))
    second = start(**variables)
    try:
        until(lambda: blocks() > before + 3, second)
        until(lambda: status().get("state") == "live", second)
        second.send_signal(signal.SIGTERM)
        printed, _ = second.communicate(timeout=60)
    finally:
        second.kill()
    assert second.returncode == 0, printed
    assert "live view has stopped" in printed
    with connect(database) as client:
        surfaces, metrics = (
            query_frame(client, query).row(0)
            for query in (
                "SELECT count(), uniqExact(computed_ts, expiry_ts) FROM live_surfaces",
                "SELECT count(), uniqExact(computed_ts, metric) FROM live_metrics",
            )
        )
    assert surfaces[0] == surfaces[1] >= 2 * len(board.days), "each process wrote the surface"
    assert surfaces[0] % len(board.days) == 0, "blocks are whole"
    assert metrics[0] == metrics[1] > 0
