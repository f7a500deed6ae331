"""Materialising SQL models: their tables and views, made and replaced inside the database."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from vol_platform.clock import Clock, utc_now
from vol_platform.errors import SqlModelError, StoreError
from vol_platform.store.migrate import for_cluster
from vol_platform.store.publish import Audit, PublishedHour, publish_query
from vol_platform.store.replace import replace_table
from vol_platform.store.sql_models.loader import SqlModel, fail_at, line_of, parameters_of, render
from vol_platform.store.sql_models.tests import TestOutcome, run_tests

__all__ = ["ModelResult", "check_types", "code_version", "ensure", "materialise_model"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOW_CARDINALITY = re.compile(r"LowCardinality\(((?:[^()]|\([^()]*\))*)\)")


@dataclass
class ModelResult:
    """What became of a model.

    Attributes
    ----------
    model
        Which.
    published
        Hours that were replaced; one entry of hour zero for a model that is replaced as a whole.
    tests
        Outcomes by day, or of the whole.
    blocked
        Why nothing (more) was published; empty when all is well.
    """

    model: SqlModel
    published: list[PublishedHour] = field(default_factory=list)
    tests: list[TestOutcome] = field(default_factory=list)
    blocked: str = ""


class _BlockedError(StoreError):
    """A blocking test failed on staging."""


def code_version(model: SqlModel, models: Mapping[str, SqlModel]) -> str:
    """Return a short hash of what runs, so that a changed model shows as changed."""
    return hashlib.sha256(render(model, models).encode()).hexdigest()[:12]


def _plain(kind: str) -> str:
    """Leave out what does not change the values of a type."""
    return _LOW_CARDINALITY.sub(r"\1", kind)


def _values(
    model: SqlModel, models: Mapping[str, SqlModel], values: Mapping[str, Any]
) -> dict[str, Any]:
    wanted = set(parameters_of(model, models)) - {"partition_start", "partition_end"}
    missing = sorted(wanted - set(values))
    if missing:
        fail_at(model.path, line_of(model.path, r"^parameters:"), f"no value for {missing}")
    return {name: values[name] for name in sorted(wanted)}


def check_types(
    client: Client, model: SqlModel, models: Mapping[str, SqlModel], values: Mapping[str, Any]
) -> None:
    """Compare the types that the front matter declares with those that the engine finds.

    Raises
    ------
    SqlModelError
        With file and line, for the first column that differs; or the engine refuses the statement.
    """
    parameters = _values(model, models, values)
    parameters |= {"partition_start": _EPOCH, "partition_end": _EPOCH}
    try:
        rows = client.query(
            f"DESCRIBE TABLE (\n{render(model, models)}\n)", parameters=parameters
        ).result_rows
    except ClickHouseError as error:
        text = str(error).splitlines()[0]
        fail_at(model.path, model.select_line, f"the engine refuses it: {text}")
    found = {row[0]: row[1] for row in rows}
    for name, spec in model.front.columns.items():
        if spec.type is not None and _plain(found[name]) != _plain(spec.type):
            line = line_of(model.path, rf"^\s+{re.escape(name)}:")
            fail_at(model.path, line, f"column {name!r} is {found[name]}, declared as {spec.type}")


def ensure(
    client: Client,
    model: SqlModel,
    models: Mapping[str, SqlModel],
    *,
    cluster: str | None = None,
    rebuild: bool = False,
) -> None:
    """Create the model's table if it is missing, or its view as it now reads.

    Parameters
    ----------
    client, model, models
        Which, of all.
    cluster
        Name of the ClickHouse cluster; None is a single server.
    rebuild
        Drop a table that has other columns than the model, with its rows.

    Raises
    ------
    SqlModelError
        A table has other columns than the model; the text names the cure.
    """
    name = model.name
    if model.front.materialized == "view":
        statement = f"CREATE OR REPLACE VIEW {name} AS\n{render(model, models)}"
        client.command(for_cluster(statement, cluster))
        return
    client.command(for_cluster(_ddl(model), cluster))
    held = [tuple(row[:2]) for row in client.query(f"DESCRIBE TABLE {name}").result_rows]
    declared = [(column, spec.type) for column, spec in model.front.columns.items()]
    if held == declared:
        return
    if not rebuild:
        changed = sorted({column for column, _ in set(held) ^ set(declared)}) or ["their order"]
        msg = f"table {name} differs from its model in {changed}; run `vol models rebuild {name}`"
        raise SqlModelError(msg)
    client.command(for_cluster(f"DROP TABLE {name}", cluster) + " SYNC")
    client.command(for_cluster(_ddl(model), cluster))


def _ddl(model: SqlModel) -> str:
    columns = ",\n".join(
        f"    `{name}` {spec.type} COMMENT {_text(spec.description)}"
        for name, spec in model.front.columns.items()
    )
    is_hourly = model.front.materialized == "incremental"
    by_day = "PARTITION BY toYYYYMMDD(snapshot_ts)\n" if is_hourly else ""
    return (
        f"CREATE TABLE IF NOT EXISTS {model.name}\n(\n{columns}\n)\nENGINE = MergeTree\n"
        f"{by_day}ORDER BY ({', '.join(model.front.key)})\n"
        "SETTINGS non_replicated_deduplication_window = 10000\n"
        f"COMMENT {_text(model.front.description)}"
    )


def _text(value: str) -> str:
    plain = " ".join(value.split()).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{plain}'"


def materialise_model(
    client: Client,
    model: SqlModel,
    models: Mapping[str, SqlModel],
    hours: Sequence[datetime],
    values: Mapping[str, Any],
    *,
    run_id: str = "",
    cluster: str | None = None,
    clock: Clock = utc_now,
) -> ModelResult:
    """Publish hours of an incremental model, all of a replaced one, or the text of a view.

    The rows are made in staging, tested there, and swapped in at once; a failed blocking test
    publishes nothing.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    model, models
        Which, of all.
    hours
        Starts of hours; for an incremental model.
    values
        Values of parameters by name.
    run_id
        Written to ``derivation_runs``.
    cluster
        Name of the ClickHouse cluster.
    clock
        Time of publication.

    Raises
    ------
    SqlModelError
        The model and its table, or its declared and its real types, differ.
    StoreError
        As `publish_query`.
    """
    result = ModelResult(model)
    check_types(client, model, models, values)
    ensure(client, model, models, cluster=cluster)
    if model.front.materialized == "view":
        return result
    parameters = _values(model, models, values)
    lineage = {
        "run_id": run_id,
        "code_version": code_version(model, models),
        "parameters_hash": hashlib.sha256(
            json.dumps(parameters, sort_keys=True, default=str).encode()
        ).hexdigest()[:12],
    }

    def auditing(of_hours: Sequence[datetime] | None) -> Audit:
        return lambda staging: _audit(client, model, staging, of_hours, result)

    query = render(model, models)
    try:
        if model.front.materialized == "incremental":
            for day in sorted({hour.date() for hour in hours}):
                of_day = [hour for hour in hours if hour.date() == day]
                result.published += publish_query(
                    client,
                    model.name,
                    query,
                    parameters,
                    of_day,
                    audit=auditing(of_day),
                    clock=clock,
                    **lineage,
                )
        else:
            result.published.append(
                replace_table(
                    client,
                    model.name,
                    query,
                    parameters,
                    audit=auditing(None),
                    clock=clock,
                    **lineage,
                )
            )
    except _BlockedError as error:
        result.blocked = str(error)
    return result


def _audit(
    client: Client,
    model: SqlModel,
    staging: str,
    hours: Sequence[datetime] | None,
    result: ModelResult,
) -> None:
    """Run the tests on staging, keep what they found, refuse the rows if a blocking one fails."""
    outcomes = run_tests(client, model, staging, hours)
    result.tests += outcomes
    for outcome in outcomes:
        if outcome.test.blocking and not outcome.passed:
            msg = f"test {outcome.test.name} failed on {outcome.failed} of {outcome.examined} rows"
            raise _BlockedError(msg)
