"""Publishing hours: atomic, idempotent, one writer per table and day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client

from vol_platform.errors import StoreError
from vol_platform.settings import Settings
from vol_platform.store.client import connect, query_frame
from vol_platform.store.publish import PublishedHour, publish_hours

DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def client(database: Settings) -> Iterator[Client]:
    with connect(database) as client:
        yield client


def rows_of(hour: datetime, *, minutes: int = 60, forward: float = 100.0) -> pl.DataFrame:
    """Rows of `forward_curve`, one a minute, with a NULL in each."""
    instants = [hour + timedelta(minutes=minute) for minute in range(minutes)]
    return pl.DataFrame(
        {
            "snapshot_ts": instants,
            "currency": ["BTC"] * minutes,
            "expiry_ts": [DAY + timedelta(days=30)] * minutes,
            "expiry_years": [30 / 365] * minutes,
            "forward": [forward + minute for minute in range(minutes)],
            "forward_lower": [None] * minutes,
            "forward_source": ["parity"] * minutes,
            "pairs": [7] * minutes,
            "status": ["ok"] * minutes,
            "code_version": ["1"] * minutes,
            "parameters_hash": ["p"] * minutes,
        },
        schema_overrides={"forward_lower": pl.Float64, "pairs": pl.UInt32},
    )


def publish(
    client: Client, frame: pl.DataFrame, hours: list[datetime], **extra: object
) -> list[PublishedHour]:
    lineage = {"run_id": "run", "code_version": "1", "parameters_hash": "p"}
    return publish_hours(client, "forward_curve", frame, hours, **(lineage | extra))  # type: ignore[arg-type] # a test's keyword arguments


def everything(client: Client) -> pl.DataFrame:
    return query_frame(client, "SELECT * FROM forward_curve ORDER BY ALL")


def staging_tables(client: Client) -> list[str]:
    return [row[0] for row in client.query("SHOW TABLES LIKE '%staging%'").result_rows]


def test_publishing_twice_gives_the_same_rows_and_checksum(client: Client) -> None:
    hour = DAY + timedelta(hours=5)
    first = publish(client, rows_of(hour), [hour])
    before = everything(client)
    second = publish(client, rows_of(hour), [hour], run_id="again")
    assert first == second
    assert first[0].rows == 60
    assert first[0].content_checksum != 0
    assert everything(client).equals(before)
    runs = query_frame(client, "SELECT run_id, rows, content_checksum FROM derivation_runs")
    assert sorted(runs["run_id"]) == ["again", "run"]
    assert set(runs["content_checksum"]) == {first[0].content_checksum}
    assert staging_tables(client) == []


def test_an_hour_is_replaced_and_its_neighbours_stay(client: Client) -> None:
    hours = [DAY + timedelta(hours=number) for number in (4, 5, 24)]
    publish(client, pl.concat([rows_of(hour) for hour in hours]), hours)
    changed = publish(client, rows_of(hours[1], minutes=30, forward=200.0), [hours[1]])
    assert changed[0].rows == 30
    counts = query_frame(
        client,
        "SELECT toStartOfHour(snapshot_ts) AS hour, count() AS rows, min(forward) AS least "
        "FROM forward_curve GROUP BY hour ORDER BY hour",
    )
    assert counts["hour"].to_list() == hours
    assert counts["rows"].to_list() == [60, 30, 60]
    assert counts["least"].to_list() == [100.0, 200.0, 100.0]


def test_the_checksum_does_not_depend_on_the_order_and_sees_every_value(client: Client) -> None:
    hour = DAY + timedelta(hours=5)
    rows = rows_of(hour)
    first = publish(client, rows, [hour])
    assert publish(client, rows.reverse(), [hour]) == first
    null_filled = rows.with_columns(forward_lower=pl.lit(0.0))
    assert publish(client, null_filled, [hour]) != first


def test_an_hour_without_rows_becomes_empty(client: Client) -> None:
    hours = [DAY + timedelta(hours=number) for number in (4, 5)]
    publish(client, pl.concat([rows_of(hour) for hour in hours]), hours)
    assert publish(client, rows_of(hours[0]).clear(), [hours[0]])[0].rows == 0
    assert everything(client)["snapshot_ts"].min() == hours[1]
    assert publish(client, rows_of(hours[1]).clear(), [hours[1]])[0].rows == 0
    assert everything(client).is_empty()


def test_a_refused_audit_leaves_the_published_rows(client: Client) -> None:
    hour = DAY + timedelta(hours=5)
    publish(client, rows_of(hour), [hour])
    before = everything(client)
    seen: list[int] = []

    def refuse(staging: str) -> None:
        seen.append(client.query(f"SELECT count() FROM {staging}").result_rows[0][0])
        raise StoreError("refused")

    with pytest.raises(StoreError, match="refused"):
        publish(client, rows_of(hour, minutes=10), [hour], audit=refuse)
    assert seen == [10]
    assert everything(client).equals(before)
    assert staging_tables(client) == []


@pytest.mark.parametrize("word", ["CREATE", "INSERT", "ALTER"])
def test_a_crash_before_any_step_leaves_the_old_rows_and_a_rerun_succeeds(
    client: Client, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    hour = DAY + timedelta(hours=5)
    publish(client, rows_of(hour), [hour])
    before = everything(client)
    real = client.command

    def crash(text: str, *arguments: object, **extra: object) -> object:
        if text.startswith((word, "DROP")):  # a dead process does not clean up either
            raise ConnectionAbortedError(f"crashed before {word}")
        return real(text, *arguments, **extra)  # type: ignore[arg-type] # passed through

    with monkeypatch.context() as patched:
        patched.setattr(client, "command", crash)
        with pytest.raises(ConnectionAbortedError):
            publish(client, rows_of(hour, minutes=10), [hour])
    assert everything(client).equals(before)
    assert len(staging_tables(client)) == (word != "CREATE")

    tomorrow = datetime(2100, 1, 1, tzinfo=UTC)
    assert publish(client, rows_of(hour, minutes=10), [hour], clock=lambda: tomorrow)[0].rows == 10
    assert everything(client).height == 10
    assert staging_tables(client) == []


def test_a_second_writer_on_the_same_day_is_noticed(client: Client) -> None:
    hours = [DAY + timedelta(hours=number) for number in (4, 5)]

    def interfere(staging: str) -> None:
        publish(client, rows_of(hours[1]), [hours[1]], run_id="other")

    with pytest.raises(StoreError, match="another writer"):
        publish(client, rows_of(hours[0]), [hours[0]], audit=interfere)
    assert everything(client)["snapshot_ts"].min() == hours[1]


def test_rows_outside_the_hours_are_refused(client: Client) -> None:
    hour = DAY + timedelta(hours=5)
    with pytest.raises(StoreError, match="outside the hours"):
        publish(client, rows_of(hour), [hour + timedelta(hours=1)])
    with pytest.raises(StoreError, match="start on the hour"):
        publish(client, rows_of(hour), [hour + timedelta(minutes=1)])
