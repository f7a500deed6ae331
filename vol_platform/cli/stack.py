"""Commands for the local stack as a whole: up, down, status, doctor."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["register"]

_PANEL = "The local stack"


def _currency_list(text: str) -> tuple[str, ...]:
    names = tuple(name.strip().upper() for name in text.split(",") if name.strip())
    if not names:
        raise typer.BadParameter(f"name at least one currency, was {text!r}")
    return names


def _exchange_name(text: str) -> str:
    if text not in ("simulator", "deribit"):
        raise typer.BadParameter(f"must be simulator or deribit, was {text!r}")
    return text


def up(
    exchange: Annotated[
        str, typer.Option(help="simulator, or deribit: the real one.", callback=_exchange_name)
    ] = "simulator",
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            help="Check that everything is there and stop; exit code 0, or 1 and what is missing.",
        ),
    ] = False,
    currencies: Annotated[
        str, typer.Option(help="Markets, with commas between: BTC,ETH,BTC_USDC.")
    ] = "BTC",
    seed: Annotated[int, typer.Option(help="Seed of the simulated market.")] = 7,
    history_hours: Annotated[
        int, typer.Option(min=0, max=72, help="Hours before now to fill in; simulator only.")
    ] = 3,
    dagster: Annotated[bool, typer.Option(help="Run Dagster, which keeps the record.")] = True,
    s3: Annotated[bool, typer.Option(help="Run an S3 server, for archive and backup.")] = False,
    store_port: Annotated[
        int | None, typer.Option(help="Port of the store; default 8123 or next free.")
    ] = None,
    redis_port: Annotated[
        int | None, typer.Option(help="Port of Redis; default 6379 or next free.")
    ] = None,
    exchange_port: Annotated[
        int | None, typer.Option(help="Port of the simulated exchange; default 8500 or next free.")
    ] = None,
    streamer_port: Annotated[
        int | None, typer.Option(help="Port of the streamer's metrics; default 9464 or next free.")
    ] = None,
    dagster_port: Annotated[
        int | None, typer.Option(help="Port of Dagster's web page; default 3000 or next free.")
    ] = None,
    dagster_code_port: Annotated[
        int | None, typer.Option(help="Port of Dagster's code server; default 3030 or next free.")
    ] = None,
    s3_port: Annotated[
        int | None, typer.Option(help="Port of S3; default 8333 or next free.")
    ] = None,
    port_offset: Annotated[
        int,
        typer.Option(
            min=0, max=30000, help="Added to every default port, for a stack beside another."
        ),
    ] = 0,
) -> None:
    """Start every part, show the first surface, stay until Ctrl-C."""
    from rich.console import Console

    from vol_platform.local.options import Options
    from vol_platform.local.up import bring_up
    from vol_platform.settings import load_settings

    options = Options(
        exchange=exchange,
        currencies=_currency_list(currencies),
        seed=seed,
        history_hours=history_hours,
        with_dagster=dagster,
        with_s3=s3,
        ports={
            "store": store_port,
            "redis": redis_port,
            "exchange": exchange_port,
            "streamer": streamer_port,
            "dagster": dagster_port,
            "dagster-code": dagster_code_port,
            "s3": s3_port,
        },
        port_offset=port_offset,
    )
    raise typer.Exit(bring_up(load_settings(), options, Console(), once=once))


def down() -> None:
    """Stop the stack, and whatever a killed one left behind."""
    from vol_platform.local.running import shut_down
    from vol_platform.settings import load_settings

    print(shut_down(load_settings()))


def status() -> None:
    """Show the parts, their ports and processes, and how fresh the data is."""
    from rich.console import Console

    from vol_platform.local.report import print_status
    from vol_platform.settings import load_settings

    raise typer.Exit(print_status(load_settings(), Console()))


def doctor() -> None:
    """Check the configuration and every connection; name the cure for what is wrong."""
    from rich.console import Console

    from vol_platform.local.doctor import examine

    raise typer.Exit(examine(Console()))


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    for command in (up, down, status, doctor):
        app.command(rich_help_panel=_PANEL)(command)
