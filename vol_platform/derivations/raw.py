"""Raw rows to raw frames: the same joining for the record and for the live view."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from vol_platform.derivations.contracts import CHAIN_COLUMNS, INDEX_COLUMNS, INSTANT, conform

__all__ = ["INSTRUMENT_COLUMNS", "QUOTE_COLUMNS", "assemble_chain", "complete_index"]

_OF_INSTRUMENT = (
    "expiry_ts",
    "strike",
    "is_call",
    "is_inverse",
    "premium_currency",
    "tick_size",
    "tick_step_above",
    "tick_step_size",
)

QUOTE_COLUMNS: Mapping[str, pl.DataType] = {
    name: kind for name, kind in CHAIN_COLUMNS.items() if name not in _OF_INSTRUMENT
}
"""Newest young-enough option quotes by snapshot, before they meet their instruments."""

INSTRUMENT_COLUMNS: Mapping[str, pl.DataType] = {
    "currency": pl.String(),
    "instrument_name": pl.String(),
    "creation_ts": INSTANT,
    **{name: CHAIN_COLUMNS[name] for name in _OF_INSTRUMENT},
}
"""Specifications of options; ``creation_ts`` is null where the listing time is unknown."""


def assemble_chain(quotes: pl.DataFrame, instruments: pl.DataFrame) -> pl.DataFrame:
    """Join quotes to their instruments and add the listed options that have no young quote.

    An option is listed from its creation to its expiry.  One whose creation is unknown (an imported
    board says only what it shows) counts where it has a quote.  An option without a specification
    keeps its row with a null ``expiry_ts``.

    Parameters
    ----------
    quotes
        `QUOTE_COLUMNS`.
    instruments
        `INSTRUMENT_COLUMNS`, one row per market and name.

    Returns
    -------
    polars.DataFrame
        `CHAIN_COLUMNS`, sorted by snapshot, market and name; snapshots and markets without any
        quote do not occur.
    """
    quotes = conform(quotes, QUOTE_COLUMNS, name="quotes")
    instruments = conform(instruments, INSTRUMENT_COLUMNS, name="instruments")
    key = ["snapshot_ts", "currency", "instrument_name"]
    quoted = quotes.join(
        instruments.drop("creation_ts"), on=["currency", "instrument_name"], how="left"
    )
    silent = (
        quotes.select("snapshot_ts", "currency")
        .unique()
        .join(instruments, on="currency")
        .filter(
            pl.col("creation_ts") <= pl.col("snapshot_ts"),
            pl.col("expiry_ts") > pl.col("snapshot_ts"),
        )
        .join(quotes.select(key), on=key, how="anti")
    )
    return conform(
        pl.concat([quoted, silent.drop("creation_ts")], how="diagonal"),
        CHAIN_COLUMNS,
        ("snapshot_ts", "currency", "instrument_name"),
        "chain",
    )


def complete_index(index: pl.DataFrame, chain: pl.DataFrame) -> pl.DataFrame:
    """Fill snapshots without an index tick from the index price that the option quotes carry.

    Parameters
    ----------
    index
        `INDEX_COLUMNS`.
    chain
        `CHAIN_COLUMNS`.

    Returns
    -------
    polars.DataFrame
        `INDEX_COLUMNS`: the ticks as they are, and the newest quoted index price elsewhere.
    """
    key = ["snapshot_ts", "currency"]
    quoted = (
        chain.filter(pl.col("index_price").is_not_null())
        .sort("exchange_ts", "instrument_name")
        .group_by(key, maintain_order=True)
        .agg(price=pl.col("index_price").last())
        .join(index.select(key), on=key, how="anti")
    )
    return conform(
        pl.concat([conform(index, INDEX_COLUMNS), conform(quoted, INDEX_COLUMNS)]),
        INDEX_COLUMNS,
        ("snapshot_ts", "currency"),
        "index",
    )
