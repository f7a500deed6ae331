"""SQL models as Dagster assets: one operation for the hourly ones, with their tests as checks."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from vol_platform.derivations.history.registry import HISTORY
from vol_platform.derivations.registry import REGISTRY
from vol_platform.errors import SqlModelError, StoreError
from vol_platform.record.assets import POOL, record_key
from vol_platform.record.automation import FINALISE
from vol_platform.record.partitions import hour_of
from vol_platform.record.presentation import markdown_table
from vol_platform.record.raw_assets import raw_key, raw_names
from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform.store.sql_models.lineage import column_lineage
from vol_platform.store.sql_models.loader import SqlModel, depends_on, project_models, render
from vol_platform.store.sql_models.run import ModelResult, code_version, materialise_model
from vol_platform.store.sql_models.tests import TestOutcome, tests_of

__all__ = [
    "asset_of_table",
    "hourly_model_assets",
    "hourly_selection",
    "model_check_specs",
    "model_events",
    "model_key",
    "model_spec",
    "parameter_values",
]

_RETRIES = 2
_RETRY_SECONDS = 2
_STATE_OF = {"instruments": "options_metadata", "instrument_versions": "options_metadata"}


def model_key(model: SqlModel) -> dg.AssetKey:
    """Return the asset key of a model: its folder and its name."""
    return dg.AssetKey([model.path.parent.name, model.name])


def asset_of_table(table: str) -> dg.AssetKey | None:
    """Return the asset that keeps a table or view of a migration; None for the live view's."""
    for derivation in REGISTRY:
        if derivation.table == table:
            return record_key(derivation.name)
    for derivation in HISTORY:
        if derivation.table == table:
            return dg.AssetKey(["history", derivation.name])
    name = _STATE_OF.get(table, table)
    if name.startswith("options_quotes_"):
        name = "options_quotes"
    return raw_key(name) if name in raw_names() else None


def parameter_values(settings: Settings) -> dict[str, Any]:
    """Return the values of every parameter that a model may declare."""
    return {"max_quote_age_seconds": settings.quotes.max_quote_age_seconds}


def _dependencies(model: SqlModel, models: Mapping[str, SqlModel]) -> list[dg.AssetKey]:
    sources, refs = depends_on(model, models)
    keys = {key for key in map(asset_of_table, sources) if key is not None}
    keys |= {model_key(models[name]) for name in refs}
    if model.front.materialized == "incremental":
        # The report that an hour is complete comes with the option quotes.
        keys.add(raw_key("options_quotes"))
    return sorted(keys)


def model_spec(
    model: SqlModel,
    models: Mapping[str, SqlModel],
    condition: dg.AutomationCondition[dg.AssetKey] | None = None,
) -> dg.AssetSpec:
    """Describe a model to Dagster: columns, lineage of columns, statement, owner, group."""
    front = model.front
    deps_by_column = {
        column: [
            dg.TableColumnDep(asset_key=key, column_name=name)
            for table, name in origins
            if (key := model_key(models[table]) if table in models else asset_of_table(table))
        ]
        for column, origins in column_lineage(model, models).items()
    }
    columns = [
        dg.TableColumn(name, spec.type or "", description=spec.description)
        for name, spec in front.columns.items()
    ]
    return dg.AssetSpec(
        key=model_key(model),
        deps=_dependencies(model, models),
        description=f"{' '.join(front.description.split())}\n\nGrain: {front.grain}.",
        group_name=model.path.parent.name,
        kinds={"sql", "clickhouse"},
        owners=[front.owner],
        tags={"vol/layer": model.path.parent.name, "vol/materialized": front.materialized},
        metadata={
            "dagster/column_schema": dg.TableSchema(columns=columns),
            "dagster/column_lineage": dg.TableColumnLineage(deps_by_column),
            "dagster/table_name": model.name,
            "statement": dg.MetadataValue.md(f"```sql\n{render(model, models)}\n```"),
        },
        code_version=code_version(model, models),
        automation_condition=condition,
    )


