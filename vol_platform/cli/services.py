"""Commands that run one part by itself: store, migrations, simulator, streamer, live view."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

__all__ = ["register"]

_PANEL = "One part by itself"
_PASS_ON: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}


def _become(module: str, arguments: list[str]) -> None:
    """Replace this process by ``python -m module``."""
    sys.stdout.flush()
    # The program is this interpreter and the arguments are the user's own.
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - see above


def store(ctx: typer.Context) -> None:
    """Run the embedded ClickHouse; `vol store --help` shows its options."""
    _become("vol_platform.store.server", ctx.args)


def simulate(ctx: typer.Context) -> None:
    """Run the simulated exchange; `vol simulate --help` shows its options."""
    _become("vol_platform.simulator", ctx.args)


def stream(ctx: typer.Context) -> None:
    """Run the streamer as `vol-streamer` does; `vol stream --help` shows its commands."""
    _become("streamer.main", ctx.args)


def capture(ctx: typer.Context) -> None:
    """Record the exchange to a file, without a database; `vol capture --help` shows its options."""
    _become("streamer.main", ["capture", *ctx.args])


def live() -> None:
    """Run the live view until Ctrl-C: the newest surface and greeks, in Redis and in tables."""
    _become("vol_platform.live", [])


def migrate() -> None:
    """Create the database and bring its tables up to date."""
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.store.migrate import migrate as run_migrations

    settings = settings_of_running_stack()
    applied = run_migrations(settings)
    clickhouse = settings.clickhouse
    done = f"{len(applied)} migrations applied" if applied else "up to date"
    print(f"{clickhouse.database} on {clickhouse.host}:{clickhouse.port}: {done}")


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command(rich_help_panel=_PANEL)(migrate)
    app.command(rich_help_panel=_PANEL)(live)
    for command in (store, simulate, stream, capture):
        app.command(rich_help_panel=_PANEL, add_help_option=False, context_settings=_PASS_ON)(
            command
        )
