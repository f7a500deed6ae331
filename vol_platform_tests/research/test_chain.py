"""The chain at an instant, from raw ticks on the real engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from vol_platform.research import load_chain
from vol_platform.settings import Settings
from vol_platform.store.client import connect, insert_frame

T = datetime(2026, 3, 2, 12, 0, 0, 500_000, tzinfo=UTC)


def ticks(settings: Settings, *rows: tuple[str, float, float | None]) -> None:
    """Insert updates of BTC options: name, seconds before T, bid."""
    frame = pl.DataFrame(
        [
            {
                "instrument_name": name,
                "currency": "BTC",
                "exchange_ts": T - timedelta(seconds=seconds),
                "received_ts": T,
                "bid_price": bid,
                "content_checksum": number,
            }
            for number, (name, seconds, bid) in enumerate(rows)
        ],
        schema_overrides={"content_checksum": pl.UInt32, "bid_price": pl.Float64},
    ).with_columns(
        pl.col("bid_price").cast(pl.Decimal(18, 8)),
        pl.col("exchange_ts").dt.cast_time_unit("ms"),
    )
    with connect(settings) as client:
        insert_frame(client, "options_quotes", frame)


def bids(settings: Settings, at: datetime, **options: float) -> dict[str, float | None]:
    chain = load_chain("BTC", at, settings, **options)
    names, values = chain["instrument_name"].to_list(), chain["bid_price"].to_list()
    return {
        name: None if value is None else float(value)
        for name, value in zip(names, values, strict=True)
    }


def test_the_newest_update_up_to_the_instant_counts(database: Settings) -> None:
    ticks(database, ("A", 2, 0.1), ("A", 1, 0.2), ("A", -0.001, 0.3), ("B", 0, 0.4))
    assert bids(database, T) == {"A": 0.2, "B": 0.4}
    assert bids(database, T + timedelta(milliseconds=1)) == {"A": 0.3, "B": 0.4}


def test_an_absent_bid_replaces_an_older_one(database: Settings) -> None:
    ticks(database, ("A", 2, 0.1), ("A", 1, None))
    assert bids(database, T) == {"A": None}


def test_an_update_that_is_too_old_does_not_count(database: Settings) -> None:
    ticks(database, ("A", 61, 0.1), ("B", 59, 0.2))
    assert bids(database, T) == {"B": 0.2}
    assert bids(database, T, max_age_seconds=400) == {"A": 0.1, "B": 0.2}


def test_another_market_and_an_empty_table_give_nothing(database: Settings) -> None:
    ticks(database, ("A", 1, 0.1))
    assert load_chain("ETH", T, database).is_empty()
