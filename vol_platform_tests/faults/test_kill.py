"""Kill -9 of each part in turn: all comes back, no acknowledged row is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vol_platform.errors import StoreError
from vol_platform.store.client import connect
from vol_platform_tests.stack import RunningStack, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    running = RunningStack(tmp_path_factory.mktemp("stack"), "--no-dagster", "--history-hours", "0")
    try:
        running.wait_until_up()
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


def number(stack: RunningStack, sql: str, **parameters: str) -> int:
    """Return one number of the store; 0 while it is away."""
    try:
        with connect(stack.settings()) as client:
            return int(client.query(sql, parameters=parameters).result_rows[0][0] or 0)
    except StoreError:
        return 0


def quotes(stack: RunningStack) -> int:
    return number(stack, "SELECT count() FROM options_quotes")


def live_views(stack: RunningStack) -> int:
    return number(stack, "SELECT uniqExact(computed_ts) FROM live_surfaces")


@pytest.mark.parametrize("part", ["streamer", "store", "live", "redis", "exchange"])
def test_a_killed_part_comes_back_and_data_flows_again(stack: RunningStack, part: str) -> None:
    wait_for("quotes flow before", lambda: quotes(stack) > 0)
    wait_for("live surfaces flow before", lambda: live_views(stack) > 0)
    stack.kill(part)
    quotes_then, views_then = (
        wait_for("the store answers", lambda: quotes(stack)),
        live_views(stack),
    )
    wait_for(f"quotes flow after {part} was killed", lambda: quotes(stack) > quotes_then)
    wait_for(f"live surfaces flow after {part} was killed", lambda: live_views(stack) > views_then)


TABLES = ("options_quotes", "futures_prices", "spot_prices")
_SEGMENTS = "FROM ingest_segments FINAL WHERE first_received_ts > {begun:DateTime64(6, 'UTC')}"


@pytest.fixture
def unmerged(stack: RunningStack) -> Iterator[str]:
    """Stop merges; give the time from which every row stays as it was inserted.

    After a reconnect the exchange repeats the newest update of each instrument, and a merge makes
    one row of the two. As a setting of the tables this outlives a kill of the store.
    """
    sizes = ("max_bytes_to_merge_at_max_space_in_pool", "max_bytes_to_merge_at_min_space_in_pool")
    with connect(stack.settings()) as client:
        for table in TABLES:
            off = ", ".join(f"{name} = 1" for name in sizes)
            client.command(f"ALTER TABLE {table} MODIFY SETTING {off}")
        yield str(client.command("SELECT toString(now64(6, 'UTC'))"))
        for table in TABLES:
            client.command(f"ALTER TABLE {table} RESET SETTING {', '.join(sizes)}")


def test_no_acknowledged_row_is_lost_or_doubled(stack: RunningStack, unmerged: str) -> None:
    def acknowledged() -> int:
        return number(stack, f"SELECT count() {_SEGMENTS}", begun=unmerged)

    wait_for("segments before the kills", lambda: acknowledged() > 1)
    for part in ("streamer", "store"):
        stack.kill(part)
    before = wait_for("the store answers", acknowledged)
    wait_for("segments after the kills", lambda: acknowledged() > before)
    # Every acknowledged segment says how many rows it brought, and when it received them; segments
    # are written in their order. The table must hold exactly those rows.
    with connect(stack.settings()) as client:
        first, last, promised = client.query(
            "SELECT toString(min(first_received_ts)), toString(max(last_received_ts)), "
            f"arrayMap(name -> sumMap(rows)[name], {{tables:Array(String)}}) {_SEGMENTS}",
            parameters={"begun": unmerged, "tables": list(TABLES)},
        ).result_rows[0]
        for table, rows in zip(TABLES, promised, strict=True):
            held, distinct = client.query(
                "SELECT sum(copies), count() FROM (SELECT count() AS copies FROM "
                "{table:Identifier} WHERE received_ts >= {first:DateTime64(6, 'UTC')} AND "
                "received_ts <= {last:DateTime64(6, 'UTC')} GROUP BY cityHash64(tuple(*)))",
                parameters={"table": table, "first": first, "last": last},
            ).result_rows[0]
            assert rows > 0
            assert held == distinct, f"{table}: {held - distinct} rows twice"
            assert held == rows, f"{table}: {rows} acknowledged, {held} there"
