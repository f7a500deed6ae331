"""What the collector's tests share: a clock that they set, frames, and settings on a real store."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from streamer.clock import Clock
from streamer.settings import ClickHouseSettings, StreamerSettings
from vol_platform.settings import Settings

RECEIVED_NS = 1_795_000_000_000_000_000
RECEIVED_MS = RECEIVED_NS // 1_000_000
PERPETUAL = "BTC-PERPETUAL"


class ManualClock:
    """A clock that moves when a test says so."""

    def __init__(self, wall_ns: int = RECEIVED_NS) -> None:
        self.now_ns = wall_ns
        self.seconds = 1000.0

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        return Clock(wall_ns=lambda: self.now_ns, monotonic=lambda: self.seconds)


def frame(channel: str, data: Any) -> bytes:
    """Return a notification."""
    params = {"channel": channel, "data": data}
    return msgspec.json.encode({"jsonrpc": "2.0", "method": "subscription", "params": params})


def option_ticker(name: str = "BTC-25DEC26-100000-C", **changes: Any) -> dict[str, Any]:
    """Return the data of an option ticker with today's field set."""
    ticker: dict[str, Any] = {
        "instrument_name": name,
        "timestamp": RECEIVED_MS - 40,
        "state": "open",
        "best_bid_price": 0.0521,
        "best_bid_amount": 12.5,
        "best_ask_price": 0.0535,
        "best_ask_amount": 3.1,
        "bid_iv": 44.12,
        "ask_iv": 45.3,
        "mark_iv": 44.71,
        "mark_price": 0.05284217,
        "underlying_index": "BTC-25DEC26",
        "underlying_price": 91234.56,
        "index_price": 90990.12,
        "interest_rate": 0.0,
        "greeks": {"delta": 0.4, "gamma": 1e-5, "vega": 120.5, "theta": -30.25, "rho": 60.1},
        "open_interest": 1250.3,
        "stats": {"volume": 10.1, "volume_usd": 5.5, "low": 0.05, "high": 0.06, "price_change": -1},
        "last_price": 0.0525,
        "settlement_price": 0.0511,
        "estimated_delivery_price": 90990.12,
        "min_price": 0.02,
        "max_price": 0.11,
    }
    ticker.update(changes)
    return ticker


def ticker_frame(name: str = "BTC-25DEC26-100000-C", **changes: Any) -> bytes:
    """Return an option ticker as a frame."""
    return frame(f"ticker.{name}.100ms", option_ticker(name, **changes))


def index_data(**changes: Any) -> dict[str, Any]:
    """Return the data of an index."""
    return {"index_name": "btc_usd", "timestamp": RECEIVED_MS, "price": 91000.5} | changes


def book_data(**changes: Any) -> dict[str, Any]:
    """Return the data of a change of a book."""
    book = {
        "type": "change",
        "timestamp": RECEIVED_MS,
        "instrument_name": PERPETUAL,
        "change_id": 12,
        "prev_change_id": 11,
        "bids": [["new", 42500.5, 10.0]],
        "asks": [["delete", 42501.0, 0.0]],
    }
    return book | changes


def trade_data(**changes: Any) -> dict[str, Any]:
    """Return a trade of an option."""
    trade = {
        "trade_seq": 7,
        "trade_id": "ETH-284830839",
        "timestamp": RECEIVED_MS,
        "tick_direction": 1,
        "price": 0.05,
        "instrument_name": "ETH-25DEC26-3000-C",
        "direction": "buy",
        "amount": 2,
    }
    return trade | changes


def streamer_settings(database: Settings, directory: Path, **changes: Any) -> StreamerSettings:
    """Return the collector's settings for a test database."""
    where = database.clickhouse
    clickhouse = ClickHouseSettings(host=where.host, port=where.port, database=where.database)
    defaults: dict[str, Any] = {
        "clickhouse": clickhouse,
        "spool_directory": directory,
        "collector": "tested",
        "spool": {"roll_seconds": 0.2, "disk_floor_bytes": 0},
        "drain_seconds": 60.0,
        "backoff_seconds": 0.1,
        "backoff_limit_seconds": 0.5,
    }
    return StreamerSettings(**(defaults | changes))


def poll(condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
