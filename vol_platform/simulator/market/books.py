"""Order books around the best bid and ask, as snapshots and chained changes."""

from __future__ import annotations

import numpy as np

from vol_platform.simulator.market import noise
from vol_platform.simulator.market.ladder import COIN_LADDER
from vol_platform.simulator.market.wire import FutureTicker, TickerData

__all__ = ["BookState", "Levels", "book_changes", "change_number", "levels"]

Levels = list[list[float]]
_DEPTH = 10
_CHANGE_ORIGIN_MS = 1_500_000_000_000


def change_number(seed: int, name: str, time_ms: int) -> int:
    """Return the change id of a moment: rising with time, never consecutive."""
    spread = int(noise.uniform(seed, noise.stream_of(name), time_ms)[()] * 31)
    return (time_ms - _CHANGE_ORIGIN_MS) * 37 + spread


def levels(seed: int, ticker: TickerData, tick: float) -> tuple[Levels, Levels]:
    """Return (bids, asks), best first, each `[price, amount]`; the best is the ticker's."""
    stream = noise.stream_of(ticker.instrument_name)
    depths = np.arange(1, _DEPTH)
    coarse = np.exp(
        1.5 + 0.8 * noise.step_normal(seed, stream + 100 + depths, ticker.timestamp, 20_000)
    )
    unit = 10.0 if isinstance(ticker, FutureTicker) else 0.1
    sizes = np.round(np.maximum(np.round(coarse * 10), 1.0) * unit, 1).tolist()
    sides: list[Levels] = []
    for price, amount, direction in (
        (ticker.best_bid_price, ticker.best_bid_amount, -1),
        (ticker.best_ask_price, ticker.best_ask_amount, 1),
    ):
        side: Levels = []
        if price > 0.0:
            side.append([price, amount])
            for depth, size in zip(depths.tolist(), sizes, strict=True):
                step = tick if price >= COIN_LADDER.above else COIN_LADDER.fine
                next_price = round(price + direction * depth * step, 4)
                if next_price > 0.0:
                    side.append([next_price, size])
        sides.append(side)
    return sides[0], sides[1]


class BookState:
    """What a book channel last said."""

    def __init__(self, change_id: int, bids: Levels, asks: Levels) -> None:
        self.change_id = change_id
        self.bids = bids
        self.asks = asks


def book_changes(before: Levels, after: Levels) -> list[list[object]]:
    """Return `[action, price, amount]` rows that turn one side into the other."""
    old = {level[0]: level[1] for level in before}
    new = {level[0]: level[1] for level in after}
    rows: list[list[object]] = [["delete", price, 0.0] for price in old if price not in new]
    for price, amount in new.items():
        if price not in old:
            rows.append(["new", price, amount])
        elif old[price] != amount:
            rows.append(["change", price, amount])
    return rows
