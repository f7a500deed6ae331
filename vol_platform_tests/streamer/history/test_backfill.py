"""The command against a real exchange process and a real database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamer.clock import SYSTEM_CLOCK
from streamer.feed.rest import RestClient
from streamer.history.history_store import HistoryStore
from streamer.history.intervals import Interval
from streamer.history.run import Asker, Backfill
from streamer.history.tasks import trade_tasks
from vol_platform.simulator import Exchange
from vol_platform.simulator.exchange.options import make_options
from vol_platform.simulator.market.past_trades import past_trades
from vol_platform.store.client import connect
from vol_platform_tests.simulator.conftest import START, START_MS
from vol_platform_tests.streamer.support import streamer_settings

_HOUR_MS = 3_600_000
# Three days back, where the main host has no trades any more, and over a roll.
FIRST, LAST = "2026-05-31T07:30", "2026-05-31T08:30"
FIRST_MS = START_MS - 3 * 24 * _HOUR_MS - 7 * _HOUR_MS - _HOUR_MS // 2


def rows_of(database, query: str) -> list[Any]:
    with connect(database) as client:
        return list(client.query(query).result_rows)


def truth(exchange) -> dict[str, tuple[int, str, str]]:
    trades = past_trades(exchange.venue.markets["BTC"], FIRST_MS, FIRST_MS + _HOUR_MS - 1)
    return {
        trade["trade_id"]: (trade["timestamp"], f"{trade['price']:.8f}", f"{trade['amount']:.8f}")
        for trade in trades
    }


def stored_trades(database) -> dict[str, tuple[int, str, str]]:
    found = rows_of(
        database,
        "SELECT trade_id, toUnixTimestamp64Milli(exchange_ts), toString(price), toString(amount) "
        "FROM trades WHERE source = 'history'",
    )
    return {
        name: (at, f"{float(price):.8f}", f"{float(amount):.8f}")
        for name, at, price, amount in found
    }


async def test_everything_of_a_window_is_stored_and_a_second_run_adds_nothing(
    run, database, exchange
):
    done = await asyncio.to_thread(run, "--from", FIRST, "--to", LAST)
    assert done.exit_code == 0, done.output
    assert stored_trades(database) == truth(exchange)
    counts = {
        table: rows_of(database, f"SELECT count() FROM {table}")[0][0]  # noqa: S608 - our names
        for table in (
            *("trades", "candles", "volatility_index_candles", "funding_rates"),
            *("delivery_prices", "spot_prices"),
        )
    }
    names = rows_of(database, "SELECT instrument_name, count() FROM candles GROUP BY ALL")
    assert dict(names)["BTC-PERPETUAL"] == 60
    assert len(names) > 3
    assert counts["volatility_index_candles"] == 60
    assert (counts["funding_rates"], counts["delivery_prices"]) == (1, 1)
    # Candles are made of trades, so the two that were fetched apart must agree.
    apart = rows_of(
        database,
        "SELECT countIf(high_price != highest OR low_price != lowest), count() FROM candles "
        "INNER JOIN (SELECT instrument_name, toStartOfMinute(exchange_ts) AS minute, "
        "max(price) AS highest, min(price) AS lowest FROM trades GROUP BY ALL) AS traded "
        "ON traded.instrument_name = candles.instrument_name "
        "AND traded.minute = candles.exchange_ts",
    )
    assert apart[0][0] == 0
    assert apart[0][1] > 100
    settled = exchange.venue.markets["BTC"].settlement_average(
        FIRST_MS + _HOUR_MS // 2, FIRST_MS + _HOUR_MS // 2
    )
    assert float(rows_of(database, "SELECT delivery_price FROM delivery_prices")[0][0]) == settled

    calls = exchange.answered
    second = await asyncio.to_thread(run, "--from", FIRST, "--to", LAST)
    assert second.exit_code == 0
    assert exchange.answered - calls <= 3  # the time, and the list of futures
    third = await asyncio.to_thread(run, "--from", FIRST, "--to", LAST, "--again")
    assert third.exit_code == 0
    assert "trades: 2" in third.output
    for table, count in counts.items():
        (again,) = rows_of(database, f"SELECT count() FROM {table} FINAL")  # noqa: S608 - our names
        assert again[0] == count, table

    same = await asyncio.to_thread(run, "compare", "--from", FIRST, "--to", LAST)
    assert same.exit_code == 0, same.output
    assert "DIFFERENT" not in same.output


async def test_an_interrupted_run_goes_on_from_the_last_page(database, exchange, tmp_path):
    class StoppedError(Exception):
        pass

    settings = streamer_settings(database, tmp_path, rest_url=exchange.rest_url)
    interval = Interval(FIRST_MS, FIRST_MS + _HOUR_MS)
    rest = RestClient(settings.trade_history_url, SYSTEM_CLOCK)
    store = HistoryStore(settings, SYSTEM_CLOCK)
    asker = Asker(rest, seed=1)
    shown = []

    def backfill(stop_after: int) -> Backfill:
        def show(label: str, meter: Any) -> None:
            shown.append(meter.share)
            if len(shown) >= stop_after:
                raise StoppedError

        return Backfill(
            trades=asker, charts=asker, host="here", store=store, clock=SYSTEM_CLOCK, show=show
        )

    with pytest.raises(StoppedError):
        await backfill(2).run(trade_tasks(["BTC"], interval))
    expected = truth(exchange)
    partly = len(stored_trades(database))
    assert 0 < partly < len(expected)
    rest_of_it = await backfill(1_000).run(trade_tasks(["BTC"], interval))
    assert stored_trades(database) == expected
    # Only the page at the seam may bring trades twice, and they are not stored twice.
    assert rest_of_it.stored["trades"].new == len(expected) - partly
    assert rest_of_it.stored["trades"].received < len(expected)
    assert shown[-1] == 1.0
    await rest.close()
    store.close()


async def test_compare_names_what_is_missing_and_what_differs(run, database, exchange):
    done = await asyncio.to_thread(run, "--from", FIRST, "--to", LAST, "--what", "trades")
    assert done.exit_code == 0, done.output
    with connect(database) as client:
        name, number = client.query(
            "SELECT instrument_name, trade_seq FROM trades WHERE instrument_name = "
            "'BTC-PERPETUAL' ORDER BY trade_seq LIMIT 1 OFFSET 5"
        ).result_rows[0]
        changed = {"mutations_sync": 1}
        client.command(
            "ALTER TABLE trades DELETE WHERE instrument_name = {name:String} AND trade_seq = "
            "{number:UInt64}", parameters={"name": name, "number": number}, settings=changed,
        )  # fmt: skip
        client.command(
            "ALTER TABLE trades UPDATE price = price + 1 WHERE instrument_name = {name:String} "
            "AND trade_seq = {number:UInt64}",
            parameters={"name": name, "number": number + 3}, settings=changed,
        )  # fmt: skip
    result = await asyncio.to_thread(run, "compare", "--from", FIRST, "--to", LAST)
    assert result.exit_code == 1
    assert f"missing {name} number {number} of 2026-05-31" in result.output
    assert f"{name} number {number + 3}: here" in result.output
    assert f"{name} numbers {number} to {number}" in result.output


async def test_credits_that_run_out_and_maintenance_are_waited_for(exchange):
    rest = RestClient(exchange.rest_url, SYSTEM_CLOCK)
    asker = Asker(rest, seed=1, pause_seconds=0.02)
    exchange.set_maintenance(True)
    (task, _) = trade_tasks(["BTC"], Interval(FIRST_MS, FIRST_MS + 60_000))
    call = task.open(task.interval).next_call()
    assert call is not None
    asking = asyncio.create_task(asker.ask(call))
    async with asyncio.timeout(20):
        while exchange.refused == 0:  # noqa: ASYNC110 - a counter of the exchange, polled
            await asyncio.sleep(0.01)
    exchange.set_maintenance(False)
    assert b"trades" in bytes(await asking)
    await rest.close()


async def test_a_linear_market_is_asked_for_by_its_settlement_currency(run, database, monkeypatch):
    options = make_options(start=START, seed=7, speed=0.001, currencies=("SOL_USDC",))
    async with Exchange(options) as linear:
        monkeypatch.setenv("VOL_STREAMER_REST_URL", linear.rest_url)
        window = ("--from", "2026-05-31T07:50", "--to", "2026-05-31T08:10")
        done = await asyncio.to_thread(run, *window, "--currencies", "SOL_USDC")
        assert done.exit_code == 0, done.output
        same = await asyncio.to_thread(run, "compare", *window, "--currencies", "SOL_USDC")
        assert same.exit_code == 0, same.output
        start = FIRST_MS + 1_200_000
        market = linear.venue.markets["SOL_USDC"]
        traded = list(past_trades(market, start, start + 1_199_999, kind="future"))
    subjects = dict(rows_of(database, "SELECT subject, rows FROM history_progress FINAL"))
    assert subjects["USDC future"] == len(traded) > 600
    for subject in ("USDC option", "SOL_USDC-PERPETUAL 1m", "SOL_USDC-PERPETUAL", "sol_usdc"):
        assert subject in subjects
    ((prices,),) = rows_of(database, "SELECT groupUniqArray(index_name) FROM delivery_prices")
    assert prices == ["sol_usdc"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--from", "2027-01-01"), "--from must be before now (2026-06-03"),
        (("--from", "2026-06-01T00:00", "--currencies", "DOGE"), "currency=DOGE"),
    ],
)
async def test_what_only_the_exchange_can_refuse_is_one_clear_line(run, arguments, text):
    result = await asyncio.to_thread(run, *arguments)
    assert result.exit_code == 1
    assert text in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


async def test_an_exchange_that_is_away_is_one_clear_line(run, monkeypatch):
    monkeypatch.setenv("VOL_STREAMER_REST_URL", "http://127.0.0.1:9/api/v2")
    result = await asyncio.to_thread(run, "--from", "2026-06-01")
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
