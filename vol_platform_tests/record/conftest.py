"""A Dagster instance that leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Give an instance that lives in memory."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral
