"""Trades as a pure function of time.

Every instrument that trades does so once in each of its own slots of time, at a random moment of
the slot. So `trade_seq` counts slots, consecutive without a memory, and any interval can be asked
for again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vol_platform.simulator.market import noise
from vol_platform.simulator.market.board import Board, FutureInstrument, board_at
from vol_platform.simulator.market.market import Market
from vol_platform.simulator.market.names import row_from_name
from vol_platform.simulator.market.quotes import option_quotes
from vol_platform.simulator.market.tickers import TickerSource, never_traded

__all__ = ["Trade", "sequence_window", "trades_between"]

Trade = dict[str, Any]

_ORIGIN_MS = 1_500_000_000_000
_PERPETUAL_SLOT_MS = 2_000
_FUTURE_SLOT_MS = 60_000
_MEDIAN_OPTION_SLOT_MS = 8 * 3_600_000
_IDENTIFIERS_PER_MS = 10_000


def _option_slots(market: Market, board: Board) -> NDArray[np.int64]:
    spread = 1.2 * noise.normal(market.seed, board.stream + 31, 0)
    return np.maximum((_MEDIAN_OPTION_SLOT_MS * np.exp(spread)).astype(np.int64), 60_000)


def _moments(
    seed: int,
    stream: NDArray[np.int64],
    slot_ms: NDArray[np.int64],
    start_ms: int,
    end_ms: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return (row, slot number, time) of every trade with start < time <= end."""
    first, last = start_ms // slot_ms, end_ms // slot_ms
    counts = last - first + 1
    rows = np.repeat(np.arange(stream.size), counts)
    ahead = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts)
    slots = first[rows] + ahead
    offset = noise.uniform(seed, stream[rows] + 32, slots) * slot_ms[rows]
    times = slots * slot_ms[rows] + offset.astype(np.int64)
    inside = (times > start_ms) & (times <= end_ms)
    return rows[inside], slots[inside], times[inside]


def sequence_window(market: Market, name: str, first: int, last: int) -> tuple[int, int]:
    """Return the times (start, end] in which trades `first` to `last` of an instrument happen."""
    row = row_from_name(name)
    if row is not None and row["kind"] == "option":
        board = board_at(market, int(row["expiration_timestamp"]) - 1)
        place = board.row_of.get(name)
        if place is None:
            return 0, 0
        slot_ms = int(_option_slots(market, board)[place])
        base = int(board.creation_ms[place]) // slot_ms - 1
    else:
        slot_ms = _PERPETUAL_SLOT_MS if name.endswith("-PERPETUAL") else _FUTURE_SLOT_MS
        base = _ORIGIN_MS // slot_ms
    return (first + base) * slot_ms - 1, (last + base + 1) * slot_ms


def trades_between(
    source: TickerSource,
    start_ms: int,
    end_ms: int,
    only: str | None = None,
    kind: str = "any",
) -> list[Trade]:
    """Return the trades of a board with start < time <= end (milliseconds), oldest first.

    Parameters
    ----------
    source
        Tickers of the board; trades happen at its quotes.
    start_ms, end_ms
        Cut to the board's own day.
    only
        Of this instrument alone.
    kind
        ``option``, ``future`` or ``any``.
    """
    market, board = source.market, source.board
    start_ms, end_ms = max(start_ms, board.start_ms - 1), min(end_ms, board.end_ms - 1)
    if end_ms <= start_ms:
        return []
    found: list[Trade] = []
    if kind in {"any", "option"} and (only is None or only in board.row_of):
        options = _option_trades(market, board, start_ms, end_ms)
        found += [it for it in options if only is None or it["instrument_name"] == only]
    for number, future in enumerate(board.futures):
        opened_ms = max(start_ms, future.creation_ms)
        is_wanted = kind in {"any", "future"} and (only is None or future.name == only)
        if is_wanted and opened_ms < end_ms:
            found += _future_trades(source, future, number, opened_ms, end_ms)
    return sorted(found, key=lambda trade: (trade["timestamp"], int(trade["trade_id"])))


