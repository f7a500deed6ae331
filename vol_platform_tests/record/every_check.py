"""Every check of the graph on good rows and on rows made wrong on purpose.

``python -m vol_platform_tests.record.every_check`` starts a store and prints the table of
docs/checks.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from pathlib import Path

from clickhouse_connect.driver.client import Client

from vol_platform.derivations.contracts import DerivationContext
from vol_platform.derivations.history.registry import HISTORY
from vol_platform.derivations.registry import REGISTRY, derive_all
from vol_platform.record.engine import materialise
from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform.store.migrate import migrate
from vol_platform.store.sql_models.loader import load_models
from vol_platform.store.sql_models.run import materialise_model
from vol_platform.store.sql_models.tests import KEY_TEST, run_tests
from vol_platform_tests.conftest import finish, start_store
from vol_platform_tests.derivations.boards import raw_frames
from vol_platform_tests.derivations.test_checks import MOMENTS, SPOILED
from vol_platform_tests.derivations.test_history import SPOILED_HISTORY, history
from vol_platform_tests.record.market import insert_live_view, insert_market
from vol_platform_tests.record.ticks import HOUR

__all__ = ["Seen", "derivation_checks", "model_tests"]

CONTEXT = DerivationContext()
VALUES = {"max_quote_age_seconds": 60.0}

SPOILED_MODELS = {
    "bar_holds_together": "close_price * 2 AS close_price",
    "no_price_spike": "low_price / 2 AS low_price",
    "buys_within_all": "amount * 2 AS buy_amount",
    "most_options_fresh": "toNullable(0.4) AS mean_completeness",
    "no_unrepaired_gap": "600. AS gap_seconds",
    "index_near_dvol": "difference + 0.1 AS difference",
    "delta_near_exchange": "0.1 AS mean_delta_difference",
    "vega_near_exchange": "2. AS mean_vega_ratio",
    "vol_near_mark": "0.2 AS mean_vol_difference",
    "live_matches_record": "vol_difference + 0.05 AS vol_difference",
}


@dataclass(frozen=True)
class Seen:
    """What a check said of good rows and of spoiled ones."""

    asset: str
    check: str
    blocks: bool
    good_passed: bool
    good_failed: int
    good_examined: int
    spoiled_how: str
    spoiled_passed: bool
    spoiled_failed: int
    spoiled_examined: int
    has_sample: bool


def derivation_checks() -> Iterator[Seen]:
    """Run the checks of every derivation on three minutes of a board, and on forty days."""
    good = derive_all(raw_frames(MOMENTS), CONTEXT)
    past = history()
    past |= {one.name: one.derive(past, CONTEXT) for one in HISTORY}
    for layer, derivations, frames in (("record", REGISTRY, good), ("history", HISTORY, past)):
        for one in derivations:
            for check in one.checks:
                if layer == "record":
                    spoiled = SPOILED[check.name](frames)
                else:
                    columns = SPOILED_HISTORY[one.name]
                    spoiled = frames | {one.name: frames[one.name].with_columns(**columns)}
                changed = [name for name in frames if spoiled[name] is not frames[name]]
                before = check.function({name: frames[name] for name in check.inputs}, CONTEXT)
                after = check.function({name: spoiled[name] for name in check.inputs}, CONTEXT)
                yield Seen(
                    f"{layer}/{one.name}",
                    check.name,
                    check.blocking,
                    before.passed,
                    before.failed,
                    before.examined,
                    f"rows of {', '.join(changed)} changed or cut",
                    after.passed,
                    after.failed,
                    after.examined,
                    not after.sample.is_empty(),
                )


def model_tests(settings: Settings) -> Iterator[Seen]:
    """Run the tests of every SQL model on an hour of a market, and on a copy that was changed."""
    insert_market(settings, [HOUR, HOUR + timedelta(minutes=1), HOUR + timedelta(minutes=59)])
    materialise(settings, [HOUR])
    models = load_models()
    with connect(settings) as client:
        insert_live_view(client)
        for model in models.values():
            if not model.front.is_table:
                continue
            result = materialise_model(client, model, models, [HOUR], VALUES)
            for good in result.tests:
                test = good.test
                how = _how(test.name, model.front.columns)
                with_change = _spoiled(client, model.name, how)
                bad = next(
                    one
                    for one in run_tests(client, model, with_change)
                    if one.test.name == test.name
                )
                client.command(f"DROP TABLE {with_change}")
                yield Seen(
                    f"{model.path.parent.name}/{model.name}",
                    test.name,
                    test.blocking,
                    good.passed,
                    good.failed,
                    good.examined,
                    how or "a row twice",
                    bad.passed,
                    bad.failed,
                    bad.examined,
                    not bad.sample.is_empty(),
                )


def _how(test: str, columns: dict[str, object]) -> str:
    """Return the change that makes a test fail; empty for rows that come twice."""
    if test == KEY_TEST:
        return ""
    if test in SPOILED_MODELS:
        return SPOILED_MODELS[test]
    for name, spec in columns.items():
        if test == f"{name}_is_there":
            return f"NULL AS {name}"
        if test == f"{name}_within_bounds":
            return f"{spec.between[1]!r} * 2 + 1 AS {name}"  # type: ignore[attr-defined]
    msg = f"no change is known that makes {test} fail; add one to SPOILED_MODELS"
    raise KeyError(msg)


def _spoiled(client: Client, table: str, how: str) -> str:
    name = f"{table}__spoiled"
    client.command(f"CREATE TABLE {name} AS {table} ENGINE = MergeTree ORDER BY tuple()")
    if how:
        client.command(f"INSERT INTO {name} SELECT * REPLACE ({how}) FROM {table}")  # noqa: S608 - names and changes of this file
    else:
        client.command(
            f"INSERT INTO {name} SELECT * FROM {table} UNION ALL SELECT * FROM {table} LIMIT 1"  # noqa: S608 - as above
        )
        client.command(f"INSERT INTO {name} SELECT * FROM {name} LIMIT 1")  # noqa: S608 - as above
    return name


def table(rows: Iterator[Seen]) -> str:
    """Write what was seen as a Markdown table."""
    lines = [
        "| asset | check | blocks | on good rows | made wrong | then |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in rows:
        good = "passes" if one.good_passed else "FAILS"
        bad = "PASSES" if one.spoiled_passed else "fails"
        lines.append(
            f"| {one.asset} | {one.check} | {'yes' if one.blocks else ''} | {good}, "
            f"{one.good_failed} of {one.good_examined} | {one.spoiled_how} | {bad}, "
            f"{one.spoiled_failed} of {one.spoiled_examined} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Start a store, see every check, print the table."""
    with tempfile.TemporaryDirectory(prefix="vol-checks-") as folder:
        store = start_store(Path(folder) / "store")
        try:
            settings = store.settings("every_check")
            migrate(settings)
            print(table(chain(derivation_checks(), model_tests(settings))))  # noqa: T201 - a command
        finally:
            finish(store)


if __name__ == "__main__":
    main()
