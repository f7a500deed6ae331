"""One migrated database for the room, emptied before every test: migrating takes the longest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform.store.migrate import migrate


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Undo what a command did to the logs of this process."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="package")
def room_database(store_server) -> Settings:
    """Return settings of a database that all tests of this room share."""
    settings = store_server.settings("test_streamer_room")
    migrate(settings)
    return settings


@pytest.fixture
def database(room_database: Settings) -> Settings:
    """Return the room's database with every table empty."""
    with connect(room_database) as client:
        tables = client.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() "
            "AND engine LIKE '%MergeTree' AND total_rows > 0"
        ).result_rows
        for (table,) in tables:
            client.command(f"TRUNCATE TABLE `{table}`")
    return room_database
