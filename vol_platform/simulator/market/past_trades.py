"""Trades of any time, board after board, without holding more than a slice of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from vol_platform.simulator.market.board import Board, board_at
from vol_platform.simulator.market.market import Market
from vol_platform.simulator.market.tickers import TickerSource
from vol_platform.simulator.market.trades import Trade, trades_between

__all__ = ["past_trades"]

_SLICE_MS = 1_800_000


@lru_cache(maxsize=8)
def _source(market: Market, board: Board) -> TickerSource:
    return TickerSource(market, board)


def past_trades(
    market: Market, start_ms: int, end_ms: int, *, only: str | None = None, kind: str = "any"
) -> Iterator[Trade]:
    """Yield trades with start <= time <= end, oldest first.

    Parameters
    ----------
    market
        Whose trades.
    start_ms, end_ms
        Milliseconds since the epoch; any number of boards.
    only
        Of this instrument alone.
    kind
        ``option``, ``future`` or ``any``.
    """
    moment = start_ms
    while moment <= end_ms:
        board = board_at(market, moment)
        until = min(moment + _SLICE_MS, board.end_ms, end_ms + 1)
        yield from trades_between(_source(market, board), moment - 1, until - 1, only, kind)
        moment = until
