"""The live feed: which instruments update at which step, and what they then show.

Time advances in steps.  At a step an instrument updates with a probability that follows its
activity and how far the index moved in the last second, so that a move re-marks the whole board.
An instrument that did not change is re-sent every five seconds with only its timestamp new.  The
schedule is a pure function of seed and step, so two exchanges started at the same simulated time
say the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vol_platform.simulator.market import noise
from vol_platform.simulator.market.board import Board, board_at
from vol_platform.simulator.market.market import Market
from vol_platform.simulator.market.tickers import TickerSource
from vol_platform.simulator.market.wire import OptionTicker, TickerData

__all__ = ["RESEND_MS", "Feed", "Roll", "step_milliseconds"]

RESEND_MS = 5_000
_BASE_RATE = 0.28
"""Updates per second of an ordinary option in a still market."""
_GAIN_PER_BASIS_POINT = 0.35
_FUTURE_RATE = 4.0


def step_milliseconds(rate: float) -> int:
    """Return the step in which an instrument updates with a chance of about a half at most."""
    for step in (100, 50, 20):
        if rate * _BASE_RATE * step <= 500.0:
            return step
    return 10


@dataclass(frozen=True, slots=True)
class Roll:
    """What changed at 08:00 UTC."""

    ended: Board
    began: Board
    last_tickers: list[OptionTicker]


class Feed:
    """The tickers of one currency, step by step.

    Parameters
    ----------
    market
        What is quoted.
    time_ms
        Where to begin.
    rate
        Multiplies how often quotes change.
    """

    def __init__(self, market: Market, time_ms: int, rate: float = 1.0) -> None:
        self.market = market
        self.rate = rate
        self.step_ms = step_milliseconds(rate)
        self._begin(board_at(market, time_ms), time_ms - time_ms % self.step_ms)

    def _begin(self, board: Board, time_ms: int) -> None:
        self.board = board
        self.source = TickerSource(self.market, board)
        count = len(board.names)
        seed = self.market.seed
        self._activity = np.exp(0.7 * noise.normal(seed, board.stream + 21, 0) - 0.25)
        self._resend_phase = (board.stream * 2_654_435_761) % RESEND_MS
        # Everything has a state from the first step on, so that what is sent later does not depend
        # on who asked for what, or when.
        self._last = self.source.options(np.arange(count), np.full(count, time_ms))
        futures = self.source.future_tickers(
            board.futures, np.full(len(board.futures), time_ms, dtype=np.int64)
        )
        self._futures_last = {future.instrument_name: future for future in futures}

    @property
    def names(self) -> tuple[str, ...]:
        """Options of the present board."""
        return self.board.names

    def roll(self, time_ms: int) -> Roll | None:
        """Change to the board of `time_ms` when 08:00 UTC has passed, else None."""
        if self.board.start_ms <= time_ms < self.board.end_ms:
            return None
        ended, last = self.board, self.source.expired_options(time_ms)
        self._begin(board_at(self.market, time_ms), time_ms)
        return Roll(ended, self.board, last)

    def snapshot(self, names: list[str], time_ms: int) -> dict[str, TickerData]:
        """Return what these instruments show now; unknown names are left out."""
        found: dict[str, TickerData] = {}
        open_now = {future.name for future in self.board.open_futures(time_ms)}
        for name in names:
            row = self.board.row_of.get(name)
            if row is not None:
                found[name] = self._last[row]
            elif name in open_now:
                found[name] = self._futures_last[name]
        return found

    def step(self, time_ms: int) -> list[TickerData]:
        """Return the tickers that go out at this step; `time_ms` is a multiple of the step."""
        index = self.market.index_price([time_ms, time_ms - 1000])
        move = 10_000.0 * abs(float(np.log(index[0] / index[1])))
        seconds = self.step_ms / 1000
        intensity = self.rate * _BASE_RATE * seconds * (1.0 + _GAIN_PER_BASIS_POINT * move)
        number = time_ms // self.step_ms
        draw = noise.uniform(self.market.seed, self.board.stream + 22, number)
        changes = draw < -np.expm1(-intensity * self._activity)
        since = (time_ms + self._resend_phase) % RESEND_MS
        rows = np.flatnonzero(changes)
        changed = self.source.options(rows, np.full(rows.size, time_ms, dtype=np.int64))
        for row, ticker in zip(rows.tolist(), changed, strict=True):
            self._last[row] = ticker
        result: list[TickerData] = list(changed)
        for row in np.flatnonzero((since < self.step_ms) & ~changes).tolist():
            ticker = self._last[row]
            ticker.timestamp = time_ms
            result.append(ticker)
        result += self._step_futures(time_ms, number)
        return result

    def _step_futures(self, time_ms: int, number: int) -> list[TickerData]:
        futures = self.board.open_futures(time_ms)
        streams = np.array([noise.stream_of(future.name) for future in futures])
        chance = -np.expm1(-self.rate * _FUTURE_RATE * self.step_ms / 1000)
        draw = noise.uniform(self.market.seed, streams + 22, number)
        due = [future.name for future, moved in zip(futures, draw < chance, strict=True) if moved]
        tickers = self.source.futures(due, time_ms)
        for ticker in tickers:
            self._futures_last[ticker.instrument_name] = ticker
        return list(tickers)
