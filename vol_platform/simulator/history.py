"""Fast-forward: hours of the simulated market written as a capture, as fast as the machine can.

The market is a pure function of seed and time, so a live exchange with the same seed goes on
exactly where the history ends.  Lines are ``<receive epoch>: <json>``; the first is an answer of
get_instruments, and each 08:00 UTC inside the window brings another one with the new board.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import zstandard

from vol_platform.errors import SettingsError
from vol_platform.simulator.market import noise
from vol_platform.simulator.market.board import Board, board_at, instrument_rows
from vol_platform.simulator.market.feed import RESEND_MS
from vol_platform.simulator.market.market import Market
from vol_platform.simulator.market.tickers import TickerSource
from vol_platform.simulator.market.trades import trades_between
from vol_platform.simulator.market.wire import encode, notification_head

__all__ = ["HistoryOptions", "history_lines", "make_history_options", "write_history"]

_CHUNK_ROWS = 16_000  # a quarter less time a row than 4,000; longer chunks only take memory
_LATENCY_MS = 12.0
_LINE_SPACING_MS = 0.002
_INDEX_MS = 1_000
_INSTRUMENTS_CALL = b"https://www.deribit.com/api/v2/public/get_instruments -> "


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """What to write.

    Attributes
    ----------
    start_ms, end_ms
        The window, start <= time < end, milliseconds since the epoch.
    seconds_between_ticks
        How often every instrument ticks.
    seed, currency
        Which market.
    interval
        Interval in the channel names.
    """

    start_ms: int
    end_ms: int
    seconds_between_ticks: float = 60.0
    seed: int = 7
    currency: str = "BTC"
    interval: str = "100ms"


def make_history_options(
    end: datetime, hours: float, seconds_between_ticks: float, seed: int, currency: str
) -> HistoryOptions:
    """Return options for the `hours` up to `end`.

    Raises
    ------
    SettingsError
        A value is out of range.
    """
    if hours <= 0:
        msg = f"--hours must be > 0, was {hours:g}"
        raise SettingsError(msg)
    if not 0.1 <= seconds_between_ticks <= 3600:
        msg = f"--seconds-between-ticks must be 0.1 to 3600, was {seconds_between_ticks:g}"
        raise SettingsError(msg)
    if end.tzinfo is None:
        msg = f"--end must carry a zone, such as {end.isoformat()}Z, was {end.isoformat()}"
        raise SettingsError(msg)
    end_ms = round(end.timestamp() * 1000)
    start_ms = end_ms - round(hours * 3_600_000)
    return HistoryOptions(start_ms, end_ms, seconds_between_ticks, seed, currency)


def history_lines(options: HistoryOptions) -> Iterator[bytes]:
    """Yield the lines of the window in order of receive time, each with its newline."""
    market = Market(options.seed, options.currency)
    time_ms = options.start_ms
    while time_ms < options.end_ms:
        board = board_at(market, time_ms)
        end_ms = min(board.end_ms, options.end_ms)
        source = TickerSource(market, board)
        yield _instruments_line(market, board, time_ms)
        yield from _board_lines(source, options, time_ms, end_ms)
        if end_ms == board.end_ms:
            yield from _lines(
                end_ms,
                [
                    (f"ticker.{ticker.instrument_name}.{options.interval}", encode(ticker))
                    for ticker in source.expired_options(end_ms)
                ],
            )
        time_ms = end_ms


def _epoch(moment_ms: float) -> bytes:
    return b"%.6f: " % (moment_ms / 1000)


def _instruments_line(market: Market, board: Board, time_ms: int) -> bytes:
    answer = {
        "jsonrpc": "2.0",
        "id": 1,
        "result": instrument_rows(market, board, time_ms),
        "usIn": time_ms * 1000,
        "usOut": time_ms * 1000 + 900,
        "usDiff": 900,
        "testnet": False,
    }
    # Written as the answer of a REST call, which is how captures mark it.
    return _INSTRUMENTS_CALL + _epoch(time_ms) + encode(answer) + b"\n"


def _lines(moment_ms: int, frames: list[tuple[str, bytes]]) -> Iterator[bytes]:
    received = moment_ms + _LATENCY_MS
    for number, (channel, body) in enumerate(frames):
        head = notification_head(channel)
        yield _epoch(received + number * _LINE_SPACING_MS) + head + body + b"}}\n"


def _board_lines(
    source: TickerSource, options: HistoryOptions, start_ms: int, end_ms: int
) -> Iterator[bytes]:
    """Yield the lines of one board: tickers at their phases, the index, futures, trades."""
    board = source.board
    period_ms = round(options.seconds_between_ticks * 1000)
    # The exchange sends every ticker again within five seconds, so on its board no quote is older.
    # Sparse history keeps that: all of a period's ticks fall in its last five seconds, and a
    # snapshot at the period's end is as simultaneous as a real one.
    window_ms = min(period_ms, RESEND_MS)
    # All that ticks at one moment is priced together; enough moments to look staggered.
    quantum_ms = max(window_ms // 60, 100)
    names = board.names
    option_heads = [notification_head(f"ticker.{name}.{options.interval}") for name in names]
    phase = (noise.uniform(options.seed, board.stream + 41, 0) * window_ms).astype(np.int64)
    phase += period_ms - window_ms - phase % quantum_ms
    chunk_ms = max(_CHUNK_ROWS // len(names), 1) * period_ms
    index_ms = max(min(period_ms, 10_000), _INDEX_MS)
    chunk_start = start_ms
    while chunk_start < end_ms:
        chunk_end = min(chunk_start + chunk_ms, end_ms)
        rows, times = _due(phase, period_ms, chunk_start, chunk_end)
        order = np.lexsort((rows, times))
        rows, times = rows[order], times[order]
        received = times + _LATENCY_MS
        starts = np.flatnonzero(np.diff(times, prepend=-1))
        position = np.arange(rows.size) - np.repeat(starts, np.diff(starts, append=rows.size))
        received = received + position * _LINE_SPACING_MS
        lines = [
            (moment, b"%.6f: %b%b}}\n" % (moment / 1000, option_heads[row], encode(ticker)))
            for moment, row, ticker in zip(
                received.tolist(), rows.tolist(), source.options(rows, times), strict=True
            )
        ]
        lines += _other_lines(source, options, chunk_start, chunk_end, period_ms, index_ms)
        lines.sort(key=_moment_of)
        for _, line in lines:
            yield line
        chunk_start = chunk_end


def _moment_of(line: tuple[float, bytes]) -> float:
    return line[0]


def _due(
    phase: np.ndarray[tuple[int], np.dtype[np.int64]], period_ms: int, start_ms: int, end_ms: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return (row, time) of every tick with start <= time < end."""
    first = -(-(start_ms - phase) // period_ms)
    cycles = -(-(end_ms - start_ms) // period_ms) + 1
    times = (first[:, None] + np.arange(cycles)[None, :]) * period_ms + phase[:, None]
    rows, columns = np.nonzero((times >= start_ms) & (times < end_ms))
    return rows, times[rows, columns]


def _other_lines(
    source: TickerSource,
    options: HistoryOptions,
    start_ms: int,
    end_ms: int,
    period_ms: int,
    index_ms: int,
) -> list[tuple[float, bytes]]:
    """Return the index, futures and trades of a chunk as (receive time, line)."""
    market = source.market
    name = market.specification.index_name
    head = notification_head(f"deribit_price_index.{name}")
    found: list[tuple[float, bytes]] = []

    def add(moment: int, head_bytes: bytes, body: bytes, place: int) -> None:
        received = moment + _LATENCY_MS + place * 1e-3
        found.append((received, b"%.6f: %b%b}}\n" % (received / 1000, head_bytes, body)))

    moments = np.arange(-(-start_ms // index_ms) * index_ms, end_ms, index_ms)
    for moment, price in zip(
        moments.tolist(), market.index_price(moments).tolist() if moments.size else [], strict=True
    ):
        add(moment, head, encode({"timestamp": moment, "price": price, "index_name": name}), -3)
    cycle = range(-(-start_ms // period_ms) * period_ms, end_ms, period_ms)
    open_at = [(each, moment) for moment in cycle for each in source.board.open_futures(moment)]
    stamps = np.array([moment for _, moment in open_at], dtype=np.int64)
    for ticker in source.future_tickers([future for future, _ in open_at], stamps):
        channel = f"ticker.{ticker.instrument_name}.{options.interval}"
        add(ticker.timestamp, notification_head(channel), encode(ticker), -2)
    for trade in trades_between(source, start_ms - 1, end_ms - 1):
        channel = f"trades.{trade['instrument_name']}.{options.interval}"
        add(trade["timestamp"], notification_head(channel), encode([trade]), -1)
    return found


def write_history(options: HistoryOptions, output: str) -> int:
    """Write the window to a path (``.zst`` and ``.gz`` compress) or ``-``; return the frame count.

    Raises
    ------
    SettingsError
        The output cannot be written.
    """
    try:
        with _open(output) as stream:
            count = 0
            for line in history_lines(options):
                stream.write(line)
                count += 1
            stream.flush()
            return count
    except BrokenPipeError:
        msg = "the reader of --output - went away before the history was complete"
        raise SettingsError(msg) from None
    except OSError as error:
        msg = f"--output {output} cannot be written: {error.strerror or error}"
        raise SettingsError(msg) from None


def _open(output: str) -> AbstractContextManager[BinaryIO]:
    if output == "-":
        return nullcontext(sys.stdout.buffer)
    path = Path(output)
    if path.suffix == ".gz":
        return cast("AbstractContextManager[BinaryIO]", gzip.open(path, "wb", compresslevel=3))
    if path.suffix == ".zst":
        return cast(
            "AbstractContextManager[BinaryIO]",
            zstandard.open(path, "wb", cctx=zstandard.ZstdCompressor(level=3)),
        )
    return path.open("wb")
