"""What the migrations create: names of tables and views, and the columns of each table.

Read from the files, so that Dagster can show a schema without asking a database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import dbt_like_sql

__all__ = ["Column", "created_names", "table_columns"]

_MIGRATIONS_DIRECTORY = Path(dbt_like_sql.__file__).parent / "migrations"
_CREATED = re.compile(
    r"^CREATE (?:OR REPLACE )?(?:TABLE|VIEW|MATERIALIZED VIEW) (?:IF NOT EXISTS )?(?P<name>\w+)",
    re.MULTILINE,
)
_TABLE = re.compile(
    r"^CREATE TABLE IF NOT EXISTS (?P<name>\w+)[^\n]*\n\(\n(?P<body>.*?)\n\)\nENGINE",
    re.MULTILINE | re.DOTALL,
)
_DROPPED = re.compile(r"^DROP (?:TABLE|VIEW) IF EXISTS (?P<name>\w+)", re.MULTILINE)
_COLUMN = re.compile(r"^ {4}(?P<name>\w+)\s+(?P<rest>.+?),?$")
_AFTER_TYPE = re.compile(r" (?:CODEC\(|DEFAULT |COMMENT )")
_COMMENT = re.compile(r"COMMENT '(?P<text>(?:[^']|'')*)'")
_COMMENTED = re.compile(
    r"^ALTER TABLE (?P<table>\w+) COMMENT COLUMN IF EXISTS (?P<column>\w+) "
    r"'(?P<text>(?:[^']|'')*)'",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Column:
    """A column of a table: ClickHouse type and comment."""

    name: str
    type: str
    comment: str


def _texts() -> Iterator[str]:
    for path in sorted(_MIGRATIONS_DIRECTORY.glob("*.sql")):
        yield path.read_text()


@cache
def created_names() -> frozenset[str]:
    """Return every table and view that a migration creates and none drops."""
    created = (match["name"] for text in _texts() for match in _CREATED.finditer(text))
    return frozenset(created) - _dropped_names()


@cache
def _dropped_names() -> frozenset[str]:
    return frozenset(match["name"] for text in _texts() for match in _DROPPED.finditer(text))


@cache
def table_columns() -> dict[str, tuple[Column, ...]]:
    """Return the columns of every table that the migrations leave, by table."""
    later = {
        (comment["table"], comment["column"]): comment["text"].replace("''", "'")
        for text in _texts()
        for comment in _COMMENTED.finditer(text)
    }
    return {
        table["name"]: tuple(
            replace(column, comment=later.get((table["name"], column.name), column.comment))
            for column in _columns(table["body"])
        )
        for text in _texts()
        for table in _TABLE.finditer(text)
        if table["name"] not in _dropped_names()
    }


def _columns(body: str) -> Iterator[Column]:
    for line in body.splitlines():
        match = _COLUMN.match(line)
        if match is None:
            continue
        rest = match["rest"]
        comment = _COMMENT.search(rest)
        end = _AFTER_TYPE.search(rest)
        yield Column(
            match["name"],
            rest[: end.start()] if end else rest,
            comment["text"].replace("''", "'") if comment else "",
        )