def _option_trades(market: Market, board: Board, start_ms: int, end_ms: int) -> list[Trade]:
    seed = market.seed
    rows, slots, times = _moments(
        seed, board.stream, _option_slots(market, board), start_ms, end_ms
    )
    alive = (times > board.creation_ms[rows] + 1_200_000) & ~never_traded(market, board)[rows]
    rows, slots, times = rows[alive], slots[alive], times[alive]
    if rows.size == 0:
        return []
    quotes = option_quotes(market, board, rows, times)
    buys = noise.uniform(seed, board.stream[rows] + 33, slots) < 0.5
    shown = np.where(buys, quotes.ask_price, quotes.bid_price)
    ladder = market.specification.ladder
    fair = np.maximum(ladder.round(quotes.mark_price), ladder.fine)
    price = np.where(shown > 0.0, shown, fair)
    vol = np.where(buys, quotes.ask_volatility, quotes.bid_volatility)
    lots = np.maximum(np.round(np.exp(2.0 + noise.normal(seed, board.stream[rows] + 34, slots))), 1)
    amount = np.round(lots * market.specification.minimum_amount, 1)
    first_slot = board.creation_ms[rows] // _option_slots(market, board)[rows]
    columns: Iterable[tuple[Any, ...]] = zip(
        rows.tolist(),
        times.tolist(),
        (slots - first_slot + 1).tolist(),
        price.tolist(),
        np.round(100.0 * vol, 2).tolist(),
        amount.tolist(),
        buys.tolist(),
        quotes.index_price.tolist(),
        np.round(quotes.mark_price, 8).tolist(),
        strict=True,
    )
    return [
        {
            "trade_seq": sequence,
            "trade_id": str((moment - _ORIGIN_MS) * _IDENTIFIERS_PER_MS + row),
            "timestamp": moment,
            "tick_direction": sequence % 4,
            "price": paid,
            "mark_price": mark,
            "iv": iv,
            "instrument_name": board.names[row],
            "index_price": index,
            "direction": "buy" if bought else "sell",
            "contracts": size,
            "amount": size,
        }
        for row, moment, sequence, paid, iv, size, bought, index, mark in columns
    ]


def _future_trades(
    source: TickerSource, future: FutureInstrument, number: int, start_ms: int, end_ms: int
) -> list[Trade]:
    seed = source.market.seed
    stream = np.array([noise.stream_of(future.name)], dtype=np.int64)
    slot_ms = _PERPETUAL_SLOT_MS if future.period == "perpetual" else _FUTURE_SLOT_MS
    _, slots, times = _moments(seed, stream, np.array([slot_ms], dtype=np.int64), start_ms, end_ms)
    buys = (noise.uniform(seed, stream[0] + 33, slots) < 0.5).tolist()
    contracts = np.maximum(
        np.round(np.exp(4.0 + 1.5 * noise.normal(seed, stream[0] + 34, slots))), 1
    ).tolist()
    first_slot = _ORIGIN_MS // slot_ms
    specification = source.market.specification
    unit = specification.minimum_amount if source.market.is_linear else 10.0
    tickers = source.future_tickers([future] * slots.size, times)
    return [
        {
            "trade_seq": slot - first_slot,
            "trade_id": str((ticker.timestamp - _ORIGIN_MS) * _IDENTIFIERS_PER_MS + 9_000 + number),
            "timestamp": ticker.timestamp,
            "tick_direction": slot % 4,
            "price": ticker.best_ask_price if bought else ticker.best_bid_price,
            "mark_price": ticker.mark_price,
            "instrument_name": future.name,
            "index_price": ticker.index_price,
            "direction": "buy" if bought else "sell",
            "contracts": count,
            "amount": unit * count,
        }
        for slot, bought, count, ticker in zip(
            slots.tolist(), buys, contracts, tickers, strict=True
        )
    ]
