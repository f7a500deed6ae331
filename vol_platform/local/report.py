"""`vol status`: the parts, and how fresh the data is."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from vol_platform.clock import utc_now
from vol_platform.errors import StoreError
from vol_platform.local.readout import frame
from vol_platform.local.running import running_stack, settings_of_running_stack
from vol_platform.local.screen import part_table
from vol_platform.settings import Settings

__all__ = ["print_status"]

_FIRST_YEAR = 2000
_ONE_DAY = 86_400.0

# What is counted, and the newest time of all: it tells since when nothing came.  A plain maximum of
# the column that a table is partitioned by is kept by the engine, however long the table is.
_FRESHNESS = (
    (
        "quotes, last minute",
        """SELECT count() AS rows, (SELECT max(exchange_ts) FROM options_quotes) AS newest
        FROM options_quotes WHERE exchange_ts > now64(3) - INTERVAL 1 MINUTE""",
    ),
    (
        "live surfaces, last minute",
        """SELECT uniqExact(computed_ts) AS rows,
        (SELECT max(computed_ts) FROM live_surfaces) AS newest
        FROM live_surfaces WHERE computed_ts > now64(3) - INTERVAL 1 MINUTE""",
    ),
    (
        "record, snapshots",
        "SELECT uniqExact(snapshot_ts) AS rows, max(snapshot_ts) AS newest FROM surfaces",
    ),
    (
        "closed hours",
        "SELECT uniqExact(hour_ts) AS rows, max(closed_ts) AS newest FROM ingest_hours",
    ),
    ("dead letters", "SELECT count() AS rows, max(received_ts) AS newest FROM dead_letters"),
    ("gaps", "SELECT count() AS rows, max(from_ts) AS newest FROM ingest_gaps"),
)


def print_status(settings: Settings, console: Console) -> int:
    """Print the state of the stack; returns 0 when every part is ready, else 1."""
    state = running_stack(settings)
    if state is None:
        console.print(
            f"Nothing runs in {settings.data_directory.resolve()}; `vol up` starts the platform.",
            highlight=False,
            soft_wrap=True,
        )
        return 1
    now = utc_now().timestamp()
    console.print(
        f"On the {state.exchange} exchange, database {state.database}, "
        f"for {now - state.started:.0f} s (supervisor {state.supervisor_pid})",
        highlight=False,
    )
    console.print(part_table(state.parts, {}, now))
    for name, address in state.addresses.items():
        console.print(f"  {name:<18} {address}", highlight=False)
    console.print(_freshness_table(settings_of_running_stack()))
    return 0 if all(part.status in ("ready", "done") for part in state.parts) else 1


def _freshness_table(settings: Settings) -> Table:
    from vol_platform.store.client import connect

    table = Table(box=None, pad_edge=False)
    for heading in ("data", "rows", "newest"):
        table.add_column(heading, justify="right" if heading == "rows" else "left")
    try:
        client = connect(settings)
    except StoreError as error:
        table.add_row("store", "", str(error))
        return table
    try:
        for name, sql in _FRESHNESS:
            rows, newest = frame(client, sql).row(0)
            table.add_row(name, f"{rows:,}", _age(newest))
    except StoreError as error:
        table.add_row("store", "", str(error))
    finally:
        client.close()
    return table


def _age(newest: datetime) -> str:
    """Say how old a time is; nothing of the zero time that an empty table has."""
    moment = newest if newest.tzinfo else newest.replace(tzinfo=UTC)
    seconds = (utc_now() - moment).total_seconds()
    if moment.year < _FIRST_YEAR:
        return ""
    if seconds < _ONE_DAY:
        return f"{moment:%H:%M:%S}, {seconds:.1f} s ago"
    return f"{moment:%Y-%m-%d %H:%M:%S}, {seconds / _ONE_DAY:.1f} days ago"
