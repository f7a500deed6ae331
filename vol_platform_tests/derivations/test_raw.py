"""Joining quotes with instruments, and filling the index."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from vol_platform.derivations.contracts import CHAIN_COLUMNS, INDEX_COLUMNS
from vol_platform.derivations.raw import (
    INSTRUMENT_COLUMNS,
    QUOTE_COLUMNS,
    assemble_chain,
    complete_index,
)
from vol_platform_tests.derivations.boards import EXPIRIES, MOMENT, chain


def quotes_and_instruments() -> tuple[pl.DataFrame, pl.DataFrame]:
    whole = chain(expiries=EXPIRIES[:1])
    quotes = whole.select(*QUOTE_COLUMNS)
    instruments = whole.with_columns(
        creation_ts=pl.lit(MOMENT - timedelta(days=1), pl.Datetime("ms", "UTC"))
    ).select(*INSTRUMENT_COLUMNS)
    return quotes, instruments


def test_a_quote_meets_its_specification() -> None:
    quotes, instruments = quotes_and_instruments()
    joined = assemble_chain(quotes, instruments)
    assert joined.equals(chain(expiries=EXPIRIES[:1]))


def test_a_listed_option_without_a_young_quote_stays_in_the_chain() -> None:
    quotes, instruments = quotes_and_instruments()
    joined = assemble_chain(quotes.head(-3), instruments)
    assert joined.height == instruments.height
    assert joined["exchange_ts"].null_count() == 3


def test_an_option_that_was_not_listed_yet_does_not_count_as_silent() -> None:
    quotes, instruments = quotes_and_instruments()
    later = instruments.with_columns(creation_ts=pl.col("creation_ts") + timedelta(days=2))
    assert assemble_chain(quotes.head(-3), later).height == quotes.height - 3


def test_an_option_of_unknown_creation_counts_only_where_it_is_quoted() -> None:
    quotes, instruments = quotes_and_instruments()
    unknown = instruments.with_columns(creation_ts=pl.lit(None, pl.Datetime("ms", "UTC")))
    assert assemble_chain(quotes.head(-3), unknown).height == quotes.height - 3


def test_an_option_without_a_specification_keeps_its_row() -> None:
    quotes, instruments = quotes_and_instruments()
    joined = assemble_chain(quotes, instruments.head(-1))
    assert joined.height == quotes.height
    assert joined["expiry_ts"].null_count() == 1


def test_no_quotes_give_an_empty_chain_of_the_right_shape() -> None:
    _, instruments = quotes_and_instruments()
    joined = assemble_chain(pl.DataFrame(schema=QUOTE_COLUMNS), instruments)
    assert joined.is_empty()
    assert joined.schema == pl.Schema(CHAIN_COLUMNS)


def test_the_index_of_the_quotes_fills_only_snapshots_without_an_index_tick() -> None:
    moments = [MOMENT, MOMENT + timedelta(minutes=1)]
    ticks = pl.DataFrame(
        [{"snapshot_ts": MOMENT, "currency": "BTC", "price": 74_000.0}],
        schema_overrides=INDEX_COLUMNS,
    )
    filled = complete_index(ticks, chain(moments, EXPIRIES[:1]))
    assert filled["price"].to_list() == [74_000.0, 75_000.0]
