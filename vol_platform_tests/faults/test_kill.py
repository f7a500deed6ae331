"""Kill -9 of each part in turn: all comes back, no acknowledged row is lost or doubled."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from vol_platform.errors import StoreError
from vol_platform.store.client import connect
from vol_platform_tests.stack import RunningStack, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TABLES = ("options_quotes", "futures_prices", "spot_prices")
_SEGMENTS = "FROM ingest_segments FINAL WHERE first_received_ts > {begun:DateTime64(6, 'UTC')}"


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


def test_the_commands_show_the_live_surface(stack: RunningStack, tmp_path: Path) -> None:
    wait_for("live surfaces", lambda: live_views(stack) > 0)
    picture = tmp_path / "surface.png"
    for command, expected in (
        (("surface",), "in spread"),
        (("surface", "--png", str(picture)), str(picture)),
        (("term",), "atm vol"),
        (("smile",), "k = "),
        (("atm", "--days", "30"), "30 days"),
        (("sql", "SELECT 6 * 7 AS answer", "--format", "CSV"), "42"),
    ):
        result = stack.vol(*command)
        assert result.returncode == 0, result.stderr
        assert expected in result.stdout, result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    with connect(stack.settings()) as client:
        name = client.query("SELECT any(instrument_name) FROM live_greeks").result_rows[0][0]
    greeks = stack.vol("greeks", name)
    assert greeks.returncode == 0, greeks.stderr
    assert "gamma" in greeks.stdout


def test_a_second_start_says_what_runs_and_changes_nothing(stack: RunningStack) -> None:
    pids = stack.pids()
    again = stack.vol("up")
    assert again.returncode == 0
    assert "Already running for" in again.stdout
    assert "ClickHouse (HTTP)" in again.stdout
    assert stack.pids() == pids


def test_status_names_every_part_and_restart(stack: RunningStack) -> None:
    status = stack.vol("status")
    assert status.returncode == 0, status.stdout
    for part in ("store", "redis", "exchange", "streamer", "live"):
        assert f"\n{part} " in status.stdout
    assert "quotes, last minute" in status.stdout


def test_nothing_is_left_when_supervisor_and_guard_are_killed_and_down_cleans_up(
    stack: RunningStack, tmp_path: Path
) -> None:
    pids = stack.pids()
    assert len(pids) >= 5
    os.kill(stack.process.pid, signal.SIGKILL)
    stack.process.wait()
    wait_for("the guard stopped every part", lambda: not any(_runs(pid) for pid in pids))
    down = stack.vol("down")
    assert down.returncode == 0, down.stderr
    assert stack.state() is None


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
