"""Trades that an old gap misses come from the history host when the collector starts."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec

from streamer.clock import SYSTEM_CLOCK
from streamer.collector import Collector
from streamer.deribit.sequences import Hole
from streamer.history.history_store import HistoryStore
from streamer.watch.repairs import Repairer
from vol_platform.simulator import Exchange, ExchangeOptions
from vol_platform.simulator.market.past_trades import past_trades
from vol_platform.store.client import connect
from vol_platform_tests.streamer.support import RECEIVED_MS, ManualClock
from vol_platform_tests.streamer.test_collector import live_settings, until

_DAY_MS = 86_400_000


async def test_trades_missing_for_three_days_are_repaired(database, tmp_path):
    async with Exchange(ExchangeOptions(seed=35)) as exchange:
        settings = live_settings(database, tmp_path, exchange)
        start = exchange.now_ms() - 3 * _DAY_MS
        market = exchange.venue.markets["BTC"]
        trades = list(past_trades(market, start, start + 60_000, only="BTC-PERPETUAL"))
        store = HistoryStore(settings, SYSTEM_CLOCK)
        store.put("trades", [msgspec.json.encode(it) for it in (*trades[:5], *trades[9:])])
        store.close()
        collector = Collector(settings, SYSTEM_CLOCK, channels=["deribit_price_index.btc_usd"])
        running = asyncio.create_task(collector.run())

        def is_repaired() -> bool:
            with connect(database) as client:
                return bool(
                    client.query(
                        "SELECT count() FROM ingest_gaps FINAL WHERE cause = 'trade_seq' "
                        "AND repair_method = 'trades_rest' AND repaired_ts IS NOT NULL"
                    ).result_rows[0][0]
                )

        await until(is_repaired)
        collector.stop()
        await running
    with connect(database) as client:
        found = client.query(
            "SELECT trade_id, source FROM trades FINAL ORDER BY trade_seq"
        ).result_rows
    assert [name for name, _ in found] == [trade["trade_id"] for trade in trades]
    assert [source for _, source in found[5:9]] == ["bridge"] * 4


async def test_a_huge_old_hole_is_left_to_the_history_command(capsys):
    nobody: Any = SimpleNamespace()
    repairer = Repairer(nobody, nobody, nobody, keep=nobody, clock=ManualClock().clock)
    hole = Hole("BTC-PERPETUAL", 1, 200_000, RECEIVED_MS - 3 * _DAY_MS, RECEIVED_MS)
    repairer.fill([hole])
    await repairer._fill(repairer._waiting.popleft())
    assert repairer.given_up == 1
    said = capsys.readouterr()
    assert "vol-streamer history" in said.out + said.err
