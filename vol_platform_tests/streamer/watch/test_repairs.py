"""Gaps are found, repaired and said, against a real exchange process and a real database."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from streamer.clock import SYSTEM_CLOCK
from streamer.collector import Collector
from vol_platform.simulator import Exchange, ExchangeOptions
from vol_platform.store.client import connect
from vol_platform_tests.streamer.test_collector import live_settings, one, until

BOOK = "book.BTC-PERPETUAL.100ms"
TRADES = "trades.future.BTC.100ms"
A_TRADE = "SELECT countIf(instrument_name = 'BTC-PERPETUAL') > 0 FROM trades"
INDEX = "deribit_price_index.btc_usd"


def rows(database, query: str) -> list[tuple[Any, ...]]:
    with connect(database) as client:
        return list(client.query(query).result_rows)


async def a_trade_later(exchange: Exchange) -> None:
    """Wait until the perpetual has traded: it does so once in every two seconds."""
    begun = exchange.now_ms()
    await until(lambda: exchange.now_ms() > begun + 4_100)


async def stored(database, query: str, wanted: Any) -> None:
    """Wait until a query of one value answers what is wanted."""
    async with asyncio.timeout(60.0):
        while (await asyncio.to_thread(one, database, query))[0] != wanted:  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0.2)


async def test_a_lost_change_resubscribes_that_book_alone_and_lost_trades_are_fetched(
    database, tmp_path
):
    async with Exchange(ExchangeOptions(seed=31, rate=5.0)) as exchange:
        settings = live_settings(database, tmp_path, exchange, trades=True)
        channels = [BOOK, TRADES, INDEX, "ticker.BTC-PERPETUAL.100ms"]
        collector = Collector(settings, SYSTEM_CLOCK, channels=channels)
        running = asyncio.create_task(collector.run())
        await until(lambda: collector.is_complete)
        await stored(database, A_TRADE, 1)
        connections = list(exchange.connections)
        exchange.chaos.lose_channels = (BOOK, TRADES)
        await a_trade_later(exchange)
        exchange.chaos.lose_channels = ()
        repaired = "SELECT countIf(repair_method = '{}') > 0 FROM ingest_gaps FINAL"
        await stored(database, repaired.format("book_snapshot"), 1)
        await stored(database, repaired.format("trades_rest"), 1)
        assert list(exchange.connections) == connections
        collector.stop()
        accounting = await running
    assert accounting.is_balanced
    gaps = rows(
        database,
        "SELECT cause, instrument_name, to_ts > from_ts, isNotNull(repaired_ts) "
        "FROM ingest_gaps FINAL ORDER BY cause",
    )
    assert {gap[0] for gap in gaps} == {"change_id", "trade_seq"}
    assert all(gap[1:] == ("BTC-PERPETUAL", 1, 1) for gap in gaps if gap[0] == "change_id")
    numbers = rows(
        database,
        "SELECT trade_seq, groupUniqArray(source) FROM trades FINAL "
        "WHERE instrument_name = 'BTC-PERPETUAL' GROUP BY trade_seq ORDER BY trade_seq",
    )
    assert all(b[0] == a[0] + 1 for a, b in itertools.pairwise(numbers))
    assert "bridge" in {source for _, sources in numbers for source in sources}
    books = rows(
        database,
        "SELECT kind, change_id, prev_change_id FROM order_books ORDER BY received_ts, change_id",
    )
    breaks = [
        after
        for before, after in itertools.pairwise(books)
        if after[0] == "change" and after[2] != before[1]
    ]
    snapshots = [number for number, book in enumerate(books) if book[0] == "snapshot"]
    assert len(breaks) == 1
    assert len(snapshots) == 2
    assert books.index(breaks[0]) < snapshots[1]


@pytest.mark.slow
async def test_a_restart_is_bridged_and_knows_the_trades_and_gaps_of_the_process_before(
    database, tmp_path
):
    async with Exchange(ExchangeOptions(seed=32, rate=2.0)) as exchange:
        settings = live_settings(database, tmp_path, exchange, trades=True)
        first = Collector(settings, SYSTEM_CLOCK)
        running = asyncio.create_task(first.run())
        await until(lambda: first.is_complete)
        await stored(database, A_TRADE, 1)
        exchange.close_all(1006)  # a gap is open when the process ends
        await until(lambda: not first.is_complete)
        first.stop()
        await running
        await a_trade_later(exchange)
        second = Collector(settings, SYSTEM_CLOCK)
        running = asyncio.create_task(second.run())
        fetched = "SELECT countIf(repair_method = 'trades_rest') > 0 FROM ingest_gaps FINAL"
        await stored(database, fetched, 1)
        bridged = "SELECT countIf(repair_method = 'book_summary') > 0 FROM ingest_gaps FINAL"
        await stored(database, bridged, 1)
        await stored(database, "SELECT countIf(to_ts IS NULL) FROM ingest_gaps FINAL", 0)
        second.stop()
        await running
    gaps = rows(
        database,
        "SELECT cause, groupUniqArray(repair_method) FROM ingest_gaps FINAL "
        "GROUP BY cause ORDER BY cause",
    )
    assert dict(gaps)["restart"] == ["book_summary"]
    bridged, futures = one(
        database,
        "SELECT (SELECT uniqExact(instrument_name) FROM options_quotes WHERE source = 'bridge'), "
        "(SELECT uniqExact(instrument_name) FROM futures_prices WHERE source = 'bridge')",
    )
    assert bridged >= 900
    assert futures >= 5
    numbers = [
        number
        for (number,) in rows(
            database,
            "SELECT DISTINCT trade_seq FROM trades WHERE instrument_name = 'BTC-PERPETUAL' "
            "ORDER BY trade_seq",
        )
    ]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


async def test_every_channel_that_can_be_chosen_is_stored(database, tmp_path):
    async with Exchange(ExchangeOptions(seed=33)) as exchange:
        settings = live_settings(
            database,
            tmp_path,
            exchange,
            expiries=("next:1", "monthlies"),
            books=("perpetual", "front_future", "at_the_money:1"),
            mark_prices=True,
            perpetual_interest=True,
        )
        collector = Collector(settings, SYSTEM_CLOCK)
        running = asyncio.create_task(collector.run())
        tables = ("mark_prices", "perpetual_interest", "order_books", "volatility_index")
        for table in tables:
            await stored(database, "SELECT count() > 0 FROM " + table, 1)  # noqa: S608 - ours
        await stored(database, "SELECT uniqExact(instrument_name) FROM order_books", 6)
        collector.stop()
        accounting = await running
    assert accounting.is_balanced
    assert (accounting.accounts.dead_letters, accounting.refused_channels) == (0, 0)
    expiries, marks, mark = one(
        database,
        "SELECT (SELECT uniqExact(splitByChar('-', instrument_name)[2]) FROM options_quotes), "
        "uniqExact(instrument_name), max(toFloat64(mark_vol)) FROM mark_prices",
    )
    assert 2 <= expiries <= 9
    assert marks >= 900
    assert 0.2 < mark < 5.0
