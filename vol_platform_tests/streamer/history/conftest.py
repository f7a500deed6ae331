"""The room's database, and the history command against a simulated exchange."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamer.main import app
from vol_platform.settings import Settings
from vol_platform.simulator import Exchange
from vol_platform.simulator.exchange.options import make_options
from vol_platform_tests.simulator.conftest import START


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """Return an exchange whose time hardly moves."""
    async with Exchange(make_options(start=START, seed=7, speed=0.001)) as running:
        yield running


@pytest.fixture
def run(monkeypatch, database: Settings, exchange: Exchange, tmp_path: Path):
    """Return a function that runs the command in this process."""
    for name in [name for name in os.environ if name.startswith("VOL_")]:  # noqa: TID251 - cleaned for the test
        monkeypatch.delenv(name)
    where = database.clickhouse
    for name, value in {
        "CLICKHOUSE__HOST": where.host,
        "CLICKHOUSE__PORT": str(where.port),
        "CLICKHOUSE__DATABASE": where.database,
        "SPOOL_DIRECTORY": str(tmp_path / "spool"),
        "COLLECTOR": "historian",
        "REST_URL": exchange.rest_url,
    }.items():
        monkeypatch.setenv(f"VOL_STREAMER_{name}", value)

    def invoke(*arguments: str):
        return CliRunner().invoke(app, ["history", *arguments])

    return invoke
