"""The loader of SQL models: what it accepts, and the file and line of what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from vol_platform.errors import SqlModelError
from vol_platform.store.sql_models.loader import load_models, parse_model, render

GOOD = """/* @model
name: {name}
description: prices of the index
owner: team:vol
grain: one row per tick
key: [exchange_ts]
columns:
  exchange_ts: when
  price: USD
*/
SELECT s.exchange_ts AS exchange_ts, s.price AS price
FROM {{{{ source('spot_prices') }}}} AS s
WHERE s.exchange_ts >= {{{{ partition.start }}}}
"""


def write(folder: Path, name: str = "prices") -> Path:
    path = folder / f"{name}.sql"
    path.write_text(GOOD.format(name=name))
    return path


def spoiled(folder: Path, old: str, new: str) -> Path:
    path = write(folder)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_every_model_of_the_project_loads_and_reads_only_declared_tables() -> None:
    models = load_models()
    assert {"stg_option_quotes", "stg_option_instruments", "stg_futures", "stg_index"} <= set(
        models
    )
    assert models["stg_futures"].sources == ("futures_prices", "instruments")


def test_the_text_that_runs_is_the_author_s_with_bounds_as_parameters(tmp_path: Path) -> None:
    write(tmp_path)
    models = load_models(tmp_path)
    sql = render(models["prices"], models)
    assert sql == (
        "SELECT s.exchange_ts AS exchange_ts, s.price AS price\n"
        "FROM spot_prices AS s\n"
        "WHERE s.exchange_ts >= {partition_start:DateTime('UTC')}"
    )


def test_an_ephemeral_model_becomes_a_subquery_of_its_readers(tmp_path: Path) -> None:
    write(tmp_path)
    reader = write(tmp_path, "a_reader")
    reader.write_text(reader.read_text().replace("source('spot_prices')", "ref('prices')"))
    models = load_models(tmp_path)
    assert list(models) == ["prices", "a_reader"]
    assert "FROM (\nSELECT s.exchange_ts" in render(models["a_reader"], models)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("/* @model", "-- no front matter", 1, "begins without front matter"),
        ("grain: one row per tick", "grain: [one", 7, "front matter"),
        ("owner: team:vol", "ownr: team:vol", 1, "owner: Field required"),
        ("owner: team:vol", "owner: team:vol\nflavour: sweet", 5, "flavour: Extra inputs"),
        ("name: prices", "name: price", 2, "name is 'price', the file is prices.sql"),
        ("source('spot_prices')", "source('spot')", 12, "unknown source 'spot'"),
        ("source('spot_prices')", "soruce('spot_prices')", 12, "'soruce' is undefined"),
        ("partition.start", "partition.begin", 13, "begin"),
        ("{{ source('spot_prices') }}", "spot_prices", 12, "reads 'spot_prices' directly"),
        ("{{ partition.start }}", "{{ partition.start", 13, "template"),
        ("s.price AS price", "s.price AS cost", 11, "column 'cost' is not described"),
        ("  price: USD\n", "  price: USD\n  volume: coins\n", 10, "'volume' is declared but not"),
        ("s.price AS price", "s.price AS price, *", 11, "selects *"),
        ("WHERE", "WHERE WHERE", 13, "SQL does not parse"),
        ("SELECT s", "INSERT INTO trades SELECT s", 11, "exactly one SELECT, holds INSERT"),
        (">= {{ partition.start }}", "> {since:DateTime('UTC')}", 13, "parameter since"),
        ("columns:", "parameters:\n  since: UInt8\ncolumns:", 8, "since is declared but not"),
        ("key: [exchange_ts]", "key: [instant]", 6, "'instant' is declared but not selected"),
    ],
)
def test_an_error_names_file_and_line(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    path = spoiled(tmp_path, old, new)
    with pytest.raises(SqlModelError) as caught:
        parse_model(path)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path.name}/prices.sql:{line}: "), text
    assert message in text


def test_an_unknown_ref_names_the_models_there_are(tmp_path: Path) -> None:
    path = spoiled(tmp_path, "source('spot_prices')", "ref('nowhere')")
    assert path.exists()
    with pytest.raises(SqlModelError, match=r"prices.sql:12: unknown ref 'nowhere'.*\['prices'\]"):
        load_models(tmp_path)


def test_a_cycle_is_shown_as_a_chain(tmp_path: Path) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        path = write(tmp_path, name)
        path.write_text(path.read_text().replace("source('spot_prices')", f"ref('{other}')"))
    with pytest.raises(SqlModelError, match=r":12: models refer to each other in a cycle: .* -> "):
        load_models(tmp_path)


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder)
    with pytest.raises(SqlModelError, match=r"second/prices.sql:1: model 'prices' exists already"):
        load_models(tmp_path)
