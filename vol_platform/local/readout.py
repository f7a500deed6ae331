"""Reading the newest state out of the store, for screens."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from vol_platform.errors import StoreError

if TYPE_CHECKING:
    import polars as pl
    from clickhouse_connect.driver.client import Client

__all__ = [
    "Source",
    "clean_quotes",
    "frame",
    "markets_with_surfaces",
    "newest_greeks",
    "newest_rows",
]

Source = Literal["live", "record"]

_TIME_COLUMN: dict[Source, str] = {"live": "computed_ts", "record": "snapshot_ts"}
_TABLES = {
    "surfaces": {"live": "live_surfaces", "record": "surfaces"},
    "greeks": {"live": "live_greeks", "record": "options_greeks"},
}


def frame(client: Client, sql: str, parameters: dict[str, object] | None = None) -> pl.DataFrame:
    """Run a query and return its rows as a frame.

    Raises
    ------
    StoreError
        The store refused the query or could not be reached.
    """
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from vol_platform.store.client import query_frame

    try:
        return query_frame(client, sql, parameters)
    except (ClickHouseError, OSError) as error:
        msg = f"the store refused: {str(error).splitlines()[0]}"
        raise StoreError(msg) from error


def newest_rows(
    client: Client,
    what: Literal["surfaces", "greeks"],
    source: Source,
    currency: str,
    at: datetime | None,
) -> pl.DataFrame:
    """Return the rows of the newest snapshot, one per expiry (surfaces) or option (greeks).

    Parameters
    ----------
    client : Client
        Connection to the store.
    what : {"surfaces", "greeks"}
        Which rows.
    source : {"live", "record"}
        The live view's tables or the record's.
    currency : str
        The market.
    at : datetime or None
        The newest snapshot at or before this instant; None is the newest of all.
    """
    table, time_column = _TABLES[what][source], _TIME_COLUMN[source]
    # Only names of our own tables and columns are put into the text; values go as parameters.
    newest = f"SELECT max({time_column}) FROM {table} WHERE currency = {{currency:String}}"  # noqa: S608 - see above
    parameters: dict[str, object] = {"currency": currency}
    if at is not None:
        newest += f" AND {time_column} <= {{at:DateTime64(6, 'UTC')}}"
        parameters["at"] = at
    order = "expiry_ts" if what == "surfaces" else "expiry_ts, strike, is_call"
    return frame(
        client,
        f"SELECT * FROM {table} WHERE currency = {{currency:String}} "  # noqa: S608 - see above
        f"AND {time_column} = ({newest}) ORDER BY {order}",
        parameters,
    )


def markets_with_surfaces(client: Client) -> list[str]:
    """Return the markets of which record or live view hold a surface."""
    rows = frame(
        client,
        "SELECT currency FROM surfaces UNION DISTINCT SELECT currency FROM live_surfaces"
        " ORDER BY currency",
    )
    return [str(name) for name in rows["currency"]]


def newest_greeks(client: Client, instrument_name: str) -> tuple[Source, pl.DataFrame]:
    """Return the newest greeks of one option: the live view's, else the record's."""
    sources: tuple[Source, ...] = ("live", "record")
    for source in sources:
        table, time_column = _TABLES["greeks"][source], _TIME_COLUMN[source]
        rows = frame(
            client,
            f"SELECT * FROM {table} WHERE instrument_name = {{name:String}} "  # noqa: S608 - our names
            f"ORDER BY {time_column} DESC LIMIT 1",
            {"name": instrument_name},
        )
        if len(rows):
            return source, rows
    return "record", rows


def clean_quotes(client: Client, currency: str, snapshot_ts: datetime) -> pl.DataFrame:
    """Return the record's clean quotes of one snapshot."""
    return frame(
        client,
        "SELECT * FROM quotes_clean WHERE currency = {currency:String} "
        "AND snapshot_ts = {at:DateTime('UTC')}",
        {"currency": currency, "at": snapshot_ts},
    )
