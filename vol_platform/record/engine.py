"""Materialising hours, without Dagster: read once, derive in order, check, publish.

The assets of `vol_platform.record.assets` are a thin face over `materialise`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import groupby, zip_longest
from multiprocessing import get_context
from time import sleep

import polars as pl
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from vol_platform.derivations.contracts import Check, CheckOutcome, Derivation, DerivationContext
from vol_platform.derivations.registry import REGISTRY
from vol_platform.errors import StoreError
from vol_platform.record.frames import LOADED, context_of, read_derived, read_loaded, read_raw
from vol_platform.record.partitions import start_of_hour
from vol_platform.settings import Settings
from vol_platform.store.client import connect, with_retries
from vol_platform.store.day_publication import DayPublication, Lineage, PublishedHour

__all__ = ["DerivationResult", "HourChecks", "materialise", "parameters_hash"]

_RAW = ("chain", "futures", "index")
_HOURS_OF_AN_INSERT = 4
"""An insert costs as much as a second of rows: a file for every column, a part to be merged."""
_ATTEMPTS_A_DAY = 3
_PATIENCE_SECONDS = 3600.0
_PAUSES_SECONDS = (2.0, 10.0)
"""Before days that the database refused are tried again, all the others being done."""
_NEVER = datetime.min.replace(tzinfo=UTC)


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
    warn: Callable[[str], None] | None = None,
) -> dict[str, DerivationResult]:
    """Derive and publish hours.

    Every hour starts from nothing but its own ticks, so the order of the hours, their grouping and
    what was there before do not show in the result.

    A day that the database refuses is put off until the others are done and then tried again, here
    and not by whoever calls: only this call knows the checks of the days that were published.

    Parameters
    ----------
    settings
        Where ClickHouse is, which quotes count, how many processes share the days.
    hours
        Starts of hours.
    names
        Derivations to publish; None is all.  Inputs that are not among them are read from the
        record as they are.
    run_id
        Written to ``derivation_runs``.
    progress
        Called with each hour when it is derived; with several processes when its day is published.
    warn
        Called with a line for each day that is put off.

    Returns
    -------
    dict
        Results by name, in registry order.  An hour whose blocking check fails is in `blocked`, as
        are the hours of everything that needs it, and those of a day that the database refused to
        the end (running them again is safe); the other hours are published.

    Raises
    ------
    DerivationError
        A derivation broke its contract.
    """
    chosen = None if names is None else frozenset(names)
    results = {one.name: DerivationResult(one) for one in _wanted(chosen)}
    left, told = _days(hours), progress or _nobody_asks
    for pause in (*_PAUSES_SECONDS, None):
        refused = _try_days(settings, left, chosen, run_id, told, results)
        left = [day for day, _ in refused]
        if not left or pause is None:
            break
        for _, error in refused:
            (warn or _nobody_asks)(f"{error}; tried again in {pause:g} s")
        sleep(pause)
    for day, error in refused:
        nothing = _Told({}, dict.fromkeys(day, str(error)), {}, None)
        _merge(results, dict.fromkeys(results, nothing))
    return results


def _try_days(
    settings: Settings,
    days: Sequence[list[datetime]],
    names: frozenset[str] | None,
    run_id: str,
    progress: Callable[[datetime], None],
    results: Mapping[str, DerivationResult],
) -> list[tuple[list[datetime], StoreError]]:
    """Derive and publish days and add them to the results; return those that were refused."""
    refused: list[tuple[list[datetime], StoreError]] = []

    def take(day: list[datetime], answer: Callable[[], dict[str, _Told]]) -> bool:
        try:
            _merge(results, answer())
        except StoreError as error:
            refused.append((day, error))
            return False
        return True

    if settings.record.processes == 1 or len(days) <= 1:
        for day in days:
            take(day, partial(_materialise_day, settings, day, names, run_id, progress))
        return refused
    # Days are dealt out: a table is replaced a day partition at a time, by one writer.
    with ProcessPoolExecutor(
        min(settings.record.processes, len(days)), mp_context=get_context("spawn")
    ) as pool:
        running = {pool.submit(_materialise_day, settings, day, names, run_id): day for day in days}
        try:
            for done in as_completed(running):
                # Not kept: the answers of a month would hold thirty days of newest frames.
                hours_of_day = running.pop(done)
                if take(hours_of_day, done.result):
                    for hour in hours_of_day:
                        progress(hour)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return refused


def _nobody_asks(_: object) -> None:
    """Take note of nothing."""


def _wanted(names: frozenset[str] | None) -> list[Derivation]:
    return [one for one in REGISTRY if names is None or one.name in names]


def _days(hours: Iterable[datetime]) -> list[list[datetime]]:
    """Group hours by day, in order."""
    ordered = sorted({start_of_hour(hour) for hour in hours})
    return [list(of_day) for _, of_day in groupby(ordered, key=datetime.date)]


@dataclass
class _Told:
    """What a day's worker tells of one derivation: a result in plain data, to cross processes."""

    published: dict[datetime, PublishedHour]
    blocked: dict[datetime, str]
    outcomes: dict[str, dict[datetime, CheckOutcome]]
    last_frame: pl.DataFrame | None


