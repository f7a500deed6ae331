"""ClickHouse as the collector sees it: inserts with a token, and little else.

An insert of the same token and the same rows happens once, however often it is tried: the server
keeps the tokens of the last 10,000 inserts of each table (``non_replicated_deduplication_window``),
also for the materialised views behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from streamer.errors import StoreRefusedError
from streamer.settings import ClickHouseSettings

__all__ = ["TRANSIENT_ERRORS", "Store"]

TRANSIENT_ERRORS = (ClickHouseError, OSError, StoreRefusedError)
"""What an insert may raise; the writer tries again after each."""

_CODE = re.compile(r"Code: (\d+)")
_REFUSALS = {
    "516": "user or password is wrong; set VOL_STREAMER_CLICKHOUSE__USER and …__PASSWORD",
    "194": "the password is wrong; set VOL_STREAMER_CLICKHOUSE__PASSWORD",
    "192": "the user does not exist; set VOL_STREAMER_CLICKHOUSE__USER",
    "497": "the user lacks a right; grant INSERT and SELECT on the raw tables",
    "81": "the database does not exist; run `vol migrate`",
    "60": "a table does not exist; run `vol migrate`",
}


class Store:
    """A connection to ClickHouse that is made when it is first needed and after every failure."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._client: Client | None = None

    @property
    def address(self) -> str:
        """Where it is, for messages."""
        return f"{self._settings.host}:{self._settings.port}"

    @property
    def database(self) -> str:
        """Name of the database."""
        return self._settings.database

    def check(self) -> bool:
        """Tell whether the database answers and has our tables.

        Returns
        -------
        bool
            False when it cannot be reached, which is no reason to stop: the spool holds.

        Raises
        ------
        StoreRefusedError
            It answers, and refuses our user, our database or our tables.
        """
        try:
            self.rows("SELECT 1 FROM options_quotes LIMIT 0")
        except StoreRefusedError:
            raise
        except (ClickHouseError, OSError):
            return False
        return True

    def insert(self, table: str, columns: pa.Table, token: str) -> None:
        """Insert columns once, however often it is called with the same token.

        Raises
        ------
        ClickHouseError, OSError
            It is not known whether the rows arrived: call again with the same token and columns.
        StoreRefusedError
            The server refuses the user, the database or the table.
        """
        settings = {"insert_deduplication_token": token, "async_insert": 0}
        try:
            self._connected().insert_arrow(table, columns, settings=settings)
        except (ClickHouseError, OSError) as error:
            self.close()
            raise _translated(error, self.address) from error

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """Return the rows of a query with ``{name:Type}`` parameters."""
        try:
            result = self._connected().query(query, parameters=dict(parameters or {}))
        except (ClickHouseError, OSError) as error:
            self.close()
            raise _translated(error, self.address) from error
        return list(result.result_rows)

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        if self._client is not None:
            client, self._client = self._client, None
            client.close()

    def _connected(self) -> Client:
        if self._client is None:
            wanted = self._settings
            self._client = clickhouse_connect.get_client(
                host=wanted.host,
                port=wanted.port,
                username=wanted.user,
                password=wanted.password.get_secret_value(),
                database=wanted.database,
                secure=wanted.secure,
                connect_timeout=wanted.connect_timeout_seconds,
                send_receive_timeout=wanted.query_timeout_seconds,
                autogenerate_session_id=False,
                # Our own loop tries again, with the token; the driver must not.
                query_retries=0,
                client_name="vol-streamer",
            )
        return self._client


def _translated(error: Exception, address: str) -> Exception:
    code = _CODE.search(str(error))
    cure = _REFUSALS.get(code.group(1)) if code else None
    return error if cure is None else StoreRefusedError(f"ClickHouse at {address}: {cure}")
