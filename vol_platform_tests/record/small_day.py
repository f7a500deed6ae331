"""A day of a simulated market of few instruments, written by the streamer as if it were live."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from streamer.captures.capture import read_capture
from streamer.captures.ingest import Accounting, ingest_messages
from streamer.clock import SYSTEM_CLOCK
from streamer.settings import StreamerSettings
from vol_platform.settings import Settings
from vol_platform.simulator import history
from vol_platform.simulator.market.board import Board, board_at
from vol_platform.simulator.market.market import Market

__all__ = ["DAY", "EXPIRING", "LISTED", "MINUTES", "SmallDay", "fill_small_day"]

DAY = datetime(2026, 2, 4, tzinfo=UTC)
"""A Wednesday: at 08:00 a daily expires and another one is listed."""
EXPIRING, LISTED = DAY.replace(hour=8), DAY + timedelta(days=4, hours=8)
"""The expiry that ends at 08:00, and the one that begins then."""
MINUTES = [DAY + timedelta(minutes=number) for number in range(1440)]
_STRIKES = {
    EXPIRING: range(82_000, 96_000, 2_000),
    datetime(2026, 2, 6, 8, tzinfo=UTC): range(78_000, 100_000, 2_000),
    LISTED: range(82_000, 96_000, 2_000),
    datetime(2026, 3, 27, 8, tzinfo=UTC): range(60_000, 125_000, 10_000),
}
_KINDS = {
    b"get_instruments": "instruments",
    b"deribit_price_index.": "spot_prices",
    b'"channel":"trades.': "trades",
    b"-C.100ms": "options_quotes",
    b"-P.100ms": "options_quotes",
}


@dataclass(frozen=True)
class SmallDay:
    """What was put in.

    Attributes
    ----------
    messages
        How many, by the table that they belong to.
    listed
        How many options are listed, by minute; those that expire in it, of which the exchange
        tells a last time, among them.
    accounting
        What the streamer says became of the messages.
    """

    messages: Counter[str]
    listed: dict[datetime, int]
    accounting: Accounting


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _small_board(market: Market, time_ms: int) -> Board:
    """Return the board of a moment with the options of `_STRIKES` and every future."""
    board = board_at(market, time_ms)
    wanted = {
        (_milliseconds(expiry), float(strike))
        for expiry, strikes in _STRIKES.items()
        for strike in strikes
    }
    of_option = zip(board.expiry_ms[board.expiry_row].tolist(), board.strike.tolist(), strict=True)
    rows = np.flatnonzero([option in wanted for option in of_option])
    names = tuple(board.names[row] for row in rows)
    return replace(
        board,
        expiry_row=board.expiry_row[rows],
        strike=board.strike[rows],
        is_call=board.is_call[rows],
        names=names,
        stream=board.stream[rows],
        creation_ms=board.creation_ms[rows],
        row_of={name: row for row, name in enumerate(names)},
    )


def _listed(market: Market) -> dict[datetime, int]:
    """Count the options from their creation up to and including their expiry."""
    lives = {
        (name, int(created), int(board.expiry_ms[row]))
        for board in (
            _small_board(market, _milliseconds(DAY.replace(hour=hour))) for hour in (0, 8)
        )
        for name, created, row in zip(board.names, board.creation_ms, board.expiry_row, strict=True)
    }
    return {
        minute: sum(created <= _milliseconds(minute) <= expiry for _, created, expiry in lives)
        for minute in MINUTES
    }


def fill_small_day(settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> SmallDay:
    """Write the day to the raw tables: simulator, parser, spool, decoder and writer.

    Every instrument ticks once a minute, in the last five seconds before it; so the ticks begin a
    minute before the day, and those of its last minute belong to the day after.
    """
    monkeypatch.setattr(history, "board_at", _small_board)
    minute = timedelta(minutes=1)
    options = history.HistoryOptions(
        _milliseconds(DAY - minute), _milliseconds(DAY + timedelta(days=1) - minute)
    )
    messages: Counter[str] = Counter()
    capture = folder / "day.capture"
    with capture.open("wb") as stream:
        for line in history.history_lines(options):
            kinds = (kind for mark, kind in _KINDS.items() if mark in line[:120])
            messages[next(kinds, "futures_prices")] += 1
            stream.write(line)
    where = settings.clickhouse
    streamer = StreamerSettings.model_validate(
        {
            "collector": "small_day",
            "spool_directory": folder / "spool",
            "spool": {"roll_seconds": 60, "keep_done_segments": 1},
            "clickhouse": {"host": where.host, "port": where.port, "database": where.database},
        }
    )
    accounting = ingest_messages(read_capture(capture), streamer, SYSTEM_CLOCK)
    return SmallDay(messages, _listed(Market(options.seed, options.currency)), accounting)
