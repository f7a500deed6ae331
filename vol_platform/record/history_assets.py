"""Tables of the whole history and models that are replaced as a whole: once an hour, all of it."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.derivations.contracts import CheckOutcome, Derivation
from vol_platform.derivations.history.registry import HISTORY
from vol_platform.errors import StoreError
from vol_platform.record.assets import POOL, record_key
from vol_platform.record.engine import HourChecks
from vol_platform.record.frames import context_of
from vol_platform.record.model_assets import (
    model_check_specs,
    model_events,
    model_key,
    model_spec,
    parameter_values,
)
from vol_platform.record.presentation import OWNER, check_metadata, table_metadata
from vol_platform.settings import Settings
from vol_platform.store.client import connect, query_frame
from vol_platform.store.publish import PublishedHour
from vol_platform.store.replace import WHOLE, replace_table
from vol_platform.store.sql_models.loader import SqlModel, project_models, render
from vol_platform.store.sql_models.run import ensure, materialise_model

__all__ = ["history_assets", "history_job", "history_key", "history_schedule", "publish_history"]

_MODEL_OF_FRAME = {"index_bars": "stg_history_bars", "atm_history": "stg_history_atm"}
_BARS = dg.AssetKey(["staging", "stg_index_bars"])
_DEPENDENCY = {"index_bars": _BARS, "atm_history": record_key("term_structure")}
_RETRIES = 2
_RETRY_SECONDS = 2


def history_key(name: str) -> dg.AssetKey:
    """Return the asset key of a derivation of the whole history."""
    return dg.AssetKey(["history", name])


def publish_history(
    client: Client, settings: Settings, derivation: Derivation, run_id: str = ""
) -> tuple[PublishedHour, dict[str, CheckOutcome]]:
    """Derive a table of the whole history, check it and replace it.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    settings
        Parameters of the derivations.
    derivation
        One of `HISTORY`.
    run_id
        Written to ``derivation_runs``.

    Returns
    -------
    published, checks
        What it holds now, and the outcome of every check.
    """
    models = project_models()
    ensure(client, models["stg_index_bars"], models, cluster=settings.clickhouse.cluster)
    context = context_of(settings)
    frames: dict[str, pl.DataFrame] = {
        name: query_frame(client, render(models[_MODEL_OF_FRAME[name]], models))
        for name in derivation.inputs
    }
    for name, frame in frames.items():
        frames[name] = frame.with_columns(pl.selectors.datetime().dt.cast_time_unit("ms"))
    frame = derivation.derive(frames, context)
    frames[derivation.name] = frame
    outcomes = {check.name: check.function(frames, context) for check in derivation.checks}
    published = replace_table(
        client,
        derivation.table,
        frame.with_columns(code_version=pl.lit(derivation.code_version)),
        run_id=run_id,
        code_version=derivation.code_version,
        parameters_hash=hashlib.sha256(b"").hexdigest()[:12],
    )
    return published, outcomes


def _spec(derivation: Derivation) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=history_key(derivation.name),
        deps=[_DEPENDENCY[name] for name in derivation.inputs],
        description=derivation.description,
        group_name="history",
        kinds={"python", "polars", "clickhouse"},
        owners=[OWNER],
        tags={"vol/layer": "history", "vol/domain": derivation.domain},
        metadata={**table_metadata(derivation.table), "vol/derivation": derivation.name},
        code_version=derivation.code_version,
    )


def _whole_models() -> list[SqlModel]:
    models = project_models().values()
    return [one for one in models if one.front.materialized in ("replace", "view")]


def history_assets() -> dg.AssetsDefinition:
    """Build the assets that have no hours: histories, replaced models and views."""
    models, whole = project_models(), _whole_models()
    checks = [
        dg.AssetCheckSpec(check.name, asset=history_key(one.name), description=check.description)
        for one in HISTORY
        for check in one.checks
    ]

    @dg.multi_asset(
        name="history",
        specs=[*map(_spec, HISTORY), *(model_spec(one, models) for one in whole)],
        check_specs=[
            *checks,
            *(spec for one in whole if one.front.is_table for spec in model_check_specs(one)),
        ],
        can_subset=True,
        pool=POOL,
    )
    def history(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        selected = context.selected_asset_keys
        run_id = context.run.run_id
        try:
            with connect(settings) as client:
                for model in whole:
                    if model_key(model) in selected:
                        values = parameter_values(settings)
                        result = materialise_model(
                            client,
                            model,
                            models,
                            [],
                            values,
                            run_id=run_id,
                            cluster=settings.clickhouse.cluster,
                        )
                        yield from model_events(result)
                for derivation in HISTORY:
                    if history_key(derivation.name) in selected:
                        yield from _history_events(client, settings, derivation, run_id)
        except StoreError as error:
            raise dg.RetryRequested(_RETRIES, seconds_to_wait=_RETRY_SECONDS) from error

    return history


def _history_events(
    client: Client, settings: Settings, derivation: Derivation, run_id: str
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    published, outcomes = publish_history(client, settings, derivation, run_id)
    key = history_key(derivation.name)
    for check in derivation.checks:
        outcome = outcomes[check.name]
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=check.name,
            passed=outcome.passed,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=check_metadata(HourChecks(check, {WHOLE: outcome})),
        )
    checksum = f"{published.content_checksum:016x}"
    yield dg.MaterializeResult(
        asset_key=key,
        metadata={"dagster/row_count": published.rows, "content_checksum": checksum},
        data_version=dg.DataVersion(checksum),
    )


def history_job(checks: Sequence[dg.AssetChecksDefinition]) -> Any:
    """Return the job that replaces every table of the whole history.

    Parameters
    ----------
    checks
        Checks that want to run once an hour and belong to no asset of the record.
    """
    return dg.define_asset_job(
        "replace_history",
        selection=dg.AssetSelection.groups("history")
        | dg.AssetSelection.assets(*(model_key(one) for one in _whole_models()))
        | dg.AssetSelection.checks(*checks),
        description=(
            "Realised volatility, regimes, models that are replaced as a whole, hourly checks."
        ),
        tags={"dagster/max_runtime": "3600"},
    )


def history_schedule(job: Any) -> dg.ScheduleDefinition:
    """Return the schedule of `history_job`: when the hour before has been finalised."""
    return dg.ScheduleDefinition(
        name="hourly_history",
        job=job,
        cron_schedule="20 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
