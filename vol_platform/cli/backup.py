"""`vol backup`: the whole database to S3, what is there, and back."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["register"]

backup_app = typer.Typer(no_args_is_help=True, help="The whole database to S3, and back.")


@backup_app.command("make")
def make() -> None:
    """Back the database up: full for the first time in a week, else what changed since then."""
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.store.s3.backup import make_backup

    made = make_backup(settings_of_running_stack())
    kind = f"what changed since {made.base}" if made.base else "full"
    print(
        f"backup {made.name} of {made.database}, {kind}: {sum(made.rows.values()):,} rows, "
        f"{made.bytes:,} bytes, {made.stored_bytes:,} of them in it"
    )


@backup_app.command("list")
def list_backups() -> None:
    """List the backups on S3, oldest first."""
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.store.s3.backup import backups
    from vol_platform.store.s3.object_store import Bucket

    settings = settings_of_running_stack()
    found = backups(Bucket(settings.s3), settings.clickhouse.database)
    for one in found:
        kind = f"since {one.base}" if one.base else "full"
        print(f"{one.name}  {kind:<26}  {sum(one.rows.values()):>15,} rows  {one.bytes:>15,} bytes")
    if not found:
        print(f"no backup of {settings.clickhouse.database} on {settings.s3.endpoint}")


@backup_app.command("restore")
def restore(
    name: Annotated[str, typer.Argument(help="As `vol backup list` prints it.")],
    into: Annotated[str, typer.Option(help="Name of a new database.")],
    database: Annotated[
        str | None, typer.Option(help="Database that was backed up; default: the own one.")
    ] = None,
) -> None:
    """Restore a backup into a new database; the one in use is not touched."""
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.store.s3.backup import restore_backup

    tables = restore_backup(settings_of_running_stack(), name, into=into, database=database)
    for table, (then, now) in tables.items():
        if now < then:
            print(f"{table}: {then:,} rows when the backup began, {now:,} in it")
    print(
        f"restored {name} into {into}: {sum(now for _, now in tables.values()):,} rows in "
        f"{len(tables)} tables; `VOL_CLICKHOUSE__DATABASE={into} vol status` looks at it"
    )


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.add_typer(backup_app, name="backup", rich_help_panel="Data in and out")
