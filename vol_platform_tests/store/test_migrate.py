"""Bringing databases to the newest schema."""

from vol_platform.store.client import connect


def test_an_empty_database_gets_every_table_and_a_second_run_changes_nothing(database):
    from vol_platform.store.migrate import load_migrations, migrate

    with connect(database) as client:
        tables = {row[0] for row in client.query("SHOW TABLES").result_rows}
        recorded = client.query(
            "SELECT name FROM schema_migrations FINAL ORDER BY version"
        ).result_rows
    assert {"options_quotes", "options_quotes_latest", "surfaces", "live_greeks"} <= tables
    assert [row[0] for row in recorded] == [migration.name for migration in load_migrations()]
    assert migrate(database) == []
