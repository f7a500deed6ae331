"""Commands that show data: surface, smile, term, atm, greeks, sql."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vol_platform.cli.arguments import Currency, instrument_name, parse_instant, write_file

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType

__all__ = ["register"]

_PANEL = "The surface"

At = Annotated[
    str | None,
    typer.Option(
        "--at",
        help="The newest snapshot at or before this UTC time (2026-06-05T08:00); default: now.",
    ),
]


def _moment(at: str | None) -> datetime | None:
    return None if at is None else parse_instant(at)


def _client() -> Any:
    from vol_platform.local.running import settings_of_running_stack
    from vol_platform.store.client import connect

    return connect(settings_of_running_stack())


def _show(*things: RenderableType) -> None:
    from rich.console import Console

    console = Console()
    for thing in things:
        console.print(thing, highlight=False)


def _chart_width() -> int:
    from rich.console import Console

    return min(72, Console().width - 10)


def _surface_rows(client: Any, currency: str, at: datetime | None) -> tuple[str, pl.DataFrame]:
    """Return the newest surface: live when no time is asked for, else the record's."""
    from vol_platform.errors import VolError
    from vol_platform.local.readout import markets_with_surfaces, newest_rows

    if at is None:
        rows = newest_rows(client, "surfaces", "live", currency, None)
        if not rows.is_empty():
            return "live", rows
    rows = newest_rows(client, "surfaces", "record", currency, at)
    if rows.is_empty():
        when = f" at or before {at:%Y-%m-%d %H:%M} UTC" if at else ""
        others = [name for name in markets_with_surfaces(client) if name != currency]
        known = f"there are some of {', '.join(others)}; " if others else ""
        raise VolError(
            f"there is no surface of {currency}{when}; {known}"
            "import boards (vol import) or start the stack (vol up)"
        )
    return "record", rows


def _heading(currency: str, source: str, rows: pl.DataFrame) -> str:
    return f"{currency}, {source}, as of {rows['snapshot_ts'][0]:%Y-%m-%d %H:%M:%S} UTC"


def surface(
    currency: Currency = "BTC",
    at: At = None,
    png: Annotated[
        Path | None, typer.Option(help="Draw the surface into this file instead.")
    ] = None,
) -> None:
    """Show the fitted surface: term structure and smiles, or a picture of all of it."""
    from vol_platform.local.readout import clean_quotes
    from vol_platform.plots import overview_png, terminal

    client = _client()
    source, rows = _surface_rows(client, currency, _moment(at))
    quotes = clean_quotes(client, currency, rows["snapshot_ts"][0]) if source == "record" else None
    if png is not None:
        snapshot_ts = rows["snapshot_ts"][0]
        picture = overview_png(rows, quotes, currency=currency, snapshot_ts=snapshot_ts)
        write_file(png, picture)
        print(f"{_heading(currency, source, rows)}: {png}")
        return
    _show(_heading(currency, source, rows), terminal.term_structure(rows))
    if not rows.drop_nulls("a").is_empty():
        _show(terminal.smile(rows, quotes, width=_chart_width()))


def smile(
    expiry: Annotated[
        str | None, typer.Argument(help="Like 26JUN26; default: nearest to 30 days.")
    ] = None,
    currency: Currency = "BTC",
    at: At = None,
) -> None:
    """Show one expiry's smile with its quotes."""
    from vol_platform.errors import VolError
    from vol_platform.local.readout import clean_quotes
    from vol_platform.plots import terminal
    from vol_platform.plots.labels import expiry_label

    client = _client()
    source, rows = _surface_rows(client, currency, _moment(at))
    expiries = {expiry_label(row): row for row in rows.drop_nulls("a")["expiry_ts"]}
    if not expiries or (expiry is not None and expiry.upper() not in expiries):
        raise VolError(
            f"there is no fitted expiry{f' {expiry}' if expiry else ''} of {currency}; "
            f"fitted are: {', '.join(expiries) or 'none'}"
        )
    quotes = clean_quotes(client, currency, rows["snapshot_ts"][0]) if source == "record" else None
    chosen = expiries[expiry.upper()] if expiry else None
    _show(
        _heading(currency, source, rows),
        terminal.smile(rows, quotes, expiry_ts=chosen, width=_chart_width()),
    )


def term(currency: Currency = "BTC", at: At = None) -> None:
    """Show at-the-money volatility by expiry."""
    from vol_platform.plots import terminal

    source, rows = _surface_rows(_client(), currency, _moment(at))
    _show(_heading(currency, source, rows), terminal.term_structure(rows))


def atm(
    currency: Currency = "BTC",
    at: At = None,
    days: Annotated[float, typer.Option(min=0.1, help="Maturity in days.")] = 30.0,
) -> None:
    """Print at-the-money volatility at one constant maturity, in percent."""
    from vol_platform.errors import VolError
    from vol_platform.quant import term_structure
    from vol_platform.quant.surface import Surface

    source, rows = _surface_rows(_client(), currency, _moment(at))
    fitted = Surface.from_frame(rows)
    listed = 365.0 * term_structure.expiries(fitted)
    if not listed.size:
        raise VolError(
            f"no expiry of {currency} is fitted at {rows['snapshot_ts'][0]:%Y-%m-%d %H:%M} UTC; "
            "vol surface shows the status of each, --at goes back in time"
        )
    vol = term_structure.constant_maturity(fitted, days)
    beyond = (
        ""
        if listed.min() <= days <= listed.max()
        else f" (extrapolated: the fitted expiries have {listed.min():.1f} to {listed.max():.1f})"
    )
    print(f"{_heading(currency, source, rows)}: {days:g} days {100 * vol.item():.2f} %{beyond}")


def greeks(
    instrument: Annotated[
        str, typer.Argument(help="Like BTC-26JUN26-100000-C.", callback=instrument_name)
    ],
) -> None:
    """Show the newest price and greeks of one option, each with its unit."""
    from vol_platform.cli.greeks_table import greeks_table
    from vol_platform.errors import VolError
    from vol_platform.local.readout import newest_greeks

    source, rows = newest_greeks(_client(), instrument)
    if rows.is_empty():
        raise VolError(
            f"there are no greeks of {instrument}; check its name in the view `instruments`"
        )
    _show(greeks_table(rows.row(0, named=True), source))


def sql(
    query: Annotated[
        str, typer.Argument(help='One statement, e.g. "SELECT count() FROM options_quotes".')
    ],
    output_format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="A ClickHouse format: PrettyCompact, CSVWithNames, JSON, …; FORMAT in the "
            "statement wins.",
        ),
    ] = "PrettyCompactMonoBlock",
) -> None:
    """Run one SQL statement against the store and print its rows."""
    import sys

    from clickhouse_connect.driver.exceptions import ClickHouseError

    from vol_platform.errors import StoreError
    from vol_platform.store.refusals import refusal_text

    # Not put behind the statement: there it would be taken for a part of an unfinished one, and a
    # statement could not name its own.
    form = {"X-ClickHouse-Format": output_format}
    try:
        answer = _client().raw_query(query, transport_settings=form)
    except ClickHouseError as error:
        raise StoreError(f"the store refused the query: {refusal_text(str(error))}") from None
    sys.stdout.buffer.write(answer)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    for command in (surface, smile, term, atm, greeks, sql):
        app.command(rich_help_panel=_PANEL)(command)
