"""The derived tables as Dagster assets, one per derivation, built from the registry.

One operation computes as many of them as a run selects: the hour is read once and handed from
derivation to derivation in memory, and each table is published, in registry order, as soon as its
blocking checks agree.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import dagster as dg

from vol_platform.derivations.contracts import Derivation
from vol_platform.derivations.registry import REGISTRY
from vol_platform.record.automation import FINALISE
from vol_platform.record.engine import DerivationResult, materialise
from vol_platform.record.partitions import hour_of, partition_key
from vol_platform.record.presentation import (
    OWNER,
    check_metadata,
    materialisation_metadata,
    table_metadata,
)
from vol_platform.record.raw_assets import raw_key
from vol_platform.settings import Settings

__all__ = ["POOL", "record_assets", "record_key"]

POOL = "record"
"""Runs that write derived tables take turns: one writer per table and day."""

_RAW_OF_FRAME = {
    "chain": ("options_quotes", "options_metadata"),
    "futures": ("futures_prices", "options_metadata"),
    "index": ("spot_prices", "options_quotes"),
    "rates": ("rate_quotes",),
    "positions": ("positions",),
}


def record_key(name: str) -> dg.AssetKey:
    """Return the asset key of a derivation."""
    return dg.AssetKey(["record", name])


def _dependencies(derivation: Derivation) -> list[dg.AssetKey]:
    keys: dict[dg.AssetKey, None] = {}
    for name in derivation.inputs:
        if name in _RAW_OF_FRAME:
            keys.update(dict.fromkeys(map(raw_key, _RAW_OF_FRAME[name])))
        else:
            keys[record_key(name)] = None
    return list(keys)


def _spec(derivation: Derivation, settings: Settings) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=record_key(derivation.name),
        deps=_dependencies(derivation),
        description=derivation.description,
        group_name="record",
        kinds={"python", "polars", "clickhouse"},
        owners=[OWNER],
        tags={"vol/layer": "record", "vol/domain": derivation.domain},
        metadata={**table_metadata(derivation.table), "vol/derivation": derivation.name},
        code_version=derivation.code_version,
        automation_condition=FINALISE(settings.record),
    )


def record_assets(
    settings: Settings,
    partitions: dg.PartitionsDefinition,
    progress: Callable[[datetime], None] | None = None,
    *,
    with_pictures: bool = True,
) -> dg.AssetsDefinition:
    """Build the assets of every derivation, with their checks.

    Parameters
    ----------
    settings
        `settings.record` shapes backfills and automation.
    partitions
        Hours.
    progress
        Called with each hour that is done, in a run of this process; None writes it to the run's
        log.
    with_pictures
        Whether a run of one hour draws its surfaces; it takes four times as long as the hour.
    """
    check_specs = [
        dg.AssetCheckSpec(
            check.name,
            asset=record_key(derivation.name),
            description=check.description,
            blocking=check.blocking,
        )
        for derivation in REGISTRY
        for check in derivation.checks
    ]

    @dg.multi_asset(
        name="record",
        specs=[_spec(derivation, settings) for derivation in REGISTRY],
        check_specs=check_specs,
        can_subset=True,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.multi_run(settings.record.hours_per_run),
        pool=POOL,
    )
    def record(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        hours = [hour_of(key) for key in context.partition_keys]
        names = [key.path[-1] for key in context.selected_asset_keys]
        # No retry of the step: `materialise` tries again what the database refused, and by a retry
        # of all of it the outcomes of the checks of every published hour would be lost.
        results = materialise(
            settings,
            hours,
            names,
            run_id=context.run.run_id,
            progress=progress
            or (lambda hour: context.log.debug("derived %s", partition_key(hour))),
            warn=context.log.warning,
        )
        # Nobody looks at pictures in an event log that is about to be forgotten, and those of many
        # hours would be stored once for every hour.
        is_looked_at = len(hours) == 1 and not context.instance.is_ephemeral
        yield from _events(context, results, with_pictures=with_pictures and is_looked_at)

    return record


def _data_version(result: DerivationResult) -> dg.DataVersion | None:
    """Return the checksum of a single hour: the same ticks give the same version."""
    published = list(result.published.values())
    return dg.DataVersion(f"{published[0].content_checksum:016x}") if len(published) == 1 else None


def _events(
    context: dg.AssetExecutionContext,
    results: dict[str, DerivationResult],
    *,
    with_pictures: bool,
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    blocked: dict[str, list[str]] = {}
    frames = {
        name: result.last_frame for name, result in results.items() if result.last_frame is not None
    }
    for name, result in results.items():
        key = record_key(name)
        for check_name, checks in result.checks.items():
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=check_name,
                passed=checks.passed,
                severity=(
                    dg.AssetCheckSeverity.ERROR
                    if checks.check.blocking
                    else dg.AssetCheckSeverity.WARN
                ),
                metadata=check_metadata(checks),
            )
        metadata = materialisation_metadata(result, frames, with_pictures=with_pictures)
        if not result.blocked:
            yield dg.MaterializeResult(
                asset_key=key, metadata=metadata, data_version=_data_version(result)
            )
            continue
        # The hours that were published are told one by one, so that only the others are missing.
        for hour in result.published:
            context.log_event(
                dg.AssetMaterialization(key, partition=partition_key(hour), metadata=metadata)
            )
        for hour, why in result.blocked.items():
            blocked.setdefault(why, []).append(f"{name} {partition_key(hour)}")
    if blocked:
        # A day that the database refused is one reason for every hour of every table.
        lines = "; ".join(
            f"{what[0]}{f' and {len(what) - 1} more' if len(what) > 1 else ''}: {why}"
            for why, what in blocked.items()
        )
        raise dg.Failure(
            f"not published: {lines}",
            metadata={"not_published": sum(map(len, blocked.values()))},
            allow_retries=False,
        )
