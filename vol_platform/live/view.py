"""The live view: follow the batches, recompute what changed, publish, and never fall behind.

One loop in one thread.  Each turn takes *everything* that has arrived and computes from the newest
state, so a slow turn makes the next one larger, never later: updates are skipped, not queued.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from datetime import datetime
from typing import Any

import numpy as np
import structlog

from vol_platform.clock import Clock, monotonic_seconds, utc_now
from vol_platform.live.batches import Batch, BatchFeed
from vol_platform.live.blocks import live_blocks, surface_metrics
from vol_platform.live.engine import Computation, Engine
from vol_platform.live.lag import LagWindow
from vol_platform.live.market import Applied, Market
from vol_platform.live.publisher import RedisPublisher
from vol_platform.live.store_worker import StoreWorker
from vol_platform.live.warm_state import WarmState
from vol_platform.settings import Settings

__all__ = ["LiveView"]

_STATUS_SECONDS = 1.0
_RELOAD_SECONDS = 1.0
"""Time between two readings of the state from ClickHouse while Redis is away."""
_UNKNOWN_SECONDS = 10.0
"""Time between two readings while a specification is not known."""
_SECOND_LOOK_SECONDS = 5.0
"""What a batch that we missed held may reach ClickHouse after we first looked there."""
_FORGET_SECONDS = 600.0
_DAY_MILLISECONDS = 86_400_000
_STALE_AFTER_SECONDS = 60.0

_log = structlog.get_logger(__name__)


class _Side:
    """What the view keeps about one market beside its quotes."""

    def __init__(self, currency: str) -> None:
        self.market = Market(currency)
        self.lag = LagWindow()
        self.pending: list[Applied] = []
        self.changed = False
        self.computation: Computation | None = None
        self.computed_ts: datetime | None = None
        self.written: Computation | None = None
        self.seconds: deque[float] = deque(maxlen=600)
        self.failures = 0
        self.last_error = ""
        self.from_the_future = 0


class LiveView:
    """The whole of it; `run` returns when asked to stop."""

    def __init__(self, settings: Settings, *, clock: Clock = utc_now) -> None:
        database = settings.clickhouse.database
        self._settings = settings
        self._clock = clock
        self._engine = Engine(settings.quotes)
        self._feed = BatchFeed(settings.redis.url, database)
        self._publisher = RedisPublisher(settings.redis.url, database)
        self._store = StoreWorker(settings, 2.0 * settings.quotes.max_quote_age_seconds)
        self._sides: dict[str, _Side] = {}
        self._started_ts = clock()
        self._blocks = 0
        self._next: dict[str, float] = {}
        self._second_look = math.inf

    def run(self, stop: threading.Event) -> None:
        """Turn until `stop` is set, then write the last state and leave."""
        pause = self._settings.live.loop_milliseconds / 1000.0
        self._store.ask_for_state()
        began = monotonic_seconds()
        while not stop.is_set():
            self.turn(max(began + pause - monotonic_seconds(), 0.0))
            began = monotonic_seconds()
        self.close()

    def turn(self, seconds: float) -> None:
        """Collect batches for so long, then compute and publish what changed."""
        for batch in self._feed.drain(seconds):
            try:
                self._apply_batch(batch)
            except (LookupError, TypeError, ValueError) as error:
                self._feed.unreadable_batches += 1
                _log.warning("a batch was left out", table=batch.table, error=str(error))
        state = self._store.take_state()
        if state is not None:
            self._apply_state(state)
        self._resync_if_needed()
        for side in self._sides.values():
            if side.changed:
                self._compute(side)
        if self._due("status", _STATUS_SECONDS):
            self._publish_status()
        if self._due("blocks", self._settings.live.store_interval_seconds):
            self._write_blocks()
        if self._due("forget", _FORGET_SECONDS):
            for side in self._sides.values():
                newest = side.market.newest_exchange_milliseconds
                side.market.forget_expired(newest - _DAY_MILLISECONDS)

    def close(self) -> None:
        """Write what is newest and let go of everything."""
        self._write_blocks()
        if not self._store.close(10.0):
            _log.warning("ClickHouse did not take the last block in 10 s; it is left out")
        self._feed.close()
        self._publisher.close()

    # -- what comes in ------------------------------------------------------------------------

    def _apply_batch(self, batch: Batch) -> None:
        if batch.table == "spot_prices":
            self._apply_index(batch.columns, batch.rows)
            return
        place = batch.columns.index("currency")
        by_currency: dict[str, list[Any]] = {}
        for row in batch.rows:
            by_currency.setdefault(row[place], []).append(row)
        for currency, rows in by_currency.items():
            self._apply_rows(batch.table, currency, batch.columns, rows, count_lag=True)

    def _apply_state(self, state: WarmState) -> None:
        """Take over what ClickHouse knows; rows that are already known change nothing."""
        for table, (columns, rows) in (
            ("options_metadata", state.specifications),
            ("futures_prices", state.futures),
            ("options_quotes", state.options),
        ):
            if not rows:
                continue  # an empty result comes without its columns
            place = columns.index("currency")
            by_currency: dict[str, list[Any]] = {}
            for row in rows:
                by_currency.setdefault(row[place], []).append(row)
            for currency, own in by_currency.items():
                # While Redis is there, what ClickHouse adds was missed: old news, not lag.
                count_lag = not self._feed.connected
                self._apply_rows(table, currency, list(columns), own, count_lag=count_lag)
        if state.index[1]:
            self._apply_index(list(state.index[0]), state.index[1])

    def _apply_rows(
        self, table: str, currency: str, columns: list[str], rows: Any, *, count_lag: bool
    ) -> None:
        side = self._sides.setdefault(currency, _Side(currency))
        if table == "options_quotes":
            applied = side.market.apply_quotes(columns, rows)
            side.from_the_future += applied.from_the_future
            if applied.exchange_milliseconds:
                side.changed = True
                if count_lag:
                    side.pending.append(applied)
        elif table == "futures_prices":
            side.market.apply_futures(columns, rows)
        elif table == "options_metadata":
            named = [dict(zip(columns, row, strict=True)) for row in rows]
            side.changed |= side.market.apply_specifications(named)

    def _apply_index(self, columns: list[str], rows: Any) -> None:
        name_at, at, price_at = (
            columns.index(name) for name in ("index_name", "exchange_ts", "price")
        )
        for row in rows:
            # btc_usd prices the market BTC, btc_usdc the market BTC_USDC.
            currency = row[name_at].upper().removesuffix("_USD")
            side = self._sides.get(currency)
            if side is not None:
                side.market.apply_index(row[at], row[price_at])

    def _resync_if_needed(self) -> None:
        now = monotonic_seconds()
        wanted = self._feed.must_resync or now >= self._second_look
        if not self._feed.connected:
            wanted |= self._due("reload", _RELOAD_SECONDS)
        elif self._due("unknown", _UNKNOWN_SECONDS):
            wanted |= any(side.market.without_specification for side in self._sides.values())
        if wanted and self._store.ask_for_state():
            self._second_look = now + _SECOND_LOOK_SECONDS if self._feed.must_resync else math.inf
            self._feed.must_resync = False

    # -- what goes out ------------------------------------------------------------------------

    def _compute(self, side: _Side) -> None:
        side.changed = False
        try:
            computation = self._engine.compute(side.market)
        except Exception as error:  # noqa: BLE001 - one market's trouble must not stop the others
            side.failures += 1
            side.last_error = f"{type(error).__name__}: {error}"
            if self._due(f"complain {side.market.currency}", 60.0):
                _log.exception("a market could not be computed", currency=side.market.currency)
            side.pending.clear()
            return
        computed_ts = self._clock()
        side.computation, side.computed_ts = computation, computed_ts
        side.last_error = ""
        side.seconds.append(computation.seconds)
        self._publisher.publish(computation, computed_ts)
        published = self._clock().timestamp()
        for applied in side.pending:
            side.lag.add(published, applied.exchange_milliseconds, applied.received_nanoseconds)
        side.pending.clear()

    def _publish_status(self) -> None:
        for currency, side in self._sides.items():
            self._publisher.publish_status(currency, self.status(currency, side))

    def status(self, currency: str, side: _Side) -> dict[str, Any]:
        """Return the market's status, as written to Redis."""
        now = self._clock()
        newest = side.market.newest_exchange_milliseconds
        age = now.timestamp() - newest / 1000.0 if newest else None
        lag = side.lag.summary(now.timestamp())
        state = "starting"
        if side.computation is not None:
            state = "live" if age is not None and age <= _STALE_AFTER_SECONDS else "stale"
        if side.last_error:
            state = "failing"
        statuses: list[str] = (
            side.computation.frames["surfaces"]["status"].to_list() if side.computation else []
        )
        return {
            "currency": currency,
            "state": state,
            "started_ts": self._started_ts,
            "status_ts": now,
            "snapshot_ts": side.computation.snapshot_ts if side.computation else None,
            "computed_ts": side.computed_ts,
            "age_seconds": age,
            "source": "redis" if self._feed.connected else "clickhouse",
            "options": side.market.options,
            "options_without_specification": side.market.without_specification,
            "rows_from_the_future": side.from_the_future,
            "expiries": {
                name: statuses.count(name) for name in ("ok", "repaired", "thin", "refused")
            },
            "lag": {
                "window_seconds": 60,
                "updates": lag.updates,
                "from_exchange_p50_seconds": lag.from_exchange_p50,
                "from_exchange_p99_seconds": lag.from_exchange_p99,
                "from_received_p50_seconds": lag.from_received_p50,
                "from_received_p99_seconds": lag.from_received_p99,
            },
            "compute_seconds": _quantiles(side.seconds),
            "failures": side.failures,
            "last_error": side.last_error,
            "redis": {
                "connected": self._feed.connected and self._publisher.connected,
                "missed_batches": self._feed.missed_batches,
                "unreadable_batches": self._feed.unreadable_batches,
            },
            "clickhouse": {
                "connected": self._store.connected,
                "last_error": self._store.last_error,
                "written_blocks": self._store.written_blocks,
                "skipped_blocks": self._store.skipped_blocks,
            },
        }

    def _write_blocks(self) -> None:
        sides = [side for side in self._sides.values() if side.computation is not None]
        if not sides:
            return
        now = self._clock()
        computations = [side.computation for side in sides if side.computation is not None]
        metrics = {side.market.currency: self._metrics(side, now) for side in sides}
        old = {side.market.currency for side in sides if side.computation is side.written}
        self._blocks += 1
        token = f"live-{self._started_ts.isoformat()}-{self._blocks}"
        if self._store.write(live_blocks(now, computations, metrics, old), token):
            for side in sides:
                side.written = side.computation

    def _metrics(self, side: _Side, now: datetime) -> dict[str, float]:
        lag = side.lag.summary(now.timestamp())
        compute = _quantiles(side.seconds)
        values: dict[str, float | None] = {
            "lag_from_exchange_p50_seconds": lag.from_exchange_p50,
            "lag_from_exchange_p99_seconds": lag.from_exchange_p99,
            "lag_from_received_p50_seconds": lag.from_received_p50,
            "lag_from_received_p99_seconds": lag.from_received_p99,
            "compute_p50_seconds": compute["p50"],
            "compute_p99_seconds": compute["p99"],
            "redis_connected": float(self._feed.connected and self._publisher.connected),
            "missed_batches": float(self._feed.missed_batches),
            "options": float(side.market.options),
        }
        known = {name: value for name, value in values.items() if value is not None}
        assert side.computation is not None  # noqa: S101 - only sides with one come here
        return surface_metrics(side.computation) | known

    def _due(self, what: str, seconds: float) -> bool:
        """Whether `what` was last done at least so long ago; it counts as done then."""
        now = monotonic_seconds()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + seconds
        return True


def _quantiles(seconds: deque[float]) -> dict[str, float | None]:
    if not seconds:
        return {"p50": None, "p99": None, "last": None}
    p50, p99 = np.quantile(seconds, (0.5, 0.99))
    return {"p50": float(p50), "p99": float(p99), "last": seconds[-1]}
