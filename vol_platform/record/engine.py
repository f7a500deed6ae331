"""Materialising hours, without Dagster: read once, derive in order, check, publish.

The assets of `vol_platform.record.assets` are a thin face over `materialise`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.derivations.contracts import Check, CheckOutcome, Derivation, DerivationContext
from vol_platform.derivations.registry import REGISTRY
from vol_platform.record.frames import LOADED, context_of, read_derived, read_loaded, read_raw
from vol_platform.record.partitions import start_of_hour
from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform.store.publish import PublishedHour, publish_hours

__all__ = ["DerivationResult", "HourChecks", "materialise", "parameters_hash"]

_RAW = ("chain", "futures", "index")


def parameters_hash(context: DerivationContext) -> str:
    """Return a short hash of the parameters that shape the rows."""
    parameters = asdict(context)
    del parameters["previous_surfaces"]
    text = json.dumps(parameters, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass
class HourChecks:
    """Outcomes of one check, hour by hour."""

    check: Check
    outcomes: dict[datetime, CheckOutcome] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether it passed in every hour."""
        return all(outcome.passed for outcome in self.outcomes.values())


@dataclass
class DerivationResult:
    """What became of one derivation over the hours of a run.

    Attributes
    ----------
    derivation
        Which.
    published
        Rows and checksum by published hour.
    blocked
        Why an hour was not published, by hour.
    checks
        Outcomes by check name.
    last_frame
        Frame of the newest published hour that has rows, for pictures and previews.
    """

    derivation: Derivation
    published: dict[datetime, PublishedHour] = field(default_factory=dict)
    blocked: dict[datetime, str] = field(default_factory=dict)
    checks: dict[str, HourChecks] = field(default_factory=dict)
    last_frame: pl.DataFrame | None = None


def materialise(
    settings: Settings,
    hours: Iterable[datetime],
    names: Iterable[str] | None = None,
    *,
    run_id: str = "",
    progress: Callable[[datetime], None] | None = None,
) -> dict[str, DerivationResult]:
    """Derive and publish hours.

    Every hour starts from nothing but its own ticks, so the order of the hours, their grouping and
    what was there before do not show in the result.

    Parameters
    ----------
    settings
        Where ClickHouse is, which quotes count, how many hours are published together.
    hours
        Starts of hours.
    names
        Derivations to publish; None is all.  Inputs that are not among them are read from the
        record as they are.
    run_id
        Written to ``derivation_runs``.
    progress
        Called with each hour when it is derived.

    Returns
    -------
    dict
        Results by name, in registry order.  An hour whose blocking check fails is in `blocked`, as
        are the hours of everything that needs it; the other hours are published.

    Raises
    ------
    StoreError
        ClickHouse refused; hours published before stay published, and running again is safe.
    DerivationError
        A derivation broke its contract.
    """
    wanted = [one for one in REGISTRY if names is None or one.name in set(names)]
    results = {one.name: DerivationResult(one) for one in wanted}
    context = context_of(settings)
    with connect(settings) as client:
        for chunk in _chunks(hours, settings.record.hours_per_publish):
            frames: dict[str, dict[datetime, pl.DataFrame]] = {one.name: {} for one in wanted}
            for hour in chunk:
                _derive_hour(client, hour, context, results, frames)
                if progress is not None:
                    progress(hour)
            for one in wanted:
                _publish(client, results[one.name], frames[one.name], run_id, context)
    return results


def _chunks(hours: Iterable[datetime], longest: int) -> Iterable[list[datetime]]:
    """Group hours of one day, in order: a table is replaced a day partition at a time."""
    chunk: list[datetime] = []
    for hour in sorted({start_of_hour(hour) for hour in hours}):
        if chunk and (hour.date() != chunk[0].date() or len(chunk) == longest):
            yield chunk
            chunk = []
        chunk.append(hour)
    if chunk:
        yield chunk


def _derive_hour(
    client: Client,
    hour: datetime,
    context: DerivationContext,
    results: Mapping[str, DerivationResult],
    frames: Mapping[str, dict[datetime, pl.DataFrame]],
) -> None:
    known = _inputs(client, hour, context, [result.derivation for result in results.values()])
    for name, result in results.items():
        derivation = result.derivation
        missing = [
            needed for needed in _needs(derivation) if needed not in known and needed != name
        ]
        if missing:
            result.blocked[hour] = f"its input {missing[0]} was not published"
            continue
        known[name] = derivation.derive(known, context)
        for check in derivation.checks:
            outcome = check.function({needed: known[needed] for needed in check.inputs}, context)
            result.checks.setdefault(check.name, HourChecks(check)).outcomes[hour] = outcome
            if check.blocking and not outcome.passed:
                result.blocked[hour] = (
                    f"check {check.name} failed on {outcome.failed} of {outcome.examined} rows"
                )
        if hour in result.blocked:
            del known[name]
        else:
            frames[name][hour] = known[name]


def _inputs(
    client: Client, hour: datetime, context: DerivationContext, wanted: Sequence[Derivation]
) -> dict[str, pl.DataFrame]:
    """Read every frame that the wanted derivations and their checks need and none of them makes."""
    made = {one.name for one in wanted}
    needed = {name for one in wanted for name in _needs(one)} - made
    known = read_raw(client, hour, context) if needed & set(_RAW) else {}
    if needed & set(LOADED):
        known |= read_loaded(client, hour, context)
    for derivation in REGISTRY:
        if derivation.name in needed:
            known[derivation.name] = read_derived(client, derivation, hour)
    return known


def _needs(derivation: Derivation) -> tuple[str, ...]:
    """Return the frames that a derivation and its checks read."""
    of_checks = (name for check in derivation.checks for name in check.inputs)
    return tuple(dict.fromkeys((*derivation.inputs, *of_checks)))


def _publish(
    client: Client,
    result: DerivationResult,
    frames: Mapping[datetime, pl.DataFrame],
    run_id: str,
    context: DerivationContext,
) -> None:
    if not frames:
        return
    derivation = result.derivation
    version, parameters = derivation.code_version, parameters_hash(context)
    published = publish_hours(
        client,
        derivation.table,
        pl.concat(frames.values()).with_columns(
            code_version=pl.lit(version), parameters_hash=pl.lit(parameters)
        ),
        list(frames),
        run_id=run_id,
        code_version=version,
        parameters_hash=parameters,
    )
    result.published.update({done.hour: done for done in published})
    for frame in frames.values():
        if not frame.is_empty():
            result.last_frame = frame
