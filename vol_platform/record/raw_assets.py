"""The raw tables as external assets: the streamer and the importer write, Dagster knows."""

import dagster as dg

from vol_platform.record.presentation import OWNER, table_metadata

__all__ = ["HOURLY_RAW", "raw_assets", "raw_key", "raw_names"]

HOURLY_RAW = ("futures_prices", "spot_prices", "options_quotes")
"""Raw tables of which an hour is reported complete, in the order in which that is reported.

The option quotes come last: the automation acts on them, and by then the others are known too."""

_DESCRIPTIONS = {
    "options_quotes": "Every option ticker update, as the wire said it.",
    "futures_prices": "Every future and perpetual ticker update.",
    "spot_prices": "Every index price update.",
    "volatility_index": "Every DVOL update.",
    "trades": "Every trade of options, futures and perpetuals.",
    "order_books": "Book snapshots and changes of the chosen instruments.",
    "mark_prices": "Every mark of a whole market, where that channel is taken.",
    "perpetual_interest": "Every interest update of a perpetual, where that channel is taken.",
    "candles": "Candles of futures and perpetuals, from the exchange's history.",
    "volatility_index_candles": "DVOL candles, from the exchange's history.",
    "funding_rates": "Funding of perpetuals by the hour, from the exchange's history.",
    "delivery_prices": "Prices on which expiries were settled, from the exchange's history.",
    "options_metadata": "Specifications of every instrument, versioned.",
    "ingest_gaps": "Intervals in which data may be missing.",
    "dead_letters": "Messages that could not be stored, byte for byte.",
    "ingest_segments": "Spool segments that reached the database, with their counts.",
    "rate_quotes": "Quotes of interest-rate curves, loaded from files.",
    "positions": "Positions of portfolios, loaded from files.",
    "ingest_hours": "Hours that are complete, or were repaired since.",
}


def raw_names() -> frozenset[str]:
    """Return the names of the raw tables."""
    return frozenset(_DESCRIPTIONS)


def raw_key(table: str) -> dg.AssetKey:
    """Return the asset key of a raw table."""
    return dg.AssetKey(["raw", table])


def raw_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetSpec]:
    """Return one external asset per raw table.

    Parameters
    ----------
    partitions
        Hours; for the tables of `HOURLY_RAW`.
    """
    return [
        dg.AssetSpec(
            key=raw_key(table),
            description=description,
            group_name="raw",
            kinds={"clickhouse"},
            owners=[OWNER],
            tags={"vol/layer": "raw"},
            metadata=table_metadata(table),
            partitions_def=partitions if table in HOURLY_RAW else None,
        )
        for table, description in _DESCRIPTIONS.items()
    ]
