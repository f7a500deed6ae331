"""What a request to the embedded engine is and what it answers, and how text is quoted for it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from vol_platform.store.server.statement import Statement

__all__ = ["ExternalTable", "Outcome", "Request", "new_query_id", "quote", "quote_name"]


@dataclass(slots=True)
class ExternalTable:
    """External data of one request: a temporary table's name, columns, format and bytes."""

    name: str
    structure: str
    format: str
    data: bytes


@dataclass(slots=True)
class Request:
    """What the interface asks of the engine."""

    statement: Statement
    text: bytes
    query_id: str
    settings: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    database: str = ""
    default_format: str = "TabSeparated"
    session_id: str = ""
    session_timeout_seconds: float = 60.0
    session_must_exist: bool = False
    read_only: bool = False
    external: tuple[ExternalTable, ...] = ()


@dataclass(slots=True)
class Outcome:
    """What the engine counted for one request."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    elapsed_nanoseconds: int = 0
    has_result: bool = True
    """False for a statement that answers nothing (CREATE); a SELECT of no rows has a result."""


def quote(value: str) -> str:
    """Return `value` as a string literal of the engine's SQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote_name(name: str) -> str:
    """Return `name` as a quoted identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def new_query_id() -> str:
    """Return a fresh query id."""
    return str(uuid.uuid4())
