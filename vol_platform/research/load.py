"""Surfaces and boards out of ClickHouse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.errors import StoreError
from vol_platform.quant.surface import Board, Surface
from vol_platform.settings import Settings, load_settings
from vol_platform.store.client import connect, query_frame

__all__ = ["Source", "load_board", "load_surface", "load_surface_frame", "opened"]

_SNAPSHOT = """
SELECT max(snapshot_ts) AS newest, count() AS rows
FROM surfaces WHERE currency = {currency:String} AND snapshot_ts <= {at:DateTime('UTC')}
"""

_SURFACE = """
SELECT * FROM surfaces
WHERE currency = {currency:String} AND snapshot_ts = {snapshot:DateTime('UTC')}
ORDER BY expiry_ts
"""

_BOARD = """
SELECT q.*, f.forward AS forward, f.uncertainty_basis_points AS uncertainty_basis_points
FROM quotes_clean AS q
LEFT JOIN forward_curve AS f
    ON f.snapshot_ts = q.snapshot_ts AND f.currency = q.currency AND f.expiry_ts = q.expiry_ts
WHERE q.currency = {currency:String} AND q.snapshot_ts = {snapshot:DateTime('UTC')}
ORDER BY q.expiry_ts, q.strike, q.is_call
"""

Source = Settings | Client | None


def load_surface(currency: str, at: datetime, source: Source = None) -> Surface:
    """Return the recorded surface that was newest at an instant.

    Parameters
    ----------
    currency
        The market: ``BTC``, ``ETH``, ``BTC_USDC`` …
    at
        The instant; a naive datetime is UTC.  Snapshots are whole minutes.
    source
        Settings, an open client, or None for the settings of this process.

    Raises
    ------
    StoreError
        There is no surface of the market up to then, or ClickHouse does not answer.
    """
    return Surface.from_frame(load_surface_frame(currency, at, source))


def load_surface_frame(currency: str, at: datetime, source: Source = None) -> pl.DataFrame:
    """Return the rows of table ``surfaces`` behind `load_surface`, refused expiries included."""
    with opened(source) as client:
        snapshot = _snapshot(client, currency, at)
        return query_frame(client, _SURFACE, {"currency": currency, "snapshot": snapshot})


def load_board(currency: str, at: datetime, source: Source = None) -> Board:
    """Return the cleaned quotes and forwards that the surface of `load_surface` was fitted to.

    Parameters and errors are those of `load_surface`; ``calibrate(load_board(…))`` fits them anew.
    """
    with opened(source) as client:
        snapshot = _snapshot(client, currency, at)
        frame = query_frame(client, _BOARD, {"currency": currency, "snapshot": snapshot})
    return Board.from_frame(frame)


@contextmanager
def opened(source: Source) -> Iterator[Client]:
    """Give the client of a source; one that is opened here is closed here."""
    if isinstance(source, Client):
        yield source
        return
    with connect(load_settings() if source is None else source) as client:
        yield client


def _snapshot(client: Client, currency: str, at: datetime) -> datetime:
    moment = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    found = query_frame(client, _SNAPSHOT, {"currency": currency, "at": moment})
    newest, rows = found.row(0)
    if not rows:
        msg = (
            f"there is no surface of {currency} up to {moment:%Y-%m-%d %H:%M:%S} UTC; "
            "materialise the hour (`vol backfill`) or ask for a later instant"
        )
        raise StoreError(msg)
    assert isinstance(newest, datetime)  # noqa: S101 - max of a DateTime column
    return newest if newest.tzinfo is not None else newest.replace(tzinfo=UTC)
