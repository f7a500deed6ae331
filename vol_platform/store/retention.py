"""How long rows stay: TTLs of the raw, live and as-of tables, set from the configuration.

Rows count their age from when *we* received them, so that an old board imported today stays as
long as a tick of today.  The as-of minute state keeps the age of its snapshots' newest receipt
implicitly: it is derived from raw rows and is dropped by the snapshot's own day only after twice
the raw time.
"""

from __future__ import annotations

import re

from clickhouse_connect.driver.client import Client

from vol_platform.errors import StoreError
from vol_platform.settings import Settings

__all__ = ["apply_retention", "retention_of", "with_ttl"]

RAW_TABLES = (
    "options_quotes",
    "futures_prices",
    "spot_prices",
    "volatility_index",
    "mark_prices",
    "perpetual_interest",
    "trades",
    "order_books",
    "dead_letters",
)
LIVE_TABLES = ("live_surfaces", "live_greeks", "live_metrics")


def retention_of(settings: Settings) -> dict[str, str]:
    """Return the TTL expression of every table that has one."""
    keep = settings.retention
    moves = ""
    if keep.cold_volume:
        if not re.fullmatch(r"[A-Za-z0-9_]+", keep.cold_volume):
            raise StoreError(
                f"retention.cold_volume must be a volume's name, was {keep.cold_volume!r}; "
                "correct vol.yaml"
            )
        moves = (
            f", toDateTime(received_ts) + toIntervalDay({keep.cold_after_days})"
            f" TO VOLUME '{keep.cold_volume}'"
        )
    expressions = dict.fromkeys(
        RAW_TABLES, f"toDateTime(received_ts) + toIntervalDay({keep.raw_days}){moves}"
    )
    expressions |= dict.fromkeys(
        LIVE_TABLES, f"toDateTime(computed_ts) + toIntervalDay({keep.live_days})"
    )
    return expressions


_CREATED_TABLE = re.compile(r"\bCREATE TABLE IF NOT EXISTS (\w+)")


def with_ttl(statement: str, expressions: dict[str, str]) -> str:
    """Return a ``CREATE TABLE`` with the TTL of its table; any other statement unchanged."""
    created = _CREATED_TABLE.search(statement)
    if created is None or created[1] not in expressions:
        return statement
    head, mark, tail = statement.rpartition("\nSETTINGS ")
    return f"{head}\nTTL {expressions[created[1]]}{mark}{tail}"


def apply_retention(client: Client, settings: Settings) -> list[str]:
    """Set every TTL that is not set yet; return the tables that changed.

    Existing parts follow at their next merge; nothing is rewritten at once.
    """
    cluster = settings.clickhouse.cluster
    on_cluster = f" ON CLUSTER `{cluster}`" if cluster else ""
    tables = client.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()"
    ).result_rows
    stated = {str(row[0]): str(row[1]) for row in tables}
    changed = []
    for table, expression in retention_of(settings).items():
        if table not in stated or f" TTL {expression} SETTINGS" in stated[table]:
            continue
        client.command(
            f"ALTER TABLE {table}{on_cluster} MODIFY TTL {expression}",
            settings={"materialize_ttl_after_modify": 0},
        )
        changed.append(table)
    return changed
