"""Reading an hour: raw frames through the staging models, derived frames from their tables."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.derivations.contracts import (
    FUTURES_COLUMNS,
    INDEX_COLUMNS,
    POSITIONS_COLUMNS,
    RATES_COLUMNS,
    Derivation,
    DerivationContext,
    conform,
)
from vol_platform.derivations.raw import assemble_chain, complete_index
from vol_platform.record.partitions import HOUR
from vol_platform.settings import Settings
from vol_platform.store.client import query_frame
from vol_platform.store.sql_models.loader import project_models, render

__all__ = ["LOADED", "context_of", "read_derived", "read_loaded", "read_model", "read_raw"]

LOADED = ("rates", "positions")
"""Raw frames that come from files which somebody loaded."""

_INSTANT = "%Y-%m-%d %H:%M:%S"


def context_of(settings: Settings) -> DerivationContext:
    """Return the parameters of the derivations of the record."""
    return DerivationContext(
        max_quote_age_seconds=settings.quotes.max_quote_age_seconds,
        settlement_window_seconds=settings.quotes.settlement_window_seconds,
    )


def read_model(
    client: Client, name: str, hour: datetime, context: DerivationContext
) -> pl.DataFrame:
    """Run one SQL model for one hour.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    name
        Name of the model.
    hour
        Start of the hour.
    context
        Its maximum quote age goes to the models that declare it.
    """
    model = project_models()[name]
    values: dict[str, Any] = {
        "partition_start": hour.strftime(_INSTANT),
        "partition_end": (hour + HOUR).strftime(_INSTANT),
        "max_quote_age_seconds": context.max_quote_age_seconds,
    }
    return query_frame(client, render(model, project_models()), values)


def read_raw(client: Client, hour: datetime, context: DerivationContext) -> dict[str, pl.DataFrame]:
    """Return the raw frames ``chain``, ``futures`` and ``index`` of an hour.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    hour
        Start of the hour; the snapshots are its minutes, ``[hour, hour + 1 h)``.
    context
        Maximum quote age.
    """
    chain = assemble_chain(
        read_model(client, "stg_option_quotes", hour, context),
        read_model(client, "stg_option_instruments", hour, context),
    )
    return {
        "chain": chain,
        "futures": conform(
            read_model(client, "stg_futures", hour, context),
            FUTURES_COLUMNS,
            ("snapshot_ts", "currency", "instrument_name"),
            "futures",
        ),
        "index": complete_index(
            conform(read_model(client, "stg_index", hour, context), INDEX_COLUMNS), chain
        ),
    }


def read_loaded(
    client: Client, hour: datetime, context: DerivationContext
) -> dict[str, pl.DataFrame]:
    """Return the raw frames ``rates`` and ``positions`` of an hour; mostly they are empty.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    hour
        Start of the hour.
    context
        As for `read_raw`.
    """
    rates = read_model(client, "stg_rates", hour, context)
    positions = read_model(client, "stg_positions", hour, context)
    return {
        "rates": conform(rates, RATES_COLUMNS, ("kind", "maturity_years"), "rates"),
        "positions": conform(
            positions, POSITIONS_COLUMNS, ("portfolio", "from_ts", "instrument_name"), "positions"
        ),
    }


def read_derived(client: Client, derivation: Derivation, hour: datetime) -> pl.DataFrame:
    """Return what the record holds of a derivation for an hour, as the derivation returned it."""
    frame = query_frame(
        client,
        f"SELECT {_selection(derivation.columns)} FROM {derivation.table} "  # noqa: S608 - names of our own registry; values are parameters
        "WHERE snapshot_ts >= {partition_start:DateTime('UTC')} "
        "AND snapshot_ts < {partition_end:DateTime('UTC')}",
        {
            "partition_start": hour.strftime(_INSTANT),
            "partition_end": (hour + HOUR).strftime(_INSTANT),
        },
    )
    return conform(frame, derivation.columns, derivation.key, derivation.name)


def _selection(columns: Mapping[str, pl.DataType]) -> str:
    # Arrow has no seconds-only instant: ClickHouse would send a DateTime as a bare integer.
    return ", ".join(
        f"toDateTime64({name}, 3, 'UTC') AS {name}" if isinstance(kind, pl.Datetime) else name
        for name, kind in columns.items()
    )
