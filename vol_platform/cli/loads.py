"""Commands that load what people keep in files: interest-rate curves, positions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]

_PANEL = "Data in and out"


def rates(
    path: Annotated[Path, typer.Argument(help="CSV of the Treasury, of FRED, or made by hand.")],
) -> None:
    """Load interest-rate curves; hours computed from now on use them."""
    from vol_platform.imports.tables_of_people import load_rates
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.store.client import connect

    with connect(settings_of_running_stack()) as client:
        print(f"loaded {path}: {load_rates(client, path):,} quotes")


def positions(
    path: Annotated[Path, typer.Argument(help="CSV: portfolio,instrument_name,quantity.")],
    from_time: Annotated[
        str | None, typer.Option("--from", help="Held from, UTC; default: now.")
    ] = None,
) -> None:
    """Load positions; every portfolio in the file holds exactly these from then on."""
    from vol_platform.clock import utc_now
    from vol_platform.imports.tables_of_people import load_positions
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.store.client import connect

    try:
        moment = utc_now() if from_time is None else datetime.fromisoformat(from_time)
    except ValueError:
        raise typer.BadParameter(
            f"must be a time like 2026-06-05T08:00, was {from_time!r}"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    with connect(settings_of_running_stack()) as client:
        rows = load_positions(client, path, moment.replace(microsecond=0))
    print(f"loaded {path}: {rows:,} positions from {moment:%Y-%m-%d %H:%M} UTC on")


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command(rich_help_panel=_PANEL)(rates)
    app.command(rich_help_panel=_PANEL)(positions)
