"""The one way to talk to ClickHouse: clickhouse-connect over HTTP, embedded or remote."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import clickhouse_connect
import polars as pl
import pyarrow as pa
import stamina
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError

from vol_platform.errors import StoreError
from vol_platform.settings import Settings

__all__ = [
    "connect",
    "insert_frame",
    "is_transient",
    "log_comment",
    "query_frame",
    "with_retries",
]

Result = TypeVar("Result")

_PLAIN_DATETIME = re.compile(r"(LowCardinality\()?(Nullable\()?DateTime(\('[^']*'\))?\)*\Z")

TRANSIENT_CODES = frozenset(
    {
        159,  # TIMEOUT_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY: a replica that lost its Keeper session
        252,  # TOO_MANY_PARTS
        285,  # TOO_FEW_LIVE_REPLICAS
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        439,  # CANNOT_SCHEDULE_TASK
        999,  # KEEPER_EXCEPTION
    }
)


def connect(settings: Settings, *, database: str | None = None, **extra: Any) -> Client:
    """Return a client of the configured ClickHouse.

    Parameters
    ----------
    settings
        Where it is, who asks, and how long to wait.
    database
        Default database of the connection; None takes the configured one.
    extra
        Passed to `clickhouse_connect.get_client`; its ``settings`` are merged with ours.

    Raises
    ------
    StoreError
        ClickHouse does not answer or refuses the user; the text names address and cure.
    """
    where = settings.clickhouse
    engine_settings = {
        # an insert that returned must be in a part, and its token must be looked at
        "async_insert": 0,
        **extra.pop("settings", {}),
    }
    try:
        return clickhouse_connect.get_client(
            host=where.host,
            port=where.port,
            username=where.user,
            password=where.password.get_secret_value(),
            database=where.database if database is None else database,
            secure=where.secure,
            connect_timeout=where.connect_timeout_seconds,
            send_receive_timeout=where.query_timeout_seconds,
            autogenerate_session_id=False,  # one client may then be used by several threads
            client_name="vol-platform",
            settings=engine_settings,
            **extra,
        )
    except ClickHouseError as error:
        raise StoreError(_explain(error, settings)) from error


def _explain(error: ClickHouseError, settings: Settings) -> str:
    where = settings.clickhouse
    address = f"{where.host}:{where.port}"
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    code = getattr(error, "code", None)
    if code == 516:
        return (
            f"ClickHouse at {address} refuses user '{where.user}': wrong name or password; "
            "set VOL_CLICKHOUSE__USER and VOL_CLICKHOUSE__PASSWORD"
        )
    if code == 81:
        return (
            f"ClickHouse at {address} has no database '{where.database}'; run `vol migrate` first"
        )
    cure = "start it (`vol store` or `vol up`) or set VOL_CLICKHOUSE__HOST and VOL_CLICKHOUSE__PORT"
    if isinstance(error, OperationalError) and code is None:
        return f"ClickHouse at {address} cannot be reached ({_network_cause(error)}); {cure}"
    return f"ClickHouse at {address} does not answer as expected: {first_line}; {cure}"


def _network_cause(error: BaseException) -> str:
    """Return in a few words why a connection failed, from under what the driver wrapped around."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        if isinstance(cause, TimeoutError):
            return "no answer in time"
        cause = cause.__cause__ or cause.__context__
    return "the connection broke"


def is_transient(error: BaseException) -> bool:
    """Tell whether trying again may help: a broken connection or one of `TRANSIENT_CODES`."""
    if isinstance(error, DatabaseError | OperationalError):
        code = getattr(error, "code", None)
        return code in TRANSIENT_CODES if code else isinstance(error, OperationalError)
    return isinstance(error, ConnectionError | TimeoutError)


def with_retries(
    action: Callable[[], Result], *, attempts: int = 5, timeout: float = 60.0
) -> Result:
    """Call `action` again while it fails with a transient error, with growing pauses and jitter.

    Only for actions that may run twice: reads, and inserts that carry a token.
    """
    for attempt in stamina.retry_context(on=is_transient, attempts=attempts, timeout=timeout):
        with attempt:
            return action()
    raise AssertionError("stamina returns or raises")  # pragma: no cover


def log_comment(**fields: str) -> dict[str, str]:
    """Return query settings that leave `fields` in ``system.query_log.log_comment``."""
    return {"log_comment": json.dumps(fields, sort_keys=True)}


def query_frame(
    client: Client,
    query: str,
    parameters: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> pl.DataFrame:
    """Run a query and return its rows as a polars frame, through Arrow.

    Every time comes as ``Datetime("us", "UTC")``, text and LowCardinality as String, Decimals as
    Decimal.  The query must not end in a semicolon or a FORMAT clause.
    """
    options: dict[str, Any] = {
        "parameters": dict(parameters or {}),
        "settings": dict(settings or {}),
    }
    table = with_retries(lambda: client.query_arrow(query, **options))
    frame = pl.DataFrame(pl.from_arrow(table))
    if pl.UInt32 in frame.schema.values():
        # the engine writes DateTime (not DateTime64) as a bare number; its types tell which
        described = with_retries(lambda: client.query(f"DESCRIBE TABLE ({query})", **options))
        seconds = [row[0] for row in described.result_rows if _PLAIN_DATETIME.match(row[1])]
        frame = frame.with_columns(
            pl.from_epoch(pl.col(name), time_unit="s").dt.replace_time_zone("UTC")
            for name in seconds
        )
    return frame.with_columns(
        pl.selectors.datetime().dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    )


def insert_frame(
    client: Client,
    table: str,
    frame: pl.DataFrame | pa.Table,
    *,
    token: str = "",
    database: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> int:
    """Insert a frame by column names; with a `token` a second try changes nothing.

    Parameters
    ----------
    client
        From `connect`.
    table
        Table name.
    frame
        Columns of the table, any subset; the rest take their defaults.
    token
        Name of this exact set of rows (the same token with other rows would be dropped in silence,
        so it must name something that never changes).  Empty: no retries and no deduplication.
    database
        None takes the client's.
    settings
        Further query settings.

    Returns
    -------
    int
        Rows sent.
    """
    rows = frame.to_arrow() if isinstance(frame, pl.DataFrame) else frame
    if rows.num_rows == 0:
        return 0
    options: dict[str, Any] = {"async_insert": 0, **(settings or {})}
    if token:
        options["insert_deduplication_token"] = token

    def send() -> None:
        client.insert_arrow(table, _plain_strings(rows), database=database, settings=options)

    with_retries(send, attempts=5 if token else 1)
    return int(rows.num_rows)


def _plain_strings(table: pa.Table) -> pa.Table:
    """Cast polars' string views, which the engine does not read, to plain strings."""
    fields: Sequence[pa.Field] = [
        field.with_type(pa.string())
        if pa.types.is_string_view(field.type) or pa.types.is_large_string(field.type)
        else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))
