"""The tests of a SQL model, run on rows in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.store.client import query_frame
from vol_platform.store.sql_models.front_matter import ModelTest
from vol_platform.store.sql_models.loader import SqlModel

__all__ = ["KEY_TEST", "TestOutcome", "run_tests", "tests_of"]

KEY_TEST = "key_is_unique"
_SAMPLE_ROWS = 10


@dataclass(frozen=True)
class TestOutcome:
    """What a test found.

    Attributes
    ----------
    test
        Which.
    failed, examined
        Rows.
    numbers
        Figures by name.
    sample
        A few of the failing rows.
    """

    __test__ = False  # the name is not pytest's

    test: ModelTest
    failed: int
    examined: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    sample: pl.DataFrame = field(default_factory=pl.DataFrame)

    @property
    def passed(self) -> bool:
        """Whether no more rows fail than may."""
        return self.failed <= self.test.tolerated_share * self.examined


def tests_of(model: SqlModel) -> tuple[ModelTest, ...]:
    """Return every test of a table: that its key is unique, then those of its front matter."""
    key = ModelTest(
        name=KEY_TEST,
        description=f"No two rows agree in {', '.join(model.front.key)}.",
        fails=f"({', '.join(model.front.key)})",
        blocking=True,
    )
    return (key, *model.front.all_tests())


def run_tests(
    client: Client, model: SqlModel, table: str, hours: Sequence[datetime] | None = None
) -> list[TestOutcome]:
    """Run every test of a model on rows of a table.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    model
        Whose tests.
    table
        The model's table, or staging with the same columns.
    hours
        Hours of ``snapshot_ts`` to look at; None is every row.

    Returns
    -------
    list of TestOutcome
        In the order of `tests_of`.
    """
    rows = f"`{table}`"
    parameters: dict[str, Any] = {}
    if hours is not None:
        rows += " WHERE toStartOfHour(snapshot_ts) IN {hours:Array(DateTime('UTC'))}"
        parameters["hours"] = list(hours)
    key, *others = tests_of(model)
    wanted = ["count()", f"count() - uniqExact{key.fails}"]
    wanted += [f"countIf({test.fails})" for test in others]
    numbers = [(test, name, text) for test in others for name, text in test.numbers.items()]
    wanted += [f"toFloat64({text})" for _, _, text in numbers]
    found = client.query(
        f"SELECT {', '.join(wanted)} FROM {rows}",  # noqa: S608 - our own models' text; values are parameters
        parameters=parameters,
    ).result_rows[0]
    examined, counts = int(found[0]), [int(value) for value in found[1 : 2 + len(others)]]
    figures: dict[str, dict[str, float]] = {}
    for (test, name, _), value in zip(numbers, found[2 + len(others) :], strict=True):
        figures.setdefault(test.name, {})[name] = float("nan") if value is None else float(value)
    return [
        TestOutcome(
            test,
            failed,
            examined,
            figures.get(test.name, {}),
            _sample(client, model, rows, parameters, test) if failed else pl.DataFrame(),
        )
        for test, failed in zip((key, *others), counts, strict=True)
    ]


def _sample(
    client: Client, model: SqlModel, rows: str, parameters: dict[str, Any], test: ModelTest
) -> pl.DataFrame:
    key = ", ".join(model.front.key)
    if test.name == KEY_TEST:
        query = f"SELECT {key}, count() AS times FROM {rows} GROUP BY {key} HAVING times > 1"  # noqa: S608 - as above
    else:
        joined = "AND" if "WHERE" in rows else "WHERE"
        query = f"SELECT * FROM {rows} {joined} ({test.fails})"  # noqa: S608 - as above
    return query_frame(client, f"{query} ORDER BY {key} LIMIT {_SAMPLE_ROWS}", parameters)
