"""Commands that bring data in or compute it again: import, replay, backfill."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vol_platform.cli.arguments import parse_instant

if TYPE_CHECKING:
    from vol_platform.imports.landing import ImportResult
    from vol_platform.imports.run import Skipped

__all__ = ["parse_hour", "register"]

_PANEL = "Data in and out"


def _say_imported(path: Path, outcome: ImportResult | Skipped) -> None:
    from vol_platform.imports.run import Skipped

    if isinstance(outcome, Skipped):
        print(f"skipped {path}: {outcome.reason}")
        return
    rows = ", ".join(f"{count:,} {table}" for table, count in outcome.rows.items())
    boards = ", ".join(f"{currency} {when:%Y-%m-%d %H:%M}" for currency, when in outcome.snapshots)
    print(f"imported {path}: {boards or 'trades'} ({rows})")


def import_boards(
    paths: Annotated[
        list[Path], typer.Argument(help="Files of boards or trades, or folders of them.")
    ],
    mapping: Annotated[
        Path | None, typer.Option(help="YAML file: how to read a CSV file of an unknown kind.")
    ] = None,
) -> None:
    """Put recorded boards and trades into the raw tables; Dagster then fits the surfaces."""
    from vol_platform.imports.mapping import load_mapping
    from vol_platform.imports.run import import_boards as run_import
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.store.client import connect
    from vol_platform.store.migrate import migrate

    settings = settings_of_running_stack()
    migrate(settings)
    results, skipped = run_import(
        connect(settings),
        settings.clickhouse.database,
        paths,
        None if mapping is None else load_mapping(mapping),
        progress=_say_imported,
    )
    hours = {hour for result in results for hour in result.hours}
    print(f"{len(results)} files imported, {len(skipped)} files skipped, {len(hours)} hours to fit")


def replay(
    captures: Annotated[
        list[Path],
        typer.Argument(
            help="Raw WebSocket captures, hours of the streamer's archive (.tar), or "
            "folders of them."
        ),
    ],
    scratch: Annotated[
        bool,
        typer.Option("--scratch", help="Into a temporary store instead of the running one."),
    ] = False,
) -> None:
    """Play captures through a real socket into the streamer; account for every message."""
    from rich.console import Console

    from vol_platform.local.replay import replay_captures
    from vol_platform.local.running import settings_of_running_stack

    good = replay_captures(settings_of_running_stack(), captures, Console(), scratch=scratch)
    raise typer.Exit(0 if good else 1)


def parse_hour(text: str) -> datetime:
    """Return the hour, in UTC, of a time that a person typed.

    Raises
    ------
    typer.BadParameter
        It is no time.
    """
    return parse_instant(text).replace(minute=0, second=0, microsecond=0)


def backfill(
    first: Annotated[
        str,
        typer.Option(
            "--from", help="First hour, UTC, like 2026-06-05T08; a day alone is its first hour."
        ),
    ],
    last: Annotated[
        str | None,
        typer.Option("--to", help="Last hour, included, as --from; default: only the first."),
    ] = None,
    missing: Annotated[
        bool,
        typer.Option(
            "--missing",
            help="Only hours that today's code has not published since their ticks last changed: "
            "go on after an interruption.",
        ),
    ] = False,
) -> None:
    """Compute hours of the record again, from the raw rows."""
    import dagster as dg

    from vol_platform.cli.progress import HoursLine
    from vol_platform.local.layout import Layout
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.record.run import materialise_hours

    begin, end = parse_hour(first), parse_hour(last or first)
    if end < begin:
        raise typer.BadParameter(
            f"the last hour must not be before the first ({begin:%Y-%m-%dT%H}), was {last!r}"
        )
    hours = [
        begin + timedelta(hours=n) for n in range(int((end - begin).total_seconds()) // 3600 + 1)
    ]
    settings = settings_of_running_stack()
    home = Layout(settings.data_directory, settings.clickhouse.database).dagster
    # Where the stack keeps a Dagster home the runs are to be seen on its web page.
    instance = (
        dg.DagsterInstance.from_config(str(home)) if (home / "dagster.yaml").exists() else None
    )
    with HoursLine(sys.stdout) as line:
        report = materialise_hours(
            settings,
            hours,
            instance=instance,
            progress=line.show,
            only_missing=missing,
            with_models=True,
        )
    for hour, reason in report.failed.items():
        print(f"{hour:%Y-%m-%dT%H:%M} failed: {reason}")
    for hour, checks in report.failed_checks.items():
        print(f"{hour:%Y-%m-%dT%H:%M} checks that did not pass: {', '.join(checks)}")
    known = len(hours) - len(report.succeeded) - len(report.failed)
    kept = f", {known} were there already" if known else ""
    print(f"{len(report.succeeded)} hours computed, {len(report.failed)} failed{kept}")
    raise typer.Exit(1 if report.failed else 0)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command("import", rich_help_panel=_PANEL)(import_boards)
    app.command(rich_help_panel=_PANEL)(replay)
    app.command(rich_help_panel=_PANEL)(backfill)
