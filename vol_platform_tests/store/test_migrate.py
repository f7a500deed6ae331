"""Bringing databases to the newest schema."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from vol_platform.clock import utc_now
from vol_platform.errors import MigrationError
from vol_platform.settings import RetentionSettings, Settings
from vol_platform.store.client import connect, insert_frame
from vol_platform.store.migrate import for_cluster, load_migrations, migrate, split_statements
from vol_platform.store.retention import apply_retention, retention_of
from vol_platform_tests.conftest import StoreProcess


@pytest.fixture
def empty(store_server: StoreProcess) -> Iterator[Settings]:
    """Name a database that does not exist yet."""
    settings = store_server.settings(f"test_{secrets.token_hex(6)}")
    yield settings
    with connect(settings, database="default") as client:
        client.command(f"DROP DATABASE IF EXISTS {settings.clickhouse.database} SYNC")


def test_an_empty_database_gets_every_table_and_a_second_run_changes_nothing(
    empty: Settings,
) -> None:
    names = [migration.name for migration in load_migrations()]
    assert migrate(empty) == names
    with connect(empty) as client:
        tables = {row[0] for row in client.query("SHOW TABLES").result_rows}
        recorded = client.query("SELECT name FROM schema_migrations FINAL ORDER BY version")
        assert apply_retention(client, empty) == []
    assert {"options_quotes", "options_quotes_latest", "surfaces", "live_greeks"} <= tables
    assert [row[0] for row in recorded.result_rows] == names
    assert migrate(empty) == []


def test_processes_that_migrate_at_the_same_moment_agree(empty: Settings) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: migrate(empty), range(3)))
    with connect(empty) as client:
        recorded = client.query("SELECT name FROM schema_migrations FINAL ORDER BY version")
    assert [row[0] for row in recorded.result_rows] == [item.name for item in load_migrations()]


def test_a_file_changed_after_it_ran_and_an_unknown_newer_one_are_refused(
    empty: Settings, tmp_path: Path
) -> None:
    first = tmp_path / "0001_one.sql"
    first.write_text("CREATE TABLE IF NOT EXISTS one (n UInt8) ENGINE = MergeTree ORDER BY n;\n")
    second = tmp_path / "0002_two.sql"
    second.write_text("ALTER TABLE one ADD COLUMN IF NOT EXISTS m UInt8 COMMENT 'a; b';\n")
    assert migrate(empty, tmp_path) == ["0001_one.sql", "0002_two.sql"]
    text = first.read_text()
    first.write_text(text + "-- changed\n")
    with pytest.raises(
        MigrationError, match=r"0001_one.sql was changed after it ran .* put the file back"
    ):
        migrate(empty, tmp_path)
    first.write_text(text)
    second.unlink()
    with pytest.raises(MigrationError, match=r"0002_two.sql, which .* does not know"):
        migrate(empty, tmp_path)


def test_a_failed_statement_records_nothing_and_runs_again(empty: Settings, tmp_path: Path) -> None:
    file = tmp_path / "0001_one.sql"
    file.write_text("CREATE TABLE IF NOT EXISTS one (n NoSuchType) ENGINE = Memory;\n")
    with pytest.raises(MigrationError, match=r"0001_one.sql failed at «CREATE TABLE.*NoSuchType"):
        migrate(empty, tmp_path)
    file.write_text("CREATE TABLE IF NOT EXISTS one (n UInt8) ENGINE = Memory;\n")
    assert migrate(empty, tmp_path) == ["0001_one.sql"]


@pytest.mark.parametrize("name", ["1_x.sql", "0001-x.sql", "0001_X.sql"])
def test_a_misnamed_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match=re.escape(name)):
        load_migrations(tmp_path)


def test_a_number_used_twice_is_refused(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "0001_b.sql"):
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match="0001 is used by"):
        load_migrations(tmp_path)


def test_every_statement_of_ours_may_run_twice() -> None:
    for migration in load_migrations():
        for statement in split_statements(migration.sql):
            assert re.search(
                r"IF (NOT )?EXISTS|CREATE OR REPLACE|MODIFY SETTING"
                r"|INSERT INTO options_(latest|minute)_state\b",  # one row a key, however often
                statement,
            ), statement[:200]


def test_semicolons_in_quotes_and_comments_do_not_split() -> None:
    text = "SELECT ';' -- ;\n, 1 /* ; */; ;\nSELECT \"a;b\", (SELECT ';');\n-- the end;\n"
    assert split_statements(text) == [
        "SELECT ';' -- ;\n, 1 /* ; */",
        "SELECT \"a;b\", (SELECT ';')",
    ]


def test_on_a_cluster_every_statement_is_distributed_and_every_engine_replicated(
    empty: Settings,
) -> None:
    with connect(empty, database="default") as client:
        for migration in load_migrations():
            for statement in split_statements(migration.sql):
                text = for_cluster(statement, "prod")
                if "\nINSERT INTO " in f"\n{statement}":
                    assert text == statement  # its replicas get the rows from one another
                    continue
                assert text.count(" ON CLUSTER `prod`") == 1
                engines = re.findall(r"^ENGINE = (\w+)", text, re.MULTILINE)
                assert all(name.startswith("Replicated") for name in engines)
                assert "non_replicated" not in text
                client.query("EXPLAIN AST " + text)  # the engine's parser takes it
                assert for_cluster(statement, None) == statement


def test_retention_counts_from_receipt_and_an_old_board_imported_today_stays(
    database: Settings,
) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    now = utc_now()
    frame = pl.DataFrame(
        {
            "index_name": ["kept", "dropped"],
            "exchange_ts": [long_ago, long_ago + timedelta(days=1)],
            "price": [1.0, 2.0],
            "received_ts": [now, now - timedelta(days=401)],
        }
    ).with_columns(pl.col("price").cast(pl.Decimal(18, 8)))
    with connect(database) as client:
        insert_frame(client, "spot_prices", frame)
        client.command("OPTIMIZE TABLE spot_prices FINAL")
        left = client.query("SELECT index_name FROM spot_prices").result_rows
    assert left == [("kept",)]


def test_a_changed_retention_is_applied_and_a_cold_volume_adds_a_move(database: Settings) -> None:
    shorter = database.model_copy(update={"retention": RetentionSettings(raw_days=10, live_days=1)})
    with connect(database) as client:
        assert set(apply_retention(client, shorter)) == set(retention_of(shorter))
        assert apply_retention(client, shorter) == []
        text = client.query("SHOW CREATE TABLE trades").first_row[0]
    assert "toIntervalDay(10)" in text
    cold = database.model_copy(update={"retention": RetentionSettings(cold_volume="cold")})
    assert retention_of(cold)["trades"].endswith("toIntervalDay(30) TO VOLUME 'cold'")
