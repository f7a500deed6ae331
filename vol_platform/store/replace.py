"""Replacing a table as a whole: made in staging, audited there, swapped in at once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.clock import Clock, utc_now
from vol_platform.errors import StoreError
from vol_platform.store.client import insert_frame
from vol_platform.store.publish import Audit, PublishedHour, record_publication

__all__ = ["WHOLE", "replace_table"]

WHOLE = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for the hour of a table that has none, in ``derivation_runs``."""


def replace_table(
    client: Client,
    table: str,
    rows: str | pl.DataFrame,
    parameters: Mapping[str, Any] | None = None,
    *,
    run_id: str,
    code_version: str,
    parameters_hash: str,
    audit: Audit | None = None,
    clock: Clock = utc_now,
) -> PublishedHour:
    """Replace all rows of a table that has no partitions.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    table
        A MergeTree table without PARTITION BY.
    rows
        A SELECT that returns exactly the table's columns by name, or a frame with them.
    parameters
        Of the SELECT.
    run_id, code_version, parameters_hash
        Lineage, for ``derivation_runs``.
    audit
        Called with the staging table's name before the rows are seen; an exception from it leaves
        the table as it was.
    clock
        Time of publication.

    Returns
    -------
    PublishedHour
        Rows and checksum; its hour is `WHOLE`.

    Raises
    ------
    StoreError
        There is no such table, or it has partitions.
    """
    keys = client.query(
        "SELECT partition_key, sorting_key FROM system.tables "
        "WHERE database = currentDatabase() AND name = {table:String}",
        parameters={"table": table},
    ).result_rows
    if not keys:
        raise StoreError(f"there is no table {table}; run `vol migrate`")
    partition_key, sorting_key = keys[0]
    if partition_key:
        raise StoreError(f"{table} is partitioned by {partition_key}; publish its hours instead")
    staging = f"{table}__staging_{secrets.token_hex(4)}"
    # a plain MergeTree on this server, also where the table itself is replicated
    client.command(
        f"CREATE TABLE `{staging}` AS `{table}` ENGINE = MergeTree ORDER BY ({sorting_key})"
    )
    try:
        _fill(client, staging, rows, parameters)
        count, checksum = client.query(
            f"SELECT count(), sum(cityHash64(tuple(*))) FROM `{staging}`"  # noqa: S608 - the name of a table
        ).result_rows[0]
        if audit is not None:
            audit(staging)
        if count:
            client.command(f"ALTER TABLE `{table}` REPLACE PARTITION tuple() FROM `{staging}`")
        else:  # an empty source would be refused
            client.command(f"ALTER TABLE `{table}` DROP PARTITION tuple()")
    finally:
        client.command(f"DROP TABLE IF EXISTS `{staging}` SYNC")
    done = PublishedHour(WHOLE, int(count), int(checksum))
    record_publication(client, table, [done], (run_id, code_version, parameters_hash), clock())
    return done


def _fill(
    client: Client, staging: str, rows: str | pl.DataFrame, parameters: Mapping[str, Any] | None
) -> None:
    if isinstance(rows, pl.DataFrame):
        insert_frame(client, staging, rows)
        return
    names = [row[0] for row in client.query(f"DESCRIBE TABLE `{staging}`").result_rows]
    columns = ", ".join(f"`{name}`" for name in names)
    client.command(
        f"INSERT INTO `{staging}` ({columns}) SELECT {columns} FROM (\n{rows}\n)",  # noqa: S608 - the name of a table and a checked model
        parameters=dict(parameters or {}),
    )
