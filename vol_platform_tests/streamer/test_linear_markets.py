"""Linear markets through a collector: decimals in strikes, premiums in USDC, rows that land."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from streamer.clock import SYSTEM_CLOCK
from streamer.collector import Collector
from vol_platform.simulator import Exchange
from vol_platform.simulator.exchange.options import make_options
from vol_platform.store.client import connect
from vol_platform_tests.streamer.test_collector import live_settings, until


async def test_a_linear_market_is_collected_with_its_decimal_strikes(database, tmp_path):
    async with Exchange(make_options(seed=38, currencies=("SOL_USDC", "BTC_USDC"))) as exchange:
        settings = live_settings(
            database, tmp_path, exchange, currencies=("SOL_USDC", "BTC_USDC"),
            expiries=("next:2",), mark_prices=True, books=("perpetual",),
        )  # fmt: skip
        collector = Collector(settings, SYSTEM_CLOCK)
        running = asyncio.create_task(collector.run())
        await until(lambda: collector.is_complete)
        await until(lambda: collector.stored.rows.get("trades", 0) > 0)
        tickers = {
            channel.split(".")[1]
            for connection in exchange.connections
            for channel in connection.channels
            if channel.startswith("ticker.")
        }
        collector.stop()
        accounting = await running
    assert accounting.is_balanced
    assert accounting.accounts.dead_letters == 0
    options = {name for name in tickers if name.endswith(("-C", "-P"))}
    assert any("d5-" in name for name in options)
    with connect(database) as client:
        stored = client.query(
            "SELECT DISTINCT instrument_name, currency FROM options_quotes"
        ).result_rows
        assert {name for name, _ in stored} == options
        assert {market for _, market in stored} == {"SOL_USDC", "BTC_USDC"}
        strikes = client.query(
            "SELECT instrument_name, strike, settlement_currency, instrument_type, price_index "
            "FROM options_metadata FINAL WHERE kind = 'option'"
        ).result_rows
        index, futures, traded = client.query(
            "SELECT (SELECT groupUniqArray(toString(index_name)) FROM spot_prices), "
            "(SELECT groupUniqArray(toString(currency)) FROM futures_prices), "
            "(SELECT groupUniqArray(toString(currency)) FROM trades)"
        ).first_row
    for name, strike, settlement, kind, price_index in strikes:
        assert strike == Decimal(name.split("-")[2].replace("d", "."))
        assert (settlement, kind, price_index) == ("USDC", "linear", name.split("-")[0].lower())
    assert sorted(index) == ["btc_usdc", "sol_usdc"]
    assert sorted(futures) == ["BTC_USDC", "SOL_USDC"]
    assert traded
    assert set(traded) <= {"BTC_USDC", "SOL_USDC"}
