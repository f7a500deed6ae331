"""The raw interval: a login, its refresh before it runs out, and a new one after a reconnect."""

from __future__ import annotations

import asyncio

from streamer.clock import SYSTEM_CLOCK
from streamer.collector import Collector
from vol_platform.simulator import Exchange
from vol_platform.simulator.exchange.options import make_options
from vol_platform.store.client import connect
from vol_platform_tests.streamer.test_collector import live_settings, until


async def test_raw_channels_flow_through_refreshes_and_reconnects(database, tmp_path):
    # The exchange and the collector round to whole seconds: a login of two is refreshed twice.
    async with Exchange(make_options(seed=37, login_seconds=2)) as exchange:
        settings = live_settings(
            database, tmp_path, exchange, interval="raw", expiries=("next:1",),
            client_id="simulator", client_secret="simulator",
        )  # fmt: skip
        collector = Collector(settings, SYSTEM_CLOCK)
        running = asyncio.create_task(collector.run())
        await until(lambda: collector.is_complete)
        await until(lambda: exchange.logins.count("refresh_token") >= 2)
        assert exchange.logins[0] == "client_credentials"
        assert all(connection.authenticated for connection in exchange.connections)
        exchange.close_all(1006)
        await until(lambda: not collector.is_complete)
        await until(lambda: collector.is_complete)
        assert exchange.logins.count("client_credentials") >= 2
        channels = {name for it in exchange.connections for name in it.channels}
        collector.stop()
        accounting = await running
    assert {name.rpartition(".")[2] for name in channels if name.startswith("ticker.")} == {"raw"}
    assert accounting.is_balanced
    assert accounting.accounts.dead_letters == 0
    with connect(database) as client:
        (count,) = client.query("SELECT uniqExact(instrument_name) FROM options_quotes").first_row
    assert count == len({name for name in channels if name.endswith(("-C.raw", "-P.raw"))})
