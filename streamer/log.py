"""Structured logs: one JSON object a line, on standard error."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

__all__ = ["configure", "logger"]


def configure(*, level: str = "info") -> None:
    """Set the logs of this process up; call it once, at the start of the command."""
    # The driver's own lines say less than the errors that we make of them.
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        # Standard error as it is at each line: it may have been replaced since this call.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def logger(name: str) -> Any:
    """Return the logger of a module."""
    return structlog.get_logger(module=name)
