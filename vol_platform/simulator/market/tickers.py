"""Ticker messages of a board: market and quotes put into the exchange's fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from vol_platform.simulator.market import noise
from vol_platform.simulator.market.board import PERPETUAL_EXPIRY_MS, Board, FutureInstrument
from vol_platform.simulator.market.expiries import DAY_MS, YEAR_MS, expiry_label
from vol_platform.simulator.market.market import Market
from vol_platform.simulator.market.pricing import coin_price
from vol_platform.simulator.market.quotes import (
    SETTLEMENT_WINDOW_MS,
    OptionQuotes,
    forwards,
    option_quotes,
)
from vol_platform.simulator.market.wire import (
    FutureStatistics,
    FutureTicker,
    GreeksFields,
    OptionTicker,
    Statistics,
)

__all__ = ["TickerSource", "never_traded"]

_Array = NDArray[np.float64]
_NEVER_TRADED_SHARE = 0.3
_FUTURE_OPEN_INTEREST = {True: 1_079_755_000.0, False: 39_824_780.0}
"""USD, of the perpetual (True) and of a dated future."""


def never_traded(market: Market, board: Board) -> NDArray[np.bool_]:
    """Return which options nobody ever trades: no last price, null statistics, shape (n,)."""
    return np.asarray(noise.uniform(market.seed, board.stream + 11, 0) <= _NEVER_TRADED_SHARE)


class TickerSource:
    """Makes the tickers of one board.

    Parameters
    ----------
    market
        The market they are priced from.
    board
        The board; make a new source at 08:00 UTC.
    """

    def __init__(self, market: Market, board: Board) -> None:
        self.market = market
        self.board = board
        seed = market.seed
        count = len(board.names)
        rows = np.arange(count)
        opened = board.start_ms - 1
        self._index_names = self._underlying_names()
        # Yesterday's settlement and what traded before it: constants of the board.
        settled = board.creation_ms < board.start_ms
        forward, index, _ = forwards(market, board, np.array([opened]))
        forward_of = forward[0][board.expiry_row]
        years = (board.expiry_ms[board.expiry_row] - opened) / YEAR_MS
        volatility = market.surface(opened).volatility(np.log(board.strike / forward_of), years)
        settlement = coin_price(forward_of, board.strike, years, volatility, board.is_call)
        if market.is_linear:
            settlement = settlement * forward_of
        ladder = market.specification.ladder
        self._settlement = np.round(settlement, 8).tolist()
        self._settled = settled.tolist()
        self._settlement_index = float(index[0])
        traded = ~never_traded(market, board)
        spread = np.exp(0.2 * noise.normal(seed, board.stream + 12, board.start_ms))
        last = np.maximum(ladder.round(settlement * spread), ladder.fine)
        high = ladder.round(last * 1.25, 1)
        low = np.maximum(ladder.round(last * 0.8, -1), ladder.fine)
        volume = np.round(np.exp(2.0 * noise.normal(seed, board.stream + 13, board.start_ms)), 1)
        traded_today = traded & settled & (volume > 0.3)
        self._last = [
            value if has else None
            for value, has in zip(last.tolist(), (traded & settled).tolist(), strict=True)
        ]
        change = np.round(100.0 * (1.0 / spread - 1.0), 4).tolist()
        self._statistics = [
            Statistics(round(v * p * self._settlement_index, 2), v, c, lo, hi)
            if has
            else Statistics(0.0, 0.0, None, None, None)
            for v, p, c, lo, hi, has in zip(
                volume.tolist(),
                last.tolist(),
                change,
                low.tolist(),
                high.tolist(),
                traded_today.tolist(),
                strict=True,
            )
        ]
        minimum = market.specification.minimum_amount
        base = np.exp(3.0 + 1.8 * noise.normal(seed, board.stream + 14, 0))
        self._open_interest = np.where(traded, np.round(base / minimum) * minimum, 0.0)
        self._rows = rows

    def _underlying_names(self) -> list[tuple[str, str]]:
        currency = self.board.currency
        labels = [f"{currency}-{expiry_label(expiry)}" for expiry in self.board.expiries]
        return [(f"SYN.{label}", label) for label in labels]

    def options(self, rows: NDArray[np.int64], time_ms: NDArray[np.int64]) -> list[OptionTicker]:
        """Return tickers of options `rows` at `time_ms`, both shape (n,), in that order."""
        if rows.size == 0:
            return []
        return self._fill(option_quotes(self.market, self.board, rows, time_ms))

    def _fill(self, quotes: OptionQuotes) -> list[OptionTicker]:
        board = self.board
        rows = quotes.rows
        mark = np.round(quotes.mark_price, 8)
        ladder = self.market.specification.ladder
        band = np.maximum(200.0 * ladder.fine, 0.5 * mark)
        low = np.maximum(ladder.round(np.maximum(mark - band, 0.0)), ladder.step(mark))
        high = ladder.round(mark + band, 1)
        greek = quotes.greeks
        wobble = noise.step_normal(
            self.market.seed, board.stream[rows] + 15, quotes.time_ms, 600_000
        )
        interest = np.round(self._open_interest[rows] * (1.0 + 0.01 * wobble), 1)
        expired_soon = quotes.in_settlement.tolist()
        estimate = np.where(quotes.in_settlement, quotes.forward, quotes.index_price)
        columns = zip(
            rows.tolist(),
            quotes.time_ms.tolist(),
            quotes.forward.tolist(),
            quotes.has_future.tolist(),
            expired_soon,
            board.expiry_row[rows].tolist(),
            interest.tolist(),
            low.tolist(),
            high.tolist(),
            mark.tolist(),
            _percent(quotes.volatility),
            quotes.index_price.tolist(),
            np.round(greek.vega, 5).tolist(),
            (np.round(greek.theta, 5) + 0.0).tolist(),
            np.round(greek.rho, 5).tolist(),
            np.round(greek.gamma, 5).tolist(),
            np.round(greek.delta, 5).tolist(),
            estimate.tolist(),
            _percent(quotes.bid_volatility),
            quotes.bid_price.tolist(),
            quotes.bid_amount.tolist(),
            quotes.ask_price.tolist(),
            quotes.ask_amount.tolist(),
            _percent(quotes.ask_volatility),
            strict=True,
        )
        names = board.names
        return [
            OptionTicker(
                forward,
                "SYN.EXPIRY" if settling else self._index_names[expiry][own],
                moment,
                self._statistics[row],
                "open",
                self._settlement[row] if self._settled[row] else UNSET,
                open_interest,
                min_price,
                max_price,
                mark_price,
                mark_iv,
                self._last[row],
                0.0,
                names[row],
                index_price,
                GreeksFields(vega, theta, rho, gamma, delta),
                delivery,
                bid_iv,
                bid,
                bid_size,
                ask,
                ask_size,
                ask_iv,
            )
            for (
                row,
                moment,
                forward,
                own,
                settling,
                expiry,
                open_interest,
                min_price,
                max_price,
                mark_price,
                mark_iv,
                index_price,
                vega,
                theta,
                rho,
                gamma,
                delta,
                delivery,
                bid_iv,
                bid,
                bid_size,
                ask,
                ask_size,
                ask_iv,
            ) in columns
        ]

    def expired_options(self, time_ms: int) -> list[OptionTicker]:
        """Return the last tickers of the expiry that ends with this board.

        They are stamped `time_ms` (just after 08:00), closed, with zero greeks, volatilities at
        their caps, and the text ``expired`` for the estimated delivery price.
        """
        board = self.board
        if int(board.expiry_ms[0]) != board.end_ms:
            return []
        rows = np.flatnonzero(board.expiry_row == 0)
        delivery = self.market.settlement_average(board.end_ms, board.end_ms)
        last = self.options(rows, np.full(rows.size, board.end_ms - 1))
        for ticker in last:
            ticker.timestamp = time_ms
            ticker.state = "closed"
            ticker.estimated_delivery_price = "expired"
            ticker.delivery_price = delivery
            ticker.mark_iv, ticker.bid_iv, ticker.ask_iv = 250.0, 0.0, 500.0
        return last

    def futures(self, names: Iterable[str], time_ms: int) -> list[FutureTicker]:
        """Return tickers of futures at one moment; unknown names are left out."""
        wanted = set(names)
        chosen = [f for f in self.board.open_futures(time_ms) if f.name in wanted]
        return self.future_tickers(chosen, np.full(len(chosen), time_ms, dtype=np.int64))

    def future_tickers(
        self, futures: Sequence[FutureInstrument], time_ms: NDArray[np.int64]
    ) -> list[FutureTicker]:
        """Return the tickers of n futures, each at its own moment, `time_ms` of shape (n,)."""
        if not futures:
            return []
        market = self.market
        seed = market.seed
        tick = market.specification.future_tick
        stream = np.array([noise.stream_of(future.name) for future in futures], dtype=np.int64)
        expiry = np.array([future.expiry_ms for future in futures], dtype=np.int64)
        perpetual = expiry == PERPETUAL_EXPIRY_MS
        moments, at = np.unique(time_ms, return_inverse=True)
        index = market.index_price(moments)[at]
        premium = 0.0003 * noise.step_normal(seed, stream, time_ms, 3_600_000)
        years = np.maximum(expiry - time_ms, 0) / YEAR_MS
        carried = np.exp(market.basis_rate(moments)[at] * np.where(perpetual, 0.0, years))
        mark = np.round(index * np.where(perpetual, 1.0 + premium, carried), 2)
        estimate = index.copy()
        for row in np.flatnonzero(expiry - time_ms <= SETTLEMENT_WINDOW_MS):
            average = market.settlement_average(int(expiry[row]), int(time_ms[row]))
            mark[row] = estimate[row] = average
        lean = noise.step_normal(seed, stream + 1, time_ms, 700)
        width = np.where(perpetual, tick, 5.0 * tick)
        bid = np.round(np.floor((mark + (lean - 0.5) * width) / tick) * tick, 2)
        ask = np.round(bid + width, 2)
        sizes = noise.step_normal(seed, stream[:, None] + np.array([2, 3]), time_ms[:, None], 900)
        lots = np.maximum(np.round(np.exp(8.0 + 1.2 * sizes)), 1.0) * 10.0
        day = noise.step_normal(seed, stream + 4, time_ms, DAY_MS)
        volume = np.round(np.exp(np.where(perpetual, 8.5, 5.5) + 0.4 * day), 8)
        settled = self._settlement_index
        columns = zip(
            futures,
            time_ms.tolist(),
            index.tolist(),
            mark.tolist(),
            estimate.tolist(),
            bid.tolist(),
            ask.tolist(),
            lots.tolist(),
            volume.tolist(),
            premium.tolist(),
            strict=True,
        )
        return [
            FutureTicker(
                timestamp=moment,
                stats=FutureStatistics(
                    volume_notional=float(round(traded * spot)),
                    volume_usd=float(round(traded * spot)),
                    volume=traded,
                    price_change=round(100.0 * (spot / settled - 1.0), 4),
                    low=_to_tick(min(buy, settled) * 0.985, tick),
                    high=_to_tick(max(sell, settled) * 1.015, tick),
                ),
                state="open",
                settlement_price=settled if future.creation_ms < self.board.start_ms else UNSET,
                open_interest=self._future_interest(future, spot),
                min_price=_to_tick(fair * 0.985, tick),
                max_price=_to_tick(fair * 1.015, tick),
                mark_price=fair,
                last_price=buy,
                instrument_name=future.name,
                index_price=spot,
                estimated_delivery_price=delivery,
                best_bid_price=buy,
                best_bid_amount=both[0],
                best_ask_price=sell,
                best_ask_amount=both[1],
                **_funding(rate) if future.period == "perpetual" else {},
            )
            for future, moment, spot, fair, delivery, buy, sell, both, traded, rate in columns
        ]

    def _future_interest(self, future: FutureInstrument, spot: float) -> float:
        """Return the open interest: USD, or coin of linear contracts."""
        usd = _FUTURE_OPEN_INTEREST[future.period == "perpetual"]
        return round(usd / spot, 1) if self.market.is_linear else usd


def _funding(premium: float) -> dict[str, float]:
    """Return the perpetual's funding fields; the small premium leaves the present funding at 0."""
    return {
        "interest_value": round(10.0 * premium, 16),
        "current_funding": 0.0,
        "funding_8h": round(0.1 * premium, 8),
    }


def _to_tick(price: float, tick: float) -> float:
    return round(round(price / tick) * tick, 2)


def _percent(volatility: _Array) -> list[float]:
    result: list[float] = np.round(100.0 * volatility, 2).tolist()
    return result
