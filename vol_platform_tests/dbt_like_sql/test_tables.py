"""What the migrations' text says about tables is what the engine holds."""

from __future__ import annotations

import polars as pl
import pytest

from vol_platform.derivations.contracts import Derivation
from vol_platform.derivations.history.registry import HISTORY
from vol_platform.derivations.registry import REGISTRY
from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform.store.sql_models.tables import created_names, table_columns

POLARS = {
    "DateTime('UTC')": pl.Datetime("ms", "UTC"),
    "Float64": pl.Float64(),
    "String": pl.String(),
    "Date": pl.Date(),
    "Bool": pl.Boolean(),
    "UInt32": pl.UInt32(),
    "Array(Float64)": pl.List(pl.Float64()),
}


def plain(kind: str) -> str:
    """Strip what does not change a type's values."""
    for wrapper in ("LowCardinality(", "Nullable("):
        if kind.startswith(wrapper):
            return plain(kind[len(wrapper) : -1])
    return kind


def test_columns_types_and_comments_are_read_as_the_engine_reads_them(database: Settings) -> None:
    with connect(database) as client:
        rows = client.query(
            "SELECT table, name, type, comment FROM system.columns "
            "WHERE database = currentDatabase() ORDER BY table, position"
        ).result_rows
        views = client.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase()"
        ).result_rows
    held: dict[str, list[tuple[str, str, str]]] = {}
    for table, *column in rows:
        held.setdefault(table, []).append(tuple(column))
    for table, columns in table_columns().items():
        read = [(column.name, column.comment) for column in columns]
        assert read == [(name, comment) for name, _, comment in held[table]], table
    assert created_names() <= {name for (name,) in views}


@pytest.mark.parametrize(
    "derivation", [*REGISTRY, *HISTORY], ids=lambda derivation: derivation.name
)
def test_a_derivation_has_the_columns_of_its_table(derivation: Derivation) -> None:
    columns = {column.name: column for column in table_columns()[derivation.table]}
    lineage = ["code_version", "parameters_hash"]
    ours = [*derivation.columns, *lineage[: 1 if derivation in HISTORY else 2]]
    assert sorted(ours) == sorted(columns)
    for name, kind in derivation.columns.items():
        assert POLARS[plain(columns[name].type)] == kind, name
