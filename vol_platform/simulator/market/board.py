"""The instruments of a board: what is listed between one 08:00 UTC and the next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vol_platform.simulator.market import noise
from vol_platform.simulator.market.expiries import (
    board_day,
    cadence,
    day_start_ms,
    expiry_label,
    listed_expiries,
    listing_day,
)
from vol_platform.simulator.market.market import Market

__all__ = ["PERPETUAL_EXPIRY_MS", "Board", "FutureInstrument", "board_at", "instrument_rows"]

PERPETUAL_EXPIRY_MS = 32_503_708_800_000
_PERPETUAL_CREATION_MS = 1_534_167_754_000
_FUTURE_OPENS_MS = 4 * 3_600_000
"""A newly listed expiry's future opens about four hours after the option (12:00 UTC)."""

_STAGES: tuple[tuple[int, tuple[tuple[int, float], ...]], ...] = (
    # Within so many days of expiry: strikes by (index into strike_steps, log half-width).
    (400, ((3, 0.9),)),
    (100, ((2, 0.34), (3, 0.7))),
    (23, ((1, 0.12), (2, 0.24))),
    (4, ((0, 0.07), (1, 0.16))),
)
_FIRST_STAGE = {"quarter": 0, "month": 1, "week": 2, "day": 3}
"""A short-dated expiry never had the far strikes of a long-dated one."""


@dataclass(frozen=True, slots=True)
class FutureInstrument:
    """A future or the perpetual."""

    name: str
    expiry_ms: int
    creation_ms: int
    period: str


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """What trades from 08:00 UTC of `day` on; arrays have one entry per option.

    Attributes
    ----------
    expiry_ms
        The listed expiries, nearest first, shape (e,).
    has_future
        Whether an expiry has its own future; the others are `SYN.` interpolations, shape (e,).
    expiry_row, strike, is_call, names
        Options sorted by expiry, strike, call before put, shape (n,).
    stream
        Number of each instrument's random stream; the same on every board.
    creation_ms
        When the option was listed.
    """

    currency: str
    day: date
    start_ms: int
    expiries: tuple[date, ...]
    expiry_ms: NDArray[np.int64]
    has_future: NDArray[np.bool_]
    expiry_row: NDArray[np.int64]
    strike: NDArray[np.float64]
    is_call: NDArray[np.bool_]
    names: tuple[str, ...]
    stream: NDArray[np.int64]
    creation_ms: NDArray[np.int64]
    futures: tuple[FutureInstrument, ...]
    row_of: dict[str, int]

    @property
    def end_ms(self) -> int:
        """08:00 UTC of the next day, when this board ends."""
        return self.start_ms + 86_400_000

    def open_futures(self, time_ms: int) -> tuple[FutureInstrument, ...]:
        """Return the futures that are listed at a moment of this board."""
        return tuple(future for future in self.futures if future.creation_ms <= time_ms)


def _strike_days(market: Market, expiry: date, day: date) -> dict[float, date]:
    """Return strike → day it was listed, for one expiry on one board."""
    steps = market.specification.strike_steps
    first = listing_day(expiry)
    days = [first + timedelta(days=ahead) for ahead in range((day - first).days + 1)]
    opens = market.index_price([day_start_ms(each) for each in days])
    listed: dict[float, date] = {}
    stages = _STAGES[_FIRST_STAGE[cadence(expiry)] :]
    for each, spot in zip(days, opens.tolist(), strict=True):
        remaining = (expiry - each).days
        for limit, grids in stages:
            if remaining > limit:
                continue
            for step_index, half_width in grids:
                step = steps[step_index]
                low = int(np.ceil(spot * np.exp(-half_width) / step))
                high = int(np.floor(spot * np.exp(half_width) / step))
                for multiple in range(low, high + 1):
                    listed.setdefault(multiple * step, each)
    return dict(sorted(listed.items()))


