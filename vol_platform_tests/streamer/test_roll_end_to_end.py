"""08:00 UTC with a real collector connected: expiries end, others begin, and nobody is alarmed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from structlog.testing import capture_logs

from streamer.clock import SYSTEM_CLOCK, Clock
from streamer.collector import Collector
from streamer.log import configure
from vol_platform.simulator import Exchange, ExchangeOptions
from vol_platform.simulator.market.board import board_at
from vol_platform.simulator.market.expiries import listed_expiries
from vol_platform.store.client import connect
from vol_platform_tests.streamer.test_collector import live_settings, until

_BEFORE_SECONDS = 600.0  # inside the last half hour, whose underlying is SYN.EXPIRY
_SILENCE_SECONDS = 6.0  # a ticker is sent anew every five seconds


class ShiftedClock:
    """The machine's clock, moved so that it agrees with the simulated one."""

    def __init__(self, moment: datetime) -> None:
        self.offset_ns = round(moment.timestamp() * 1e9) - SYSTEM_CLOCK.wall_ns()

    @property
    def clock(self) -> Clock:
        return Clock(
            wall_ns=lambda: SYSTEM_CLOCK.wall_ns() + self.offset_ns,
            monotonic=SYSTEM_CLOCK.monotonic,
        )


def next_roll() -> datetime:
    """Return an 08:00 UTC to come (retention takes none of the rows) that lists a new expiry."""
    day = datetime.fromtimestamp(SYSTEM_CLOCK.wall_ns() / 1e9, UTC).date() + timedelta(days=1)
    while set(listed_expiries(day)) <= set(listed_expiries(day - timedelta(days=1))):
        day += timedelta(days=1)  # on Mondays the fourth day is a Friday, listed before
    return datetime(day.year, day.month, day.day, 8, tzinfo=UTC)


def rows(database, query: str, **parameters: Any) -> list[Any]:
    with connect(database) as client:
        return list(client.query(query, parameters=parameters).result_rows)


async def test_expiries_roll_at_eight_without_an_alarm(database, tmp_path, record_property):
    roll = next_roll()
    roll_ms = round(roll.timestamp() * 1000)
    start = roll - timedelta(seconds=_BEFORE_SECONDS)
    configure(level="info")
    with capture_logs() as said:
        async with Exchange(ExchangeOptions(seed=36, start=start)) as exchange:
            shifted = ShiftedClock(start)
            settings = live_settings(
                database, tmp_path, exchange, channel_silence_seconds=_SILENCE_SECONDS
            )
            collector = Collector(settings, shifted.clock)
            running = asyncio.create_task(collector.run())
            market = exchange.venue.markets["BTC"]
            ended = set(board_at(market, roll_ms - 1).names)
            began = set(board_at(market, roll_ms).names)
            assert ended - began
            assert began - ended
            await until(lambda: collector.is_complete)
            # Almost ten minutes pass at once, here and there.
            seconds = (roll_ms - exchange.now_ms()) / 1000 - 1.0
            exchange.skip(seconds)
            shifted.offset_ns += round(seconds * 1e9)

            def subscribed() -> set[str]:
                return {
                    channel.split(".")[1]
                    for connection in exchange.connections
                    for channel in connection.channels
                    if channel.startswith("ticker.")
                }

            await until(lambda: began <= subscribed())
            taken_ms = exchange.now_ms() - roll_ms
            assert 0 < taken_ms <= 60_000
            await until(lambda: not (ended - began) & subscribed())
            await until(lambda: collector.is_complete)
            # Long enough for silence to be noticed, if anybody still listened to what has ended.
            await until(lambda: exchange.now_ms() > roll_ms + taken_ms + 1_200 * _SILENCE_SECONDS)
            collector.stop()
            accounting = await running
    record_property(
        "measured",
        f"{len(began - ended)} new options subscribed {taken_ms / 1000:.1f} s after 08:00, "
        f"{len(ended - began)} retired",
    )
    assert accounting.is_balanced
    assert accounting.accounts.dead_letters == 0
    # A busy machine may subscribe after the first trades of a new option: those are fetched.
    assert (
        rows(
            database,
            "SELECT cause, detail FROM ingest_gaps FINAL "
            "WHERE cause != 'trade_seq' OR isNull(repaired_ts)",
        )
        == []
    )
    assert [
        entry
        for entry in said
        if entry["log_level"] in {"warning", "error"} and entry.get("cause") != "trade_seq"
    ] == []
    assert [entry for entry in said if entry["event"] == "stopped"]  # the log was looked at
    last = rows(
        database,
        "SELECT instrument_name, argMax(underlying_index, received_ts), "
        "argMax(is_expired, received_ts), argMax(state, received_ts), "
        "argMax(delivery_price, received_ts) IS NOT NULL FROM options_quotes "
        "WHERE instrument_name IN {names:Array(String)} GROUP BY instrument_name",
        names=sorted(ended - began),
    )
    assert {name for name, *_ in last} == ended - began
    assert {tuple(rest) for _, *rest in last} == {("SYN.EXPIRY", True, "closed", True)}
    new = rows(
        database,
        "SELECT uniqExact(instrument_name), countIf(bid_price IS NOT NULL), "
        "groupUniqArray(startsWith(underlying_index, 'SYN.BTC')) FROM options_quotes "
        "WHERE instrument_name IN {names:Array(String)}",
        names=sorted(name for name in began - ended if _is_new_expiry(name, ended)),
    )
    count, quoted, underlying = new[0]
    assert count > 20
    assert quoted == 0  # a new board has no quotes for some minutes
    assert underlying == [True]
    listed = rows(database, "SELECT DISTINCT instrument_name FROM options_metadata")
    assert began <= {name for (name,) in listed}


def _is_new_expiry(name: str, ended: set[str]) -> bool:
    expiry = name.split("-")[1]
    return all(other.split("-")[1] != expiry for other in ended)
