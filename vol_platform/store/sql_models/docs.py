"""The page that documents every model: one HTML file without anything outside it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

import jinja2

from vol_platform.store import sql_models
from vol_platform.store.sql_models.lineage import column_lineage
from vol_platform.store.sql_models.loader import SqlModel, depends_on, render
from vol_platform.store.sql_models.tables import table_columns
from vol_platform.store.sql_models.tests import tests_of

__all__ = ["models_page"]

_PAGE = "models_page.html.j2"


def models_page(models: Mapping[str, SqlModel]) -> str:
    """Return the page as text.

    Parameters
    ----------
    models
        As `load_models` returns them.
    """
    folders: dict[str, list[dict[str, object]]] = {}
    for model in sorted(models.values(), key=lambda one: (one.path.parent.name, one.name)):
        folders.setdefault(model.path.parent.name, []).append(_entry(model, models))
    read = {name for model in models.values() for name in depends_on(model, models)[0]}
    text = (resources.files(sql_models) / _PAGE).read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(text).render(
        folders=folders,
        count=len(models),
        tables={name: columns for name, columns in sorted(table_columns().items()) if name in read},
    )


def _entry(model: SqlModel, models: Mapping[str, SqlModel]) -> dict[str, object]:
    front = model.front
    origins = column_lineage(model, models)
    words = " ".join((model.name, *front.columns)).lower()
    return {
        "name": model.name,
        "words": words,
        "description": " ".join(front.description.split()),
        "materialized": front.materialized,
        "owner": front.owner,
        "grain": front.grain,
        "key": ", ".join(front.key),
        "sources": model.sources,
        "refs": model.refs,
        "readers": sorted(one.name for one in models.values() if model.name in one.refs),
        "columns": [
            {
                "name": name,
                "type": spec.type or "",
                "description": spec.description,
                "origin": ", ".join(f"{table}.{column}" for table, column in origins[name]),
            }
            for name, spec in front.columns.items()
        ],
        "tests": tests_of(model) if front.is_table else (),
        "statement": render(model, models),
    }
