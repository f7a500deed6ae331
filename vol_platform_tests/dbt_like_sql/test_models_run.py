"""Every model of the project on the real engine: types, rows, tests, twice the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client

from vol_platform.errors import SqlModelError
from vol_platform.record.engine import materialise
from vol_platform.settings import Settings
from vol_platform.store.client import connect, query_frame
from vol_platform.store.sql_models.lineage import column_lineage
from vol_platform.store.sql_models.loader import SqlModel, load_models, parse_model
from vol_platform.store.sql_models.run import check_types, ensure, materialise_model
from vol_platform_tests.record.market import insert_live_view, insert_market
from vol_platform_tests.record.ticks import HOUR

VALUES = {"max_quote_age_seconds": 60.0}
MOMENTS = [HOUR, HOUR + timedelta(minutes=1), HOUR + timedelta(minutes=59)]
MODELS = load_models()
TABLES = [model for model in MODELS.values() if model.front.is_table]


@pytest.fixture
def client(database: Settings) -> Iterator[Client]:
    """Give a client of a database that holds one derived hour of a whole market."""
    insert_market(database, MOMENTS)
    materialise(database, [HOUR])
    with connect(database) as connected:
        insert_live_view(connected)
        yield connected


def rows(client: Client, name: str) -> pl.DataFrame:
    return query_frame(client, f"SELECT * FROM {name} ORDER BY ALL")  # noqa: S608 - names of models


def test_every_model_has_rows_of_the_declared_types_passes_its_tests_and_repeats(
    client: Client,
) -> None:
    first: dict[str, Any] = {}
    for model in MODELS.values():
        if model.front.materialized == "ephemeral":
            check_types(client, model, MODELS, VALUES)
            continue
        result = materialise_model(client, model, MODELS, [HOUR], VALUES)
        assert result.blocked == "", model.name
        assert not rows(client, model.name).is_empty(), model.name
        failed = [one.test.name for one in result.tests if not one.passed]
        assert failed == [], model.name
        first[model.name] = rows(client, model.name), result.published
    for model in TABLES:
        again = materialise_model(client, model, MODELS, [HOUR], VALUES)
        assert again.published == first[model.name][1], model.name
        assert rows(client, model.name).equals(first[model.name][0]), model.name


def test_an_hour_is_replaced_and_its_neighbour_stays(client: Client, database: Settings) -> None:
    model = MODELS["stg_index_bars"]
    later = HOUR + timedelta(hours=1)
    insert_market(database, [later + timedelta(minutes=1)])
    materialise_model(client, model, MODELS, [HOUR, later], VALUES)
    before = rows(client, model.name)
    client.command(
        "DELETE FROM spot_prices WHERE exchange_ts < {hour:DateTime('UTC')}",
        parameters={"hour": later},
    )
    materialise_model(client, model, MODELS, [HOUR], VALUES)
    left = rows(client, model.name)
    assert left.equals(before.filter(pl.col("snapshot_ts") >= later))
    assert left.height == 1


GOOD = """/* @model
name: prices
description: last price of the index
owner: team:vol
grain: one row per market
key: [index_name]
materialized: replace
columns:
  index_name: {type: LowCardinality(String), description: which}
  price: {type: Float64, description: USD, between: [1, 1000000]}
  ticks: {type: UInt64, description: rows}
*/
SELECT s.index_name AS index_name, toFloat64(max(s.price)) AS price, count() AS ticks
FROM {{ source('spot_prices') }} AS s
GROUP BY s.index_name
"""


def written(folder: Path, old: str = "", new: str = "") -> SqlModel:
    path = folder / "prices.sql"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new) if old else GOOD)
    return parse_model(path)


def test_a_model_that_is_replaced_follows_its_source(client: Client, tmp_path: Path) -> None:
    model = written(tmp_path)
    materialise_model(client, model, {model.name: model}, [], {})
    assert rows(client, "prices")["ticks"].to_list() == [len(MOMENTS)]
    client.command("TRUNCATE TABLE spot_prices")
    materialise_model(client, model, {model.name: model}, [], {})
    assert rows(client, "prices").is_empty()


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("price: {type: Float64", "price: {type: Float32", 10, "'price' is Float64, declared as"),
        ("max(s.price)", "max(s.cost)", 13, "the engine refuses it"),
    ],
)
def test_a_type_that_is_not_the_declared_one_names_file_and_line(
    client: Client, tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    model = written(tmp_path, old, new)
    with pytest.raises(SqlModelError) as caught:
        check_types(client, model, {model.name: model}, {})
    assert str(caught.value).startswith(f"{tmp_path.name}/prices.sql:{line}: "), str(caught.value)
    assert message in str(caught.value)


def test_a_changed_model_names_the_cure_and_is_rebuilt(client: Client, tmp_path: Path) -> None:
    model = written(tmp_path)
    ensure(client, model, {model.name: model})
    changed = written(tmp_path, "ticks", "updates")
    with pytest.raises(SqlModelError, match=r"differs from its model in \['ticks', 'updates'\]"):
        ensure(client, changed, {changed.name: changed})
    ensure(client, changed, {changed.name: changed}, rebuild=True)
    assert "updates" in rows(client, "prices").columns


def test_a_failed_blocking_test_publishes_nothing_and_shows_a_sample(
    client: Client, tmp_path: Path
) -> None:
    model = written(tmp_path)
    materialise_model(client, model, {model.name: model}, [], {})
    before = rows(client, "prices")
    blocking = """tests:
  - {name: dear, description: Prices are high., fails: price < 1e9, blocking: true}
*/"""
    refused = written(tmp_path, "*/", blocking)
    result = materialise_model(client, refused, {refused.name: refused}, [], {})
    assert result.blocked == "test dear failed on 1 of 1 rows"
    assert result.tests[-1].sample.height == 1
    assert rows(client, "prices").equals(before)


def test_columns_are_traced_to_the_columns_that_they_come_from() -> None:
    found = column_lineage(MODELS["mart_greeks_against_exchange"], MODELS)
    assert ("options_greeks", "delta") in found["mean_delta_difference"]
    assert ("options_quotes_minute", "delta") in found["mean_delta_difference"]
    assert found["options"] == ()
    basis = column_lineage(MODELS["stg_futures_basis"], MODELS)["basis"]
    assert {table for table, _ in basis} == {"futures_prices"}
