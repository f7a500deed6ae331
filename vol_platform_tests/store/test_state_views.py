"""As-of state kept by materialised views: newest update whole, in any order, once."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client

from vol_platform.settings import Settings
from vol_platform.store.client import connect, insert_frame, query_frame
from vol_platform.store.migrate import load_migrations, migrate
from vol_platform_tests.conftest import StoreProcess

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def client(database: Settings) -> Iterator[Client]:
    with connect(database) as client:
        yield client


def quote(
    seconds: float, *, bid: str | None, checksum: int = 1, name: str = "BTC-1"
) -> dict[str, Any]:
    return {
        "instrument_name": name,
        "currency": "BTC",
        "exchange_ts": NOON + timedelta(seconds=seconds),
        "received_ts": NOON + timedelta(seconds=seconds + 0.01),
        "bid_price": None if bid is None else Decimal(bid),
        "content_checksum": checksum,
    }


def insert(client: Client, rows: list[dict[str, Any]], token: str = "") -> None:
    kinds = {"bid_price": pl.Decimal(18, 8), "content_checksum": pl.UInt32}
    insert_frame(client, "options_quotes", pl.DataFrame(rows, schema_overrides=kinds), token=token)


def test_the_newest_update_stays_whole_also_where_it_has_no_bid(client: Client) -> None:
    insert(client, [quote(1, bid="0.05"), quote(2, bid=None)])
    row = query_frame(client, "SELECT exchange_ts, bid_price FROM options_quotes_latest")
    assert row.rows() == [(NOON + timedelta(seconds=2), None)]


def test_a_minute_boundary_sees_its_own_instant_and_not_the_minute_before(client: Client) -> None:
    insert(client, [quote(0, bid="0.01"), quote(0.001, bid="0.02"), quote(60, bid="0.03")])
    rows = query_frame(
        client,
        "SELECT snapshot_ts, toFloat64(bid_price) FROM options_quotes_minute ORDER BY snapshot_ts",
    )
    assert rows.rows() == [(NOON, 0.01), (NOON + timedelta(minutes=1), 0.03)]


def test_any_order_of_arrival_gives_the_same_state(client: Client) -> None:
    seed = 20260301
    print(f"seed {seed}")  # noqa: T201 - to repeat a failure
    draw = random.Random(seed)
    rows = [
        quote(
            draw.choice([1, 2, 3]) + draw.choice([0, 0, 0.5]),
            bid=draw.choice([None, "0.01", "0.02"]),
            checksum=number,
            name=f"BTC-{draw.randrange(3)}",
        )
        for number in range(60)
    ]
    views = [
        f"SELECT * FROM {view} ORDER BY ALL"
        for view in ("options_quotes_latest", "options_quotes_minute")
    ]
    states = []
    for _ in range(3):
        draw.shuffle(rows)
        for start in range(0, len(rows), 7):
            insert(client, rows[start : start + 7])
        states.append([query_frame(client, view).rows() for view in views])
        for table in (
            "options_quotes",
            "options_latest_state",
            "options_minute_state",
        ):
            client.command(f"TRUNCATE TABLE {table} SYNC")
    assert states[0] == states[1] == states[2]
    assert len(states[0][0]) == 3


def test_a_repeated_segment_changes_neither_source_nor_state(client: Client) -> None:
    rows = [quote(number, bid="0.01", checksum=number) for number in range(100)]
    counts = (
        "SELECT (SELECT count() FROM options_quotes), "
        "(SELECT count() FROM options_latest_state), "
        "(SELECT count() FROM options_minute_state)"
    )
    insert(client, rows, token="collector-1")
    before = client.query(counts).first_row
    for _ in range(3):
        insert(client, rows, token="collector-1")
    assert client.query(counts).first_row == before
    assert before[0] == 100


def test_a_segment_over_two_days_is_stored_once(client: Client) -> None:
    rows = [quote(number * 3600, bid="0.01", checksum=number) for number in range(24)]
    for _ in range(3):
        insert(client, rows, token="two-days")
    assert client.query("SELECT count(), uniq(_partition_id) FROM options_quotes").first_row == (
        24,
        2,
    )


def test_every_table_that_takes_inserts_remembers_tokens(client: Client) -> None:
    forgetful = client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() "
        "AND engine LIKE '%MergeTree' AND NOT match(create_table_query, "
        "'non_replicated_deduplication_window = 10000')"
    ).result_rows
    assert forgetful == []


def test_instruments_shows_the_newest_version_of_each(client: Client) -> None:
    kinds = {"content_checksum": pl.UInt32}
    for seen, checksum, state in ((2, 7, "closed"), (1, 9, "open")):
        row = {
            "instrument_name": ["BTC-1"],
            "currency": ["BTC"],
            "state": [state],
            "seen_ts": [NOON + timedelta(seconds=seen)],
            "content_checksum": [checksum],
        }
        insert_frame(client, "options_metadata", pl.DataFrame(row, schema_overrides=kinds))
    assert query_frame(client, "SELECT state FROM instruments")["state"].to_list() == ["closed"]


def test_completeness_is_the_share_of_six_second_slots_with_an_update(client: Client) -> None:
    every_five = [quote(-60 + 5.03 * n + 0.1, bid="0.1") for n in range(12)]
    insert(client, every_five)
    insert(client, every_five)  # a second collector: nothing changes
    insert(client, [quote(-60 + n, bid="0.1", name="BTC-2") for n in (0.001, 5.999, 6.001, 60)])
    rows = client.query(
        "SELECT instrument_name, completeness FROM quote_completeness "
        "WHERE snapshot_ts = {at:DateTime('UTC')} ORDER BY instrument_name",
        parameters={"at": NOON},
    ).result_rows
    assert rows == [("BTC-1", 1.0), ("BTC-2", 0.3)]


def test_a_listed_option_without_any_update_counts_against_its_expiry(client: Client) -> None:
    expiry = NOON + timedelta(days=3)
    specifications = [
        {"instrument_name": name, "currency": "BTC", "kind": kind, "expiry_ts": until,
         "creation_ts": since, "content_checksum": 1, "seen_ts": NOON}
        for name, kind, until, since in (
            ("BTC-1", "option", expiry, NOON - timedelta(days=1)),
            ("BTC-2", "option", expiry, None),
            ("BTC-3", "option", expiry, NOON - timedelta(seconds=30)),  # just listed
            ("BTC-4", "option", NOON - timedelta(days=1), None),  # expired
            ("BTC-PERPETUAL", "perpetual", None, None),
        )
    ]  # fmt: skip
    insert_frame(client, "options_metadata", pl.DataFrame(specifications))
    insert(client, [quote(-60 + 6 * n + 1, bid="0.1") for n in range(5)])
    rows = query_frame(
        client,
        "SELECT snapshot_ts, expiry_ts, listed, seen, completeness FROM expiry_completeness",
    )
    assert rows.rows() == [(NOON, expiry, 2, 1, 0.25)]


def test_an_old_database_keeps_its_state_in_plain_columns(
    store_server: StoreProcess, tmp_path: Path
) -> None:
    """As before migration 0030, which copies what views of aggregate states held."""
    for migration in load_migrations():
        if migration.version < 30:
            (tmp_path / migration.name).write_text(migration.sql, encoding="utf-8")
    settings = store_server.settings(f"test_{secrets.token_hex(6)}")
    migrate(settings, tmp_path)
    rows = [
        quote(31 * n, bid=None if n % 3 == 0 else "0.01", checksum=n, name=f"BTC-{n % 2}")
        for n in range(20)
    ]
    questions = [
        "SELECT * EXCEPT merged FROM options_quotes_latest ORDER BY ALL",
        "SELECT * EXCEPT merged FROM options_quotes_minute ORDER BY ALL",
        "SELECT * FROM quote_completeness ORDER BY ALL",
    ]
    with connect(settings) as client:
        insert(client, rows[:12], token="one")
        insert(client, rows[10:], token="two")
        before = [query_frame(client, question) for question in questions]
        assert "0030_quotes_in_plain_columns.sql" in migrate(settings)
        questions = [question.replace(" EXCEPT merged", "") for question in questions]
        assert [query_frame(client, question).rows() for question in questions] == [
            frame.rows() for frame in before
        ]
        client.command("ALTER TABLE schema_migrations DELETE WHERE version >= 30")
        migrate(settings)  # as after a kill before the end was recorded
        insert(client, rows, token="again")  # old updates once more change nothing ...
        insert(client, [quote(2000, bid="0.5", name="BTC-9")])  # ... and new ones are seen
        after = [query_frame(client, question) for question in questions]
        assert [len(frame) for frame in after] == [len(frame) + 1 for frame in before]
        client.command(f"DROP DATABASE {settings.clickhouse.database} SYNC")
