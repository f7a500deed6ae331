"""The whole database to S3 by BACKUP and back: nothing is missing, and no half-made one exists."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.client import Client

from vol_platform.errors import ArchiveError
from vol_platform.record.engine import materialise
from vol_platform.settings import S3Settings, Settings
from vol_platform.store.client import connect
from vol_platform.store.s3.backup import backups, forget_backups, make_backup, restore_backup
from vol_platform.store.s3.object_store import Bucket
from vol_platform_tests.record.market import insert_market
from vol_platform_tests.record.ticks import HOUR
from vol_platform_tests.store.s3.s3_server import running_s3

MONDAY = datetime(2026, 2, 2, 2, 40, tzinfo=UTC)
RESTORED = "vol_restored"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Settings]:
    """Give a running S3 server."""
    with running_s3() as settings:
        yield settings


@pytest.fixture
def market(
    database: Settings, s3: S3Settings, request: pytest.FixtureRequest
) -> Iterator[Settings]:
    """Give a database with a derived hour, and a bucket of this test's own."""
    bucket = f"test-{zlib.crc32(request.node.name.encode())}"
    settings = database.model_copy(update={"s3": s3.model_copy(update={"bucket": bucket})})
    insert_market(settings, [HOUR + timedelta(minutes=1)])
    yield settings
    with connect(settings) as client:
        client.command(f"DROP DATABASE IF EXISTS {RESTORED} SYNC")


def at(moment: datetime) -> dict[str, object]:
    """Return the argument that makes a backup at a moment."""
    return {"clock": lambda: moment}


def contents(client: Client, database: str) -> dict[str, tuple[int, int]]:
    """Return rows and hash of every table that holds rows."""
    names = client.query(
        "SELECT name FROM system.tables WHERE database = {database:String} "
        "AND engine LIKE '%MergeTree' AND total_rows > 0",
        parameters={"database": database},
    ).result_rows
    return {
        name: client.query(
            f"SELECT count(), sum(cityHash64(tuple(*))) FROM {database}.{name}"
        ).first_row
        for (name,) in names
    }


def test_a_full_backup_and_one_of_what_changed_since_bring_everything_back(
    market: Settings,
) -> None:
    name = market.clickhouse.database
    full = make_backup(market, **at(MONDAY))
    materialise(market, [HOUR])
    change = make_backup(market, **at(MONDAY + timedelta(days=1)))
    assert (full.base, change.base) == (None, full.name)
    assert change.rows["surfaces"] > full.rows["surfaces"] == 0
    assert change.stored_bytes < change.bytes
    assert backups(Bucket(market.s3), name) == [full, change]
    with connect(market) as client:
        before = contents(client, name)
        client.command("TRUNCATE TABLE surfaces")
        tables = restore_backup(market, change.name, into=RESTORED)
        assert contents(client, RESTORED) == before
        assert {"surfaces", "options_quotes", "derivation_runs"} <= before.keys()
        # The views of the restored database read and feed its own tables.
        views = client.query(
            "SELECT create_table_query FROM system.tables WHERE database = {name:String} "
            "AND engine LIKE '%View'",
            parameters={"name": RESTORED},
        ).result_rows
        assert views
        assert not any(f" {name}." in statement for (statement,) in views)
    assert tables["surfaces"] == (change.rows["surfaces"], change.rows["surfaces"])
    assert all(now >= then for then, now in tables.values())


def test_a_new_week_begins_with_a_full_backup(market: Settings) -> None:
    sunday = make_backup(market, **at(MONDAY - timedelta(days=1)))
    monday = make_backup(market, **at(MONDAY))
    tuesday = make_backup(market, **at(MONDAY + timedelta(days=1)))
    assert (sunday.base, monday.base, tuesday.base) == (None, None, monday.name)


def test_old_backups_go_with_all_that_complete_them_and_young_ones_stay(market: Settings) -> None:
    bucket = Bucket(market.s3)
    old = make_backup(market, **at(MONDAY - timedelta(days=1)))
    monday = make_backup(market, **at(MONDAY))
    sunday = make_backup(market, **at(MONDAY + timedelta(days=6)))
    bucket.put_json(f"{old.database}/backups/2026-01-01T000000Z/data/left", {})
    bucket.put_json(f"{old.database}/backups/notes/of-somebody", {})
    told: list[str] = []
    now = MONDAY + timedelta(weeks=4, days=1)  # Monday is too old, what completes it is not
    gone = forget_backups(market, clock=lambda: now, told=told.append)
    assert gone == told == ["2026-01-01T000000Z", old.name]
    assert backups(bucket, old.database) == [monday, sunday]
    assert not list(bucket.keys(f"{old.database}/backups/{old.name}/"))
    gone = forget_backups(market, clock=lambda: now + timedelta(days=6))
    assert gone == [sunday.name, monday.name]
    left = list(bucket.keys(f"{old.database}/backups/"))
    assert left == [f"{old.database}/backups/notes/of-somebody"]


def test_a_backup_that_breaks_does_not_exist(market: Settings) -> None:
    wrong = S3Settings.model_validate({**market.s3.model_dump(), "secret_key": "wrong"})
    make_backup(market, **at(MONDAY))
    with pytest.raises(ArchiveError, match="failed"):
        make_backup(market.model_copy(update={"s3": wrong}), **at(MONDAY + timedelta(days=1)))
    assert len(backups(Bucket(market.s3), market.clickhouse.database)) == 1


def test_a_restore_that_breaks_leaves_no_half_of_a_database(market: Settings) -> None:
    made = make_backup(market, **at(MONDAY))
    bucket = Bucket(market.s3)
    folder = f"{market.clickhouse.database}/backups/{made.name}/"
    held = [key for key in bucket.keys(folder) if "options_quotes" in key]
    bucket.delete(next(key for key in held if key.endswith(".bin")))
    with pytest.raises(ArchiveError, match=r"RESTORE DATABASE .* failed"):
        restore_backup(market, made.name, into=RESTORED)
    with connect(market) as client:
        there = client.command("EXISTS DATABASE {name:Identifier}", parameters={"name": RESTORED})
    assert there == 0


def test_no_key_of_s3_stands_in_the_query_log(market: Settings) -> None:
    made = make_backup(market, **at(MONDAY))
    restore_backup(market, made.name, into=RESTORED)
    with connect(market) as client:
        client.command("SYSTEM FLUSH LOGS")
        logged = client.query(
            "SELECT query FROM system.query_log WHERE query LIKE {name:String}",
            parameters={"name": f"%{made.name}%"},
        ).result_rows
    assert any("RESTORE" in text for (text,) in logged)
    secret = market.s3.secret_key.get_secret_value()
    assert not any(secret in text for (text,) in logged)


@pytest.mark.parametrize(
    ("name", "into", "text"),
    [
        ("2020-01-01T000000Z", RESTORED, "there is no backup '2020-01-01T000000Z'"),
        ("2026-02-02T024000Z", "default", "database default exists"),
        ("2026-02-02T024000Z", "a; DROP", "named by letters, digits and _, was 'a; DROP'"),
    ],
)
def test_a_restore_that_cannot_be_says_why(
    market: Settings, name: str, into: str, text: str
) -> None:
    make_backup(market, **at(MONDAY))
    with pytest.raises(ArchiveError, match=text):
        restore_backup(market, name, into=into)