def model_check_specs(model: SqlModel) -> list[dg.AssetCheckSpec]:
    """Return the tests of a table as check specifications."""
    return [
        dg.AssetCheckSpec(
            test.name, asset=model_key(model), description=test.description, blocking=test.blocking
        )
        for test in tests_of(model)
    ]


def hourly_selection() -> dg.AssetSelection:
    """Return every asset of which an hour can be computed: the record and the hourly models."""
    keys = [
        model_key(one)
        for one in project_models().values()
        if one.front.materialized == "incremental"
    ]
    return dg.AssetSelection.groups("record") | dg.AssetSelection.assets(*keys)


def hourly_model_assets(
    settings: Settings, partitions: dg.PartitionsDefinition
) -> dg.AssetsDefinition:
    """Build the assets of every incremental model.

    Parameters
    ----------
    settings
        `settings.record` shapes backfills and automation.
    partitions
        Hours.
    """
    models = project_models()
    hourly = [one for one in models.values() if one.front.materialized == "incremental"]

    @dg.multi_asset(
        name="sql_models",
        specs=[model_spec(one, models, FINALISE(settings.record)) for one in hourly],
        check_specs=[spec for one in hourly for spec in model_check_specs(one)],
        can_subset=True,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.multi_run(settings.record.hours_per_run),
        pool=POOL,
    )
    def sql_models(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        hours = [hour_of(key) for key in context.partition_keys]
        wanted = [one for one in hourly if model_key(one) in context.selected_asset_keys]
        refused: dict[str, str] = {}
        with connect(settings) as client:
            for model in wanted:
                try:
                    result = materialise_model(
                        client,
                        model,
                        models,
                        hours,
                        parameter_values(settings),
                        run_id=context.run.run_id,
                        cluster=settings.clickhouse.cluster,
                    )
                except SqlModelError as error:
                    refused[model.name] = str(error)
                    continue
                except StoreError as error:
                    raise dg.RetryRequested(_RETRIES, seconds_to_wait=_RETRY_SECONDS) from error
                yield from model_events(result)
                if result.blocked:
                    refused[model.name] = result.blocked
        if refused:
            lines = "; ".join(f"{name}: {why}" for name, why in refused.items())
            raise dg.Failure(f"not published: {lines}", allow_retries=False)

    return sql_models


def model_events(
    result: ModelResult,
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Tell Dagster what became of a model: its tests, and its rows if they were published."""
    key = model_key(result.model)
    for outcomes in _by_test(result.tests).values():
        yield _check_result(key, outcomes)
    if result.blocked:
        return
    rows = sum(done.rows for done in result.published)
    metadata: dict[str, Any] = {"dagster/row_count": rows, "hours": len(result.published)}
    version = None
    if len(result.published) == 1:
        checksum = f"{result.published[0].content_checksum:016x}"
        metadata |= {"dagster/partition_row_count": rows, "content_checksum": checksum}
        version = dg.DataVersion(checksum)
    yield dg.MaterializeResult(asset_key=key, metadata=metadata, data_version=version)


def _by_test(outcomes: list[TestOutcome]) -> dict[str, list[TestOutcome]]:
    grouped: dict[str, list[TestOutcome]] = {}
    for outcome in outcomes:
        grouped.setdefault(outcome.test.name, []).append(outcome)
    return grouped


def _check_result(key: dg.AssetKey, outcomes: list[TestOutcome]) -> dg.AssetCheckResult:
    """Return one check over the days that were published together."""
    failing = [one for one in outcomes if not one.passed]
    shown = (failing or outcomes)[0]
    metadata: dict[str, Any] = {
        "failed_rows": sum(one.failed for one in outcomes),
        "examined_rows": sum(one.examined for one in outcomes),
        **shown.numbers,
    }
    if not shown.sample.is_empty():
        metadata["sample"] = dg.MetadataValue.md(markdown_table(shown.sample))
    severity = dg.AssetCheckSeverity.ERROR if shown.test.blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=shown.test.name,
        passed=not failing,
        severity=severity,
        metadata=metadata,
    )
