"""Which column comes from which: read from a model's statement with sqlglot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.lineage import Node, lineage

from vol_platform.store.sql_models.loader import SqlModel, depends_on, render
from vol_platform.store.sql_models.tables import table_columns

__all__ = ["column_lineage"]


def column_lineage(
    model: SqlModel, models: Mapping[str, SqlModel]
) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return the columns of other tables that each column is made of.

    Parameters
    ----------
    model, models
        Which, of all.

    Returns
    -------
    dict
        ``(table or model, column)`` pairs by column of the model, sorted; ephemeral models are
        looked through.  A column of constants, or one that sqlglot cannot follow, has none.
    """
    sources, refs = depends_on(model, models)
    schema: dict[str, Any] = {
        name: {column.name: "VARCHAR" for column in columns}
        for name, columns in table_columns().items()
        if name in sources
    } | {name: dict.fromkeys(models[name].front.columns, "VARCHAR") for name in refs}
    try:
        nodes = lineage(
            None,
            render(model, models),
            schema,
            dialect="clickhouse",
            validate_qualify_columns=False,
        )
    except (SqlglotError, ValueError):
        nodes = {}
    return {
        column: _origins(nodes[column], schema) if column in nodes else ()
        for column in model.front.columns
    }


def _origins(node: Node, schema: Mapping[str, Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    found: set[tuple[str, str]] = set()
    for leaf in node.walk():
        if leaf.downstream or not isinstance(leaf.expression, exp.Table):
            continue
        name = leaf.name.rpartition(".")[2].strip('"`')
        table = leaf.expression.name
        # of a view of a migration the columns are not known here
        if table not in schema or name in schema[table]:
            found.add((table, name))
    return tuple(sorted(found))