def _merge(results: Mapping[str, DerivationResult], told: Mapping[str, _Told]) -> None:
    for name, of_day in told.items():
        result = results[name]
        is_newer = not result.published or max(of_day.published, default=_NEVER) > max(
            result.published
        )
        if of_day.last_frame is not None and is_newer:
            result.last_frame = of_day.last_frame
        result.published = dict(sorted({**result.published, **of_day.published}.items()))
        result.blocked = dict(sorted({**result.blocked, **of_day.blocked}.items()))
        for check in result.derivation.checks:
            if check.name in of_day.outcomes:
                merged = result.checks.setdefault(check.name, HourChecks(check))
                merged.outcomes = dict(
                    sorted({**merged.outcomes, **of_day.outcomes[check.name]}.items())
                )


def _materialise_day(
    settings: Settings,
    hours: Sequence[datetime],
    names: frozenset[str] | None,
    run_id: str,
    progress: Callable[[datetime], None] = _nobody_asks,
) -> dict[str, _Told]:
    """Derive and publish hours of one day; a day that the database broke off is begun again.

    So a moment's trouble costs a run of a month one day and not the whole.
    """

    def once() -> dict[str, _Told]:
        return _publish_day(settings, hours, names, run_id, progress)

    try:
        return with_retries(once, attempts=_ATTEMPTS_A_DAY, timeout=_PATIENCE_SECONDS)
    except ClickHouseError as error:
        raise StoreError(f"hours of {hours[0]:%Y-%m-%d} were not published: {error}") from error


def _publish_day(
    settings: Settings,
    hours: Sequence[datetime],
    names: frozenset[str] | None,
    run_id: str,
    progress: Callable[[datetime], None],
) -> dict[str, _Told]:
    """Derive and publish hours of one day, or raise what ClickHouse says.

    While an hour is derived the next one is read and the ones before are sent to staging, a few at
    a time; so memory holds the same few hours however many are published together.
    """
    context = context_of(settings)
    wanted = _wanted(names)
    told = {one.name: _Told({}, {}, {}, None) for one in wanted}
    with connect(settings) as client, ExitStack() as opened:
        lineages = {
            one.name: Lineage(run_id, one.code_version, parameters_hash(context)) for one in wanted
        }
        staged = {
            one.name: opened.enter_context(
                DayPublication(client, one.table, hours[0].replace(hour=0))
            )
            for one in wanted
        }
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            inputs = reader.submit(_inputs, client, hours[0], context, wanted)
            sent: Future[None] | None = None
            waiting: list[tuple[datetime, dict[str, pl.DataFrame]]] = []
            for hour, following in zip_longest(hours, hours[1:]):
                known = inputs.result()
                if following is not None:
                    inputs = reader.submit(_inputs, client, following, context, wanted)
                waiting.append((hour, _derive_hour(known, hour, context, wanted, told)))
                if len(waiting) == _HOURS_OF_AN_INSERT or following is None:
                    if sent is not None:
                        sent.result()
                    sent = writer.submit(_send, staged, lineages, waiting)
                    waiting = []
                progress(hour)
            if sent is not None:
                sent.result()
        for name, publication in staged.items():
            told[name].published = {done.hour: done for done in publication.publish(lineages[name])}
    return told


def _send(
    staged: Mapping[str, DayPublication],
    lineages: Mapping[str, Lineage],
    derived: Sequence[tuple[datetime, Mapping[str, pl.DataFrame]]],
) -> None:
    """Send the frames of some hours, one insert a table."""
    for name, of_table in lineages.items():
        hours = [hour for hour, frames in derived if name in frames]
        if not hours:
            continue
        labelled = pl.concat(frames[name] for _, frames in derived if name in frames).with_columns(
            code_version=pl.lit(of_table.code_version),
            parameters_hash=pl.lit(of_table.parameters_hash),
        )
        staged[name].add(labelled, hours)


def _derive_hour(
    known: dict[str, pl.DataFrame],
    hour: datetime,
    context: DerivationContext,
    wanted: Sequence[Derivation],
    told: Mapping[str, _Told],
) -> dict[str, pl.DataFrame]:
    """Return the frames to publish; tell of the checks, and of what is blocked and why."""
    frames: dict[str, pl.DataFrame] = {}
    for derivation in wanted:
        name, of_name = derivation.name, told[derivation.name]
        missing = [
            needed for needed in _needs(derivation) if needed not in known and needed != name
        ]
        if missing:
            of_name.blocked[hour] = f"its input {missing[0]} was not published"
            continue
        known[name] = derivation.derive(known, context)
        for check in derivation.checks:
            outcome = check.function({needed: known[needed] for needed in check.inputs}, context)
            of_name.outcomes.setdefault(check.name, {})[hour] = outcome
            if check.blocking and not outcome.passed:
                of_name.blocked[hour] = (
                    f"check {check.name} failed on {outcome.failed} of {outcome.examined} rows"
                )
        if hour in of_name.blocked:
            del known[name]
            continue
        frames[name] = known[name]
        if not known[name].is_empty():
            of_name.last_frame = known[name]
    return frames


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
