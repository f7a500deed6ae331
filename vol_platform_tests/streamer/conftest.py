"""What every test of the collector leaves as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Undo what a command did to the logs of this process."""
    yield
    structlog.reset_defaults()
