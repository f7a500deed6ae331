"""The client: frames both ways, tokens, errors that name the cure, the asynchronous face."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from clickhouse_connect import get_async_client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from vol_platform.errors import StoreError
from vol_platform.settings import ClickHouseSettings, Settings
from vol_platform.store.client import (
    connect,
    insert_frame,
    is_transient,
    log_comment,
    query_frame,
    with_retries,
)
from vol_platform_tests.conftest import StoreProcess


def test_frames_go_in_and_come_out_unchanged(database: Settings) -> None:
    frame = pl.DataFrame(
        {
            "index_name": ["btc_usd", "eth_usd"],
            "exchange_ts": [
                datetime(2026, 3, 1, 12, 0, 0, 1000, tzinfo=UTC),
                datetime(2026, 3, 1, tzinfo=UTC),
            ],
            "price": [Decimal("81234.12345678"), Decimal("0.00000001")],
            "received_ts": [datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)] * 2,
            "content_checksum": [1, 4294967295],
        },
        schema_overrides={"content_checksum": pl.UInt32, "price": pl.Decimal(18, 8)},
    )
    with connect(database) as client:
        assert insert_frame(client, "spot_prices", frame) == 2
        columns = ", ".join(frame.columns)
        back = query_frame(client, f"SELECT {columns} FROM spot_prices ORDER BY index_name")
        assert back.equals(frame)
        assert insert_frame(client, "spot_prices", frame.clear()) == 0


def test_every_time_type_comes_as_microseconds_in_utc(database: Settings) -> None:
    with connect(database) as client:
        frame = query_frame(
            client,
            "SELECT toDateTime({s:UInt32}, 'UTC') AS second, toNullable(second) AS nullable, "
            "toDateTime64(0.5, 3, 'UTC') AS milli, toUInt32(7) AS number, "
            "toDateTime(86400, 'Asia/Tokyo') AS tokyo",
            {"s": 86400},
        )
    assert frame.schema["number"] == pl.UInt32
    for name in ("second", "nullable", "milli", "tokyo"):
        assert frame.schema[name] == pl.Datetime("us", "UTC"), name
    assert frame["second"][0] == frame["tokyo"][0] == datetime(1970, 1, 2, tzinfo=UTC)


def test_a_token_makes_a_second_try_harmless(database: Settings) -> None:
    frame = pl.DataFrame({"received_ts": [datetime(2026, 3, 1, tzinfo=UTC)], "reason": ["x"]})
    with connect(database) as client:
        for _ in range(3):
            insert_frame(client, "dead_letters", frame, token="segment-1")
        insert_frame(client, "dead_letters", frame, token="segment-2")
        assert client.query("SELECT count() FROM dead_letters").result_rows == [(2,)]


def test_inserts_are_synchronous_and_comments_reach_the_log(database: Settings) -> None:
    with connect(database) as client:
        text = "SELECT getSetting('async_insert'), getSetting('log_comment')"
        row = client.query(text, settings=log_comment(run="r1", asset="surfaces")).first_row
    assert row == (False, '{"asset": "surfaces", "run": "r1"}')


def test_a_closed_port_a_missing_database_and_a_wrong_name_say_what_to_do(
    store_server: StoreProcess,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(StoreError, match="VOL_CLICKHOUSE__PORT") as raised:
        connect(Settings(clickhouse=ClickHouseSettings(port=port)))
    told = f"ClickHouse at 127.0.0.1:{port} cannot be reached (connection refused); start it"
    assert str(raised.value).startswith(told)
    with pytest.raises(StoreError, match=r"no database 'absent'; run `vol migrate`"):
        connect(store_server.settings("absent"))
    with pytest.raises(StoreError, match=r"refuses user 'nobody'.*VOL_CLICKHOUSE__PASSWORD"):
        connect(store_server.settings(user="nobody", password="geheim"))


def test_only_transient_errors_are_tried_again(database: Settings) -> None:
    calls: list[int] = []

    def fails_twice() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise OperationalError("connection reset")
        return "done"

    assert with_retries(fails_twice) == "done"
    assert len(calls) == 3
    with connect(database) as client, pytest.raises(DatabaseError) as raised:
        client.query("SELECT nonsense")
    assert not is_transient(raised.value)
    assert is_transient(ConnectionResetError())


async def test_the_asynchronous_client_works_too(database: Settings) -> None:
    where = database.clickhouse
    async with await get_async_client(
        host=where.host, port=where.port, database=where.database
    ) as client:
        result = await client.query("SELECT number FROM numbers(100000)")
        assert len(result.result_rows) == 100_000
