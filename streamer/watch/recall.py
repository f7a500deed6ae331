"""What the database remembers of earlier processes: newest trades, holes among them, open gaps."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from streamer.database.store import TRANSIENT_ERRORS, Store
from streamer.deribit.sequences import Hole, TradeHead
from streamer.gaps import Gap
from streamer.settings import StreamerSettings
from streamer.spool.spool import Spool

__all__ = ["Recall", "recall", "recall_when_stored"]

_ASK_SECONDS = 0.5
_TRADES_DAYS = 30
_HOLES_DAYS = 7
_OPEN_GAPS_DAYS = 30


@dataclass(frozen=True, slots=True)
class Recall:
    """What earlier processes left.

    Attributes
    ----------
    newest_trades
        One per instrument.
    holes
        Numbers of trades of the last week that the table lacks.
    open_gaps
        Gaps of this collector that no process has closed.
    """

    newest_trades: list[TradeHead]
    holes: list[Hole]
    open_gaps: list[Gap]


def recall(store: Store, *, collector: str, started_ns: int, with_trades: bool) -> Recall:
    """Ask the database.

    Parameters
    ----------
    store
        Where the raw tables are.
    collector
        Name of this collector.
    started_ns
        Start of this process: gaps of its own are not those of an earlier one.
    with_trades
        Also look at the trades.

    Raises
    ------
    ClickHouseError, OSError
        The database is away: ask again.
    """
    now_ms = started_ns // 1_000_000
    newest, holes = [], []
    if with_trades:
        newest = [
            TradeHead(name, trade_seq, exchange_ms)
            for name, trade_seq, exchange_ms in store.rows(
                "SELECT instrument_name, max(trade_seq), "
                "toUnixTimestamp64Milli(argMax(exchange_ts, trade_seq)) FROM trades "
                "WHERE exchange_ts >= fromUnixTimestamp64Milli({since:Int64}) "
                "GROUP BY instrument_name",
                {"since": now_ms - _TRADES_DAYS * 86_400_000},
            )
        ]
        holes = [
            Hole(*row)
            for row in store.rows(
                "SELECT instrument_name, before + 1, trade_seq - 1, "
                "toUnixTimestamp64Milli(before_ts), "
                "toUnixTimestamp64Milli(greatest(before_ts, exchange_ts)) FROM ("
                "SELECT instrument_name, trade_seq, exchange_ts, "
                "lagInFrame(trade_seq) OVER sequence AS before, "
                "lagInFrame(exchange_ts) OVER sequence AS before_ts FROM trades "
                "WHERE exchange_ts >= fromUnixTimestamp64Milli({since:Int64}) "
                "WINDOW sequence AS (PARTITION BY instrument_name ORDER BY trade_seq "
                "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
                ") WHERE before > 0 AND trade_seq > before + 1 ORDER BY exchange_ts",
                {"since": now_ms - _HOLES_DAYS * 86_400_000},
            )
        ]
    open_gaps = [
        Gap(
            gap_id=gap_id,
            channel=channel,
            instrument_name=instrument_name,
            from_ns=from_us * 1000,
            to_ns=None,
            cause=cause,
            detail=detail,
            version=version,
        )
        for gap_id, channel, instrument_name, from_us, cause, detail, version in store.rows(
            "SELECT gap_id, channel, instrument_name, toUnixTimestamp64Micro(from_ts), cause, "
            "detail, version FROM ingest_gaps FINAL "
            "WHERE collector = {collector:String} AND to_ts IS NULL "
            "AND NOT startsWith(gap_id, {own:String}) "
            "AND from_ts >= fromUnixTimestamp64Milli({since:Int64})",
            {
                "collector": collector,
                "own": f"{collector}-{started_ns}-",
                "since": now_ms - _OPEN_GAPS_DAYS * 86_400_000,
            },
        )
    ]
    return Recall(newest, holes, open_gaps)


async def recall_when_stored(spool: Spool, settings: StreamerSettings, started_ns: int) -> Recall:
    """Ask as soon as the database has every segment that waits now, until it answers."""
    store = Store(settings.clickhouse)
    ask = partial(
        recall,
        store,
        collector=settings.collector,
        started_ns=started_ns,
        with_trades=settings.trades,
    )
    backlog = spool.sealed()
    try:
        while True:
            await asyncio.sleep(_ASK_SECONDS)
            if not backlog or backlog[-1] not in spool.sealed():  # the database has it the last
                with suppress(*TRANSIENT_ERRORS):
                    return await asyncio.get_running_loop().run_in_executor(None, ask)
    finally:
        store.close()
