"""A market of known shape, as batches of the streamer and as raw rows in ClickHouse."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl

from vol_platform.quant import black76
from vol_platform.settings import Settings
from vol_platform.store.client import connect, insert_frame

START = datetime(2026, 6, 2, 12, 0, 0, tzinfo=UTC)
FORWARD = 70_000.0

QUOTE_COLUMNS = [
    "instrument_name", "currency", "exchange_ts", "received_ts", "state", "bid_price",
    "bid_amount", "ask_price", "ask_amount", "bid_iv", "ask_iv", "mark_iv", "mark_price",
    "underlying_index", "underlying_price", "index_price", "open_interest",
]  # fmt: skip
FUTURE_COLUMNS = [
    "instrument_name", "currency", "exchange_ts", "received_ts", "contract_type", "bid_price",
    "ask_price", "mark_price", "index_price",
]  # fmt: skip
INDEX_COLUMNS = ["index_name", "exchange_ts", "received_ts", "price"]
SPECIFICATION_COLUMNS = [
    "instrument_name", "currency", "kind", "option_type", "strike", "expiry_ts", "quote_currency",
    "instrument_type", "tick_size", "tick_size_steps", "creation_ts",
]  # fmt: skip


def milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


@dataclass
class Board:
    """Options of one market on a smile ``vol(k) = level + 0.3 k^2``."""

    currency: str = "BTC"
    days: tuple[float, ...] = (3.0, 24.0, 115.0)
    strikes: int = 13
    level: float = 0.4
    start: datetime = START
    _names: dict[str, tuple[datetime, float, bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for days in self.days:
            expiry = self.start.replace(hour=8, minute=0, second=0) + timedelta(days=days)
            years = (expiry - self.start).total_seconds() / 31_536_000
            for k in np.linspace(-2.0, 2.0, self.strikes) * 0.4 * np.sqrt(years):
                strike = float(np.round(FORWARD * np.exp(k), -2))
                for is_call in (True, False):
                    day = f"{expiry.day}{expiry:%b%y}".upper()
                    name = f"{self.currency}-{day}-{strike:.0f}-{'C' if is_call else 'P'}"
                    self._names[name] = expiry, strike, is_call

    @property
    def names(self) -> list[str]:
        return list(self._names)

    def expiry(self, name: str) -> datetime:
        return self._names[name][0]

    def specifications(self) -> list[list[Any]]:
        listed = milliseconds(self.start - timedelta(days=7))
        return [
            [
                name, self.currency, "option", "call" if is_call else "put", strike,
                milliseconds(expiry), "BTC", "reversed", 0.0001, [[0.005, 0.0005]], listed,
            ]
            for name, (expiry, strike, is_call) in self._names.items()
        ]  # fmt: skip

    def quotes(
        self,
        at: datetime,
        names: list[str] | None = None,
        *,
        level: float | None = None,
        lag_milliseconds: int = 5,
    ) -> list[list[Any]]:
        level = self.level if level is None else level
        rows = []
        for name in self.names if names is None else names:
            expiry, strike, is_call = self._names[name]
            years = (expiry - at).total_seconds() / 31_536_000
            vol = level + 0.3 * math.log(strike / FORWARD) ** 2
            bid, mark, ask = (
                float(black76.price_coin(FORWARD, strike, years, v, is_call))
                for v in (vol - 0.005, vol, vol + 0.005)
            )
            exchange = milliseconds(at)
            received = (exchange + lag_milliseconds) * 1_000_000
            rows.append(
                [
                    name, self.currency, exchange, received, "open", bid, 10.0, ask, 10.0,
                    100 * vol - 0.5, 100 * vol + 0.5, 100 * vol, mark, "SYN.X", FORWARD,
                    FORWARD, 100.0,
                ]
            )  # fmt: skip
        return rows

    def perpetual(self, at: datetime) -> list[list[Any]]:
        exchange = milliseconds(at)
        name = f"{self.currency}-PERPETUAL"
        prices = [FORWARD - 1, FORWARD + 1, FORWARD, FORWARD]
        return [[name, self.currency, exchange, exchange * 1_000_000, "perpetual", *prices]]

    def index(self, at: datetime) -> list[list[Any]]:
        exchange = milliseconds(at)
        return [[f"{self.currency.lower()}_usd", exchange, exchange * 1_000_000, FORWARD]]


def payload(columns: list[str], rows: list[list[Any]], sequence: int = 1, **changes: Any) -> bytes:
    """Encode rows as the streamer publishes them (docs/redis.md)."""
    fields = {
        "version": 1,
        "collector": "test",
        "sequence": sequence,
        "published_ns": 0,
        "columns": columns,
        "rows": rows,
    }
    return msgspec.msgpack.encode(fields | changes)


def store(settings: Settings, board: Board, at: datetime, names: list[str] | None = None) -> None:
    """Put the board into the raw tables as the streamer would."""
    with connect(settings) as client:
        quotes = _frame(QUOTE_COLUMNS, board.quotes(at, names))
        prices = [name for name in quotes.columns if quotes[name].dtype == pl.Float64]
        for name in set(prices) - {"underlying_price"}:
            places = {"bid_amount": 4, "ask_amount": 4, "bid_iv": 4, "ask_iv": 4, "mark_iv": 4}
            decimal = pl.Decimal(18, places.get(name, 8))
            quotes = quotes.with_columns(pl.col(name).round(places.get(name, 8)).cast(decimal))
        insert_frame(client, "options_quotes", quotes)
        futures = _frame(FUTURE_COLUMNS, board.perpetual(at))
        for name in ("bid_price", "ask_price", "mark_price", "index_price"):
            futures = futures.with_columns(pl.col(name).cast(pl.Decimal(18, 8)))
        insert_frame(client, "futures_prices", futures)
        index = _frame(INDEX_COLUMNS, board.index(at))
        insert_frame(
            client, "spot_prices", index.with_columns(pl.col("price").cast(pl.Decimal(18, 8)))
        )
        rows = [
            (*row[:5], *(datetime.fromtimestamp(row[5] / 1000, UTC),), *row[6:9],
             [tuple(step) for step in row[9]], datetime.fromtimestamp(row[10] / 1000, UTC), at)
            for row in board.specifications()
        ]  # fmt: skip
        client.insert("options_metadata", rows, column_names=[*SPECIFICATION_COLUMNS, "seen_ts"])


def _frame(columns: list[str], rows: list[list[Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        pl.col("exchange_ts").cast(pl.Datetime("ms", "UTC")),
        (pl.col("received_ts") // 1000).cast(pl.Datetime("us", "UTC")),
        source=pl.lit("stream"),
        collector=pl.lit("test"),
    )
