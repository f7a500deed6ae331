"""Commands that load what people keep in files, and the archive: to S3 and back."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer

from vol_platform.cli.arguments import parse_instant

__all__ = ["register"]

_PANEL = "Data in and out"


def rates(
    path: Annotated[
        Path,
        typer.Argument(
            help="CSV of the Treasury or of FRED (percent), or made by hand: "
            "date,maturity_years,rate (decimal: 0.04 is 4 %)."
        ),
    ],
) -> None:
    """Load interest-rate curves; hours computed from now on use them."""
    from vol_platform.imports.tables_of_people import read_rates, write_rates
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.store.client import connect

    quotes = read_rates(path)  # a mistake in the file is said whether or not the store runs
    with connect(settings_of_running_stack()) as client:
        print(f"loaded {path}: {write_rates(client, quotes, path.name):,} quotes")


def positions(
    path: Annotated[
        Path,
        typer.Argument(
            help="CSV: portfolio,instrument_name,quantity (in coin; short is negative)."
        ),
    ],
    from_time: Annotated[
        str | None,
        typer.Option("--from", help="Held from, UTC, like 2026-06-05T08:00; default: now."),
    ] = None,
) -> None:
    """Load positions; every portfolio in the file holds exactly these from then on."""
    from vol_platform.clock import utc_now
    from vol_platform.imports.tables_of_people import read_positions, write_positions
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.store.client import connect

    moment = utc_now() if from_time is None else parse_instant(from_time)
    held = read_positions(path)
    with connect(settings_of_running_stack()) as client:
        rows = write_positions(client, held, moment.replace(microsecond=0))
    print(f"loaded {path}: {rows:,} positions from {moment:%Y-%m-%d %H:%M} UTC on")


def _days(first: str, last: str | None) -> list[date]:
    try:
        begin, end = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError:
        wrong = " ".join(filter(None, (first, last)))
        raise typer.BadParameter(f"must be a day like 2026-06-05, was {wrong!r}") from None
    if end < begin:
        raise typer.BadParameter(f"the last day must not be before the first ({first}), was {last}")
    return [begin + timedelta(days=number) for number in range((end - begin).days + 1)]


def archive(
    first: Annotated[str, typer.Argument(help="First day, UTC, like 2026-06-05.")],
    last: Annotated[
        str | None, typer.Argument(help="Last day, included; default: only the first.")
    ] = None,
) -> None:
    """Write days that are over, raw rows as Parquet, to S3; read them back and compare."""
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.store.client import connect
    from vol_platform.store.s3.archive import archive_day
    from vol_platform.store.s3.object_store import Bucket

    settings = settings_of_running_stack()
    with connect(settings) as client:
        for day in _days(first, last):
            frames = settings.s3.raw_frames_directory
            manifest = archive_day(client, Bucket(settings.s3), day, frames=frames)
            rows = sum(part.rows for part in manifest.parts)
            size = sum(part.bytes for part in manifest.parts)
            print(f"archived {day}: {rows:,} rows, {len(manifest.parts)} objects, {size:,} bytes")


def restore(
    first: Annotated[str, typer.Argument(help="First day, UTC, like 2026-06-05.")],
    last: Annotated[
        str | None, typer.Argument(help="Last day, included; default: only the first.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="Database that was archived; default: the configured one.")
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option(
            help="Folder that gets the raw messages, hourly .tar files; default: they stay in S3."
        ),
    ] = None,
) -> None:
    """Put archived days back into the store; every checksum must agree, no row comes twice."""
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.store.client import connect
    from vol_platform.store.migrate import migrate
    from vol_platform.store.s3.object_store import Bucket
    from vol_platform.store.s3.restore import restore_day

    settings = settings_of_running_stack()
    migrate(settings)
    with connect(settings) as client:
        for day in _days(first, last):
            manifest = restore_day(
                client, Bucket(settings.s3), day, database=database, frames=frames
            )
            print(f"restored {day}: {sum(part.rows for part in manifest.parts):,} rows, verified")


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command(rich_help_panel=_PANEL)(rates)
    app.command(rich_help_panel=_PANEL)(positions)
    app.command(rich_help_panel=_PANEL)(archive)
    app.command(rich_help_panel=_PANEL)(restore)
