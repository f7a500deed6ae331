"""The store as a process: its lock, its refusals, its end by signal and by kill -9."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from vol_platform.clock import monotonic_seconds
from vol_platform_tests.conftest import REPOSITORY, StoreProcess, finish, start_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreProcess]:
    process = start_store(tmp_path / "store")
    yield process
    finish(process)


def refused(data: Path, *arguments: str) -> str:
    """Start a store that must refuse to start; return its one line."""
    done = subprocess.run(
        [*(sys.executable, "-m", "vol_platform.store.server", "--data", str(data)), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_second_store_on_the_directory_is_told_who_has_it(store: StoreProcess) -> None:
    line = refused(store.data, "--port", "0")
    assert f"pid {store.process.pid} at {store.url}" in line
    assert "stop it" in line
    assert httpx.get(f"{store.url}/ping").text == "Ok.\n"


def test_a_busy_port_is_refused_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = refused(tmp_path / "store", "--port", str(port))
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line


def test_a_data_directory_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a_file"
    file.write_text("")
    line = refused(file / "store", "--port", "0")
    assert str(file) in line
    assert "--data" in line


def test_a_data_directory_where_nobody_may_write_is_refused_in_one_line() -> None:
    line = refused(Path("/proc/nowhere"), "--port", "0")
    assert "/proc/nowhere" in line
    assert "make it a writable directory or choose another (--data" in line


def test_a_missing_password_file_is_refused_in_one_line(tmp_path: Path) -> None:
    line = refused(tmp_path / "store", "--port", "0", "--password-file", str(tmp_path / "none"))
    assert str(tmp_path / "none") in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_requests_finish(store: StoreProcess, number: signal.Signals) -> None:
    def running() -> bool:
        return (
            "sleep(2)" in httpx.post(store.url, content="SELECT query FROM system.processes").text
        )

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(httpx.post, store.url, content="SELECT 'done', sleep(2)", timeout=30)
        end = monotonic_seconds() + 20
        while not running():
            assert monotonic_seconds() < end
        assert store.stop(number) == 0
        assert slow.result().text == "done\t0\n"


@pytest.mark.slow
def test_kill_9_loses_no_acknowledged_row_and_doubles_none(tmp_path: Path) -> None:
    data = tmp_path / "store"
    store = start_store(data)
    create = (
        "CREATE TABLE ticks (batch UInt64, n UInt64) ENGINE = MergeTree ORDER BY (batch, n) "
        "SETTINGS non_replicated_deduplication_window = 10000"
    )
    assert httpx.post(store.url, content=create).status_code == 200
    acknowledged: set[int] = set()

    def insert(client: httpx.Client, url: str, batch: int) -> None:
        body = "".join(f"{batch}\t{number}\n" for number in range(1000))
        answer = client.post(
            url,
            params={
                "query": "INSERT INTO ticks FORMAT TabSeparated",
                "insert_deduplication_token": f"batch-{batch}",
                "async_insert": "0",
            },
            content=body,
        )
        answer.raise_for_status()
        acknowledged.add(batch)

    for kills in range(3):
        first = kills * 1000
        with httpx.Client(timeout=30) as client, ThreadPoolExecutor(1) as killer:
            for batch in range(first, first + 1000):
                if batch == first + 40:
                    killer.submit(store.process.kill)
                try:
                    insert(client, store.url, batch)
                except httpx.HTTPError:
                    break
        finish(store)
        assert len(acknowledged) > kills * 40
        store = start_store(data)
        with httpx.Client(timeout=30) as client:
            insert(client, store.url, max(acknowledged))  # the writer tries its last batch again
            insert(client, store.url, max(acknowledged) + 1)  # and the one that was cut off
    found = httpx.post(store.url, content="SELECT batch, count() FROM ticks GROUP BY batch").text
    rows = {int(line.split("\t")[0]): int(line.split("\t")[1]) for line in found.splitlines()}
    finish(store)
    assert set(rows) >= acknowledged
    assert set(rows.values()) == {1000}
