"""`vol models`: list, check, document, run and rebuild the SQL models."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vol_platform.cli.data import parse_hour

if TYPE_CHECKING:
    from vol_platform.store.sql_models.loader import SqlModel

__all__ = ["register"]

models_app = typer.Typer(no_args_is_help=True, help="The SQL models: staging and marts.")


@models_app.command("list")
def list_models() -> None:
    """Show every model with what becomes of it."""
    from vol_platform.store.sql_models.loader import load_models

    for model in load_models().values():
        place = f"{model.path.parent.name}/{model.name}"
        print(f"{place:38} {model.front.materialized:12} {model.front.grain}")


@models_app.command()
def check() -> None:
    """Read every file, and ask the database whether the declared types are the real ones."""
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.record.model_assets import parameter_values
    from vol_platform.store.client import connect
    from vol_platform.store.sql_models.loader import load_models
    from vol_platform.store.sql_models.run import check_types, ensure

    models = load_models()
    settings = settings_of_running_stack()
    with connect(settings) as client:
        for model in models.values():
            check_types(client, model, models, parameter_values(settings))
            if model.front.materialized != "ephemeral":
                ensure(client, model, models, cluster=settings.clickhouse.cluster)
    print(f"{len(models)} models are sound")


@models_app.command()
def docs(
    output: Annotated[Path, typer.Option(help="File to write.")] = Path("models.html"),
) -> None:
    """Write one HTML page about every model: columns, tests, lineage, statement."""
    from vol_platform.store.sql_models.docs import models_page
    from vol_platform.store.sql_models.loader import load_models

    models = load_models()
    output.write_text(models_page(models), encoding="utf-8")
    print(f"wrote {output}: {len(models)} models")


@models_app.command()
def run(
    name: Annotated[str, typer.Argument(help="Name of a model.")],
    first: Annotated[
        str | None, typer.Argument(help="First hour, UTC, like 2026-06-05T08.")
    ] = None,
    last: Annotated[
        str | None, typer.Argument(help="Last hour, included; default: only the first.")
    ] = None,
) -> None:
    """Compute hours of a model, or all of one that has none."""
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.record.model_assets import parameter_values
    from vol_platform.store.client import connect
    from vol_platform.store.sql_models.run import materialise_model

    models, model = _find(name)
    if model.front.materialized == "incremental" and first is None:
        raise typer.BadParameter(f"{name} is computed by the hour; name the first one")
    begin = parse_hour(first) if first else None
    end = parse_hour(last or first) if first else None
    hours = []
    while begin is not None and end is not None and begin <= end:
        hours.append(begin)
        begin += timedelta(hours=1)
    settings = settings_of_running_stack()
    with connect(settings) as client:
        result = materialise_model(
            client,
            model,
            models,
            hours,
            parameter_values(settings),
            cluster=settings.clickhouse.cluster,
        )
    for outcome in result.tests:
        state = "passed" if outcome.passed else "failed"
        print(f"{outcome.test.name}: {state}, {outcome.failed} of {outcome.examined} rows")
    print(result.blocked or f"{name}: {sum(done.rows for done in result.published):,} rows")
    raise typer.Exit(1 if result.blocked else 0)


@models_app.command()
def rebuild(name: Annotated[str, typer.Argument(help="Name of a model with a table.")]) -> None:
    """Drop a table whose model has other columns now; its hours must then run again."""
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.store.client import connect
    from vol_platform.store.sql_models.run import ensure

    models, model = _find(name)
    if not model.front.is_table:
        raise typer.BadParameter(f"{name} is {model.front.materialized} and has no table")
    settings = settings_of_running_stack()
    with connect(settings) as client:
        ensure(client, model, models, cluster=settings.clickhouse.cluster, rebuild=True)
    print(f"table {name} has the columns of its model")


def _find(name: str) -> tuple[dict[str, SqlModel], SqlModel]:
    from vol_platform.store.sql_models.loader import load_models

    models = load_models()
    if name not in models:
        raise typer.BadParameter(f"no model is called {name!r}; there are {sorted(models)}")
    return models, models[name]


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.add_typer(models_app, name="models", rich_help_panel="Data in and out")