@lru_cache(maxsize=16)
def _board(market: Market, day: date) -> Board:
    expiries = listed_expiries(day)
    start_ms = day_start_ms(day)
    names: list[str] = []
    expiry_row: list[int] = []
    strikes: list[float] = []
    calls: list[bool] = []
    created: list[int] = []
    futures = [
        FutureInstrument(
            f"{market.currency}-PERPETUAL", PERPETUAL_EXPIRY_MS, _PERPETUAL_CREATION_MS, "perpetual"
        )
    ]
    has_future: list[bool] = []
    for row, expiry in enumerate(expiries):
        label = f"{market.currency}-{expiry_label(expiry)}"
        kind = cadence(expiry)
        # The farther weeklies have no future, so that SYN. names are always on the board.
        owns_future = kind != "week" or (expiry - day).days <= 8
        has_future.append(owns_future)
        if owns_future:
            opened = listing_day(expiry) if kind != "week" else expiry - timedelta(days=8)
            period = kind if kind in {"day", "week"} else "month"
            opens_ms = day_start_ms(opened) + _FUTURE_OPENS_MS
            futures.append(FutureInstrument(label, day_start_ms(expiry), opens_ms, period))
        for strike, listed in _strike_days(market, expiry, day).items():
            for is_call in (True, False):
                names.append(f"{label}-{_strike_text(strike)}-{'C' if is_call else 'P'}")
                expiry_row.append(row)
                strikes.append(strike)
                calls.append(is_call)
                created.append(day_start_ms(listed))
    return Board(
        currency=market.currency,
        day=day,
        start_ms=start_ms,
        expiries=expiries,
        expiry_ms=np.array([day_start_ms(expiry) for expiry in expiries], dtype=np.int64),
        has_future=np.array(has_future),
        expiry_row=np.array(expiry_row, dtype=np.int64),
        strike=np.array(strikes),
        is_call=np.array(calls),
        names=tuple(names),
        stream=np.array([noise.stream_of(name) for name in names], dtype=np.int64),
        creation_ms=np.array(created, dtype=np.int64),
        futures=tuple(futures),
        row_of={name: row for row, name in enumerate(names)},
    )


def _strike_text(strike: float) -> str:
    """Return a strike as names spell it: ``132d5`` is 132.5."""
    return f"{strike:.4f}".rstrip("0").rstrip(".").replace(".", "d")


def board_at(market: Market, time_ms: int) -> Board:
    """Return the board that trades at a moment."""
    return _board(market, board_day(time_ms))


def instrument_rows(market: Market, board: Board, time_ms: int) -> list[dict[str, Any]]:
    """Return the rows of `public/get_instruments` for a board at a moment, options then futures."""
    specification = market.specification
    currency = market.currency
    common = {
        "price_index": specification.index_name,
        "instrument_type": "linear" if market.is_linear else "reversed",
        "settlement_currency": market.settlement,
        "base_currency": market.coin,
        "counter_currency": market.settlement if market.is_linear else "USD",
        "is_active": True,
        "state": "open",
        "rfq": False,
    }
    contract = specification.minimum_amount if market.is_linear else 1.0
    if currency == "BTC":
        contract = 10.0
    rows: list[dict[str, Any]] = []
    for row, name in enumerate(board.names):
        expiry = board.expiries[int(board.expiry_row[row])]
        kind = cadence(expiry)
        rows.append(
            common
            | {
                "kind": "option",
                "instrument_name": name,
                "instrument_id": int(board.stream[row]),
                "option_type": "call" if board.is_call[row] else "put",
                "strike": float(board.strike[row]),
                "settlement_period": kind if kind in {"day", "week"} else "month",
                "quote_currency": market.settlement,
                "tick_size": specification.ladder.fine,
                "tick_size_steps": specification.ladder.rows,
                "contract_size": 1.0,
                "min_trade_amount": specification.minimum_amount,
                "maker_commission": 0.0003,
                "taker_commission": 0.0003,
                "block_trade_commission": 0.0003,
                "block_trade_min_trade_amount": 25 if currency == "BTC" else 250,
                "block_trade_tick_size": specification.ladder.fine,
                "creation_timestamp": int(board.creation_ms[row]),
                "expiration_timestamp": day_start_ms(expiry),
            }
        )
    rows.extend(
        common
        | {
            "kind": "future",
            "instrument_name": future.name,
            "instrument_id": noise.stream_of(future.name),
            "future_type": "linear" if market.is_linear else "reversed",
            "settlement_period": future.period,
            "quote_currency": market.settlement if market.is_linear else "USD",
            "tick_size": specification.future_tick,
            "tick_size_steps": [],
            "contract_size": contract,
            "min_trade_amount": contract,
            "maker_commission": 0.0,
            "taker_commission": 0.0005,
            "max_leverage": 50,
            "max_non_default_leverage": 50,
            "max_liquidation_commission": 0.0075,
            "block_trade_commission": 0.00025,
            "block_trade_min_trade_amount": 200000,
            "block_trade_tick_size": 0.01,
            "creation_timestamp": future.creation_ms,
            "expiration_timestamp": future.expiry_ms,
        }
        for future in board.open_futures(time_ms)
    )
    return rows
