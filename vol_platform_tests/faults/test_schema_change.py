"""F19: the schema moves on under a collector that streams."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from vol_platform.simulator import Exchange, ExchangeOptions
from vol_platform.store.client import connect
from vol_platform.store.migrate import load_migrations, migrate
from vol_platform_tests.faults.test_exchange import collecting, until

pytestmark = pytest.mark.slow

SEED = 20261122
BEFORE = 30
"""The migration that replaces the views behind `options_quotes` and copies what they held."""

_NEWEST = """
SELECT count(), countIf(m.exchange_ts = r.newest), sum(length(m.instrument_name) > 0)
FROM (SELECT toDateTime(intDiv(toUnixTimestamp64Milli(q.exchange_ts) + 59999, 60000) * 60, 'UTC')
             AS snapshot_ts, q.instrument_name AS instrument_name, max(q.exchange_ts) AS newest
      FROM options_quotes AS q GROUP BY snapshot_ts, instrument_name) AS r
LEFT JOIN options_quotes_minute AS m
    ON m.snapshot_ts = r.snapshot_ts AND m.instrument_name = r.instrument_name
"""


async def test_f19_a_migration_under_a_streaming_collector_loses_and_doubles_nothing(
    store_server, tmp_path, record_property
):
    older = tmp_path / "older"
    older.mkdir()
    for migration in load_migrations():
        if migration.version < BEFORE:
            (older / migration.name).write_text(migration.sql, encoding="utf-8")
    database = store_server.settings(f"test_{secrets.token_hex(6)}")
    migrate(database, older)
    async with Exchange(ExchangeOptions(seed=SEED, rate=3.0)) as exchange:
        async with collecting(database, tmp_path / "spool", exchange) as collector:
            rows = collector.stored.rows
            await until(lambda: rows.get("options_quotes", 0) > 200)
            applied = await asyncio.to_thread(migrate, database)
            stored = rows["options_quotes"]
            await until(lambda: rows["options_quotes"] > stored + 200)
        accounts = collector.stored
    assert applied[0].startswith(f"{BEFORE:04d}_")
    with connect(database) as client:
        minutes, newest, seen = client.query(_NEWEST).first_row
        stored, segments, distinct = client.query(
            "SELECT (SELECT sum(rows['options_quotes']) FROM ingest_segments), count(), "
            "uniqExact(segment_id) FROM ingest_segments"
        ).first_row
        counted = client.query("SELECT count() FROM options_quotes").first_row[0]
        client.command(f"DROP DATABASE {database.clickhouse.database} SYNC")
    assert minutes == newest == seen > 0
    assert segments == distinct
    assert counted <= stored  # an update that came again after a new socket is one row
    assert accounts.is_balanced
    text = f"{len(applied)} migrations under 3x load (seed {SEED}): {counted} rows, "
    record_property("measured", text + f"{minutes} minutes of instruments right, 0 lost, 0 twice")
