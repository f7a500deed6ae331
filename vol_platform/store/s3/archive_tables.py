"""What of a day is archived: tables, which rows of them, and how rows are counted and compared."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from clickhouse_connect.driver.client import Client

__all__ = [
    "ARCHIVED",
    "ArchivedTable",
    "bounds",
    "day_contents",
    "final",
    "load_parquet",
    "scratch_table",
    "selection",
    "table_rows",
]


@dataclass(frozen=True)
class ArchivedTable:
    """A table of the archive.

    Attributes
    ----------
    name
        Table.
    time
        Column that says which day a row belongs to.
    until
        The day's part holds every row up to the end of the day: small tables that any day needs.
    """

    name: str
    time: str
    until: bool = False


ARCHIVED = (
    ArchivedTable("options_metadata", "seen_ts", until=True),
    ArchivedTable("instrument_versions", "first_seen_ts", until=True),
    ArchivedTable("options_quotes", "exchange_ts"),
    ArchivedTable("futures_prices", "exchange_ts"),
    ArchivedTable("spot_prices", "exchange_ts"),
    ArchivedTable("volatility_index", "exchange_ts"),
    ArchivedTable("trades", "exchange_ts"),
    ArchivedTable("order_books", "exchange_ts"),
    ArchivedTable("mark_prices", "exchange_ts"),
    ArchivedTable("perpetual_interest", "exchange_ts"),
    ArchivedTable("candles", "exchange_ts"),
    ArchivedTable("volatility_index_candles", "exchange_ts"),
    ArchivedTable("funding_rates", "exchange_ts"),
    ArchivedTable("delivery_prices", "exchange_ts"),
    ArchivedTable("history_progress", "updated_ts"),
    ArchivedTable("ingest_gaps", "from_ts"),
    ArchivedTable("dead_letters", "received_ts"),
    ArchivedTable("ingest_segments", "first_received_ts"),
    ArchivedTable("ingest_hours", "hour_ts"),
    ArchivedTable("rate_quotes", "loaded_ts", until=True),
    ArchivedTable("positions", "loaded_ts", until=True),
)


def selection(table: ArchivedTable) -> str:
    """Return the condition of the rows of a day, with the parameters of `bounds`."""
    lower = "1" if table.until else f"{table.time} >= {{day:DateTime('UTC')}}"
    return f"{lower} AND {table.time} < {{next:DateTime('UTC')}}"


def bounds(day: date) -> dict[str, datetime]:
    """Return the parameters of `selection`: the day's midnight and the next."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"day": start, "next": start + timedelta(days=1)}


def final(client: Client, table: str) -> str:
    """Return ``FINAL`` where the engine of a table merges equal keys, else nothing."""
    engine, sorting_key = client.query(
        "SELECT engine, sorting_key FROM system.tables "
        "WHERE database = currentDatabase() AND name = {table:String}",
        parameters={"table": table},
    ).result_rows[0]
    return "FINAL" if sorting_key and ("Replacing" in engine or "Aggregating" in engine) else ""


def table_rows(client: Client, table: ArchivedTable, day: date) -> tuple[int, int]:
    """Return how many rows a table holds of a day, and their order-independent hash, each row once.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    table
        One of `ARCHIVED`.
    day
        UTC day.
    """
    found = client.query(
        f"SELECT count(), sum(cityHash64(tuple(*))) FROM {table.name} {final(client, table.name)} "  # noqa: S608 - names of our own list
        f"WHERE {selection(table)}",
        parameters=bounds(day),
    ).result_rows[0]
    return int(found[0]), int(found[1])


def day_contents(client: Client, day: date) -> dict[str, tuple[int, int]]:
    """Return rows and hash of every archived table of a day, those without rows left out."""
    contents = {table.name: table_rows(client, table, day) for table in ARCHIVED}
    return {name: found for name, found in contents.items() if found[0]}


@contextmanager
def scratch_table(client: Client, table: str) -> Iterator[str]:
    """Give an empty table with the columns of `table` that nothing reads or feeds."""
    name = f"{table}__archive_{secrets.token_hex(4)}"
    client.command(f"CREATE TABLE {name} AS {table} ENGINE = MergeTree ORDER BY tuple()")
    try:
        yield name
    finally:
        client.command(f"DROP TABLE IF EXISTS {name} SYNC")


def load_parquet(client: Client, table: str, path: Path) -> tuple[int, int]:
    """Insert a Parquet file; return rows and hash of the table."""
    with path.open("rb") as file:
        client.raw_insert(table, insert_block=file, fmt="Parquet")
    found = client.query(f"SELECT count(), sum(cityHash64(tuple(*))) FROM {table}").result_rows[0]  # noqa: S608 - the name of a table
    return int(found[0]), int(found[1])
