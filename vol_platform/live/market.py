"""The newest state of one market: every option's quote in arrays, futures and index beside them.

The hot path writes numbers into arrays; polars frames are made once per computation, in the shape
that the derivations take (`vol_platform.derivations.contracts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vol_platform.derivations.contracts import (
    CHAIN_COLUMNS,
    FUTURES_COLUMNS,
    INDEX_COLUMNS,
    INSTANT,
)
from vol_platform.derivations.raw import INSTRUMENT_COLUMNS, complete_index

__all__ = ["FUTURE_TOLERANCE_MILLISECONDS", "Applied", "Market"]

FUTURE_TOLERANCE_MILLISECONDS = 60_000
"""A row stamped further ahead of its receipt is not believed: one wrong stamp ages all others."""

_NUMBERS = (
    "bid_price",
    "bid_amount",
    "ask_price",
    "ask_amount",
    "mark_price",
    "bid_iv",
    "ask_iv",
    "mark_iv",
    "underlying_price",
    "index_price",
    "open_interest",
)
_PERCENT = frozenset({"bid_iv", "ask_iv", "mark_iv"})
_TEXTS = {"state": "", "underlying_index": "", "source": "stream"}
"""Text columns, and what to take where a batch does not carry the column."""

_MILLISECONDS = pl.Datetime("ms", "UTC")

Row = Mapping[str, Any]


class Applied:
    """What a batch of option rows changed.

    Attributes
    ----------
    exchange_milliseconds, received_nanoseconds
        Stamps of the rows that were newer than what was known.
    expiries
        Expiries (ms since 1970) that they belong to; 0 stands for options without specification.
    from_the_future
        Rows not believed.
    """

    def __init__(self) -> None:
        self.exchange_milliseconds: list[int] = []
        self.received_nanoseconds: list[int] = []
        self.expiries: set[int] = set()
        self.from_the_future = 0


@dataclass(frozen=True, slots=True)
class _Static:
    """Rows of the chain by name: slot of each (-1: no quote yet), times in ms (NaN: unknown)."""

    size: int
    slots: NDArray[np.int64]
    creation: NDArray[np.float64]
    expiry: NDArray[np.float64]
    frame: pl.DataFrame


class Market:
    """Quotes, specifications, futures and index of one market (``BTC``, ``ETH``, ``BTC_USDC``)."""

    def __init__(self, currency: str) -> None:
        self.currency = currency
        self.newest_exchange_milliseconds = 0
        self._slots: dict[str, int] = {}
        self._numbers = np.full((256, len(_NUMBERS)), np.nan)
        self._exchange = np.zeros(256, dtype=np.int64)
        self._received = np.zeros(256, dtype=np.int64)
        self._texts: list[tuple[str, ...]] = []
        self._specifications: dict[str, dict[str, Any]] = {}
        self._expiries: dict[str, int] = {}
        self._static: _Static | None = None
        self._futures: dict[str, tuple[int, dict[str, Any]]] = {}
        self._future_expiries: dict[str, int] = {}
        self._index: tuple[int, float] | None = None

    # -- what comes in ------------------------------------------------------------------------

    def apply_quotes(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Applied:
        """Take over the rows of a batch of `options_quotes` that are newer than what is known.

        Newer is by exchange time, then by receive time, as in `options_quotes_latest`.  The rows
        may be of any market; those of others are the caller's mistake.
        """
        at = {name: number for number, name in enumerate(columns)}
        number_at = [(column, at[name]) for column, name in enumerate(_NUMBERS) if name in at]
        name_at, exchange_at, received_at = (
            at["instrument_name"],
            at["exchange_ts"],
            at["received_ts"],
        )
        text_at = [(at.get(name), absent) for name, absent in _TEXTS.items()]
        applied = Applied()
        for row in rows:
            exchange, received = int(row[exchange_at]), int(row[received_at])
            if exchange > received // 1_000_000 + FUTURE_TOLERANCE_MILLISECONDS:
                applied.from_the_future += 1
                continue
            name = row[name_at]
            slot = self._slots.get(name)
            if slot is None:
                slot = self._new_slot(name)
            elif (exchange, received) <= (self._exchange[slot], self._received[slot]):
                continue
            numbers = self._numbers[slot]
            for column, position in number_at:
                value = row[position]
                numbers[column] = np.nan if value is None else value
            self._exchange[slot], self._received[slot] = exchange, received
            self._texts[slot] = tuple(
                absent if place is None else row[place] or "" for place, absent in text_at
            )
            applied.exchange_milliseconds.append(exchange)
            applied.received_nanoseconds.append(received)
            applied.expiries.add(self._expiries.get(name, 0))
            self.newest_exchange_milliseconds = max(self.newest_exchange_milliseconds, exchange)
        return applied

    def apply_specifications(self, specifications: Iterable[Row]) -> bool:
        """Take over specifications of options and futures; True when one is new or changed.

        Rows have the columns of `options_metadata`; ``expiry_ts`` in ms since 1970 or None,
        ``tick_size_steps`` as pairs (above_price, tick_size).
        """
        changed = False
        for row in specifications:
            name, expiry = row["instrument_name"], row["expiry_ts"]
            if row["kind"] == "future" and expiry is not None:
                self._future_expiries[name] = int(expiry)
            if row["kind"] != "option":
                continue
            steps = row["tick_size_steps"] or []
            specification = {
                "currency": self.currency,
                "instrument_name": name,
                "creation_ts": row["creation_ts"],
                "expiry_ts": expiry,
                "strike": _number(row["strike"]),
                "is_call": row["option_type"] == "call",
                "is_inverse": row["instrument_type"] == "reversed",
                "premium_currency": row["quote_currency"],
                "tick_size": _number(row["tick_size"]),
                "tick_step_above": [float(step[0]) for step in steps],
                "tick_step_size": [float(step[1]) for step in steps],
            }
            if self._specifications.get(name) != specification:
                self._specifications[name] = specification
                self._expiries[name] = int(expiry)
                self._static = None
                changed = True
        return changed

    def apply_futures(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Take over the newer rows of a batch of `futures_prices`."""
        at = {name: number for number, name in enumerate(columns)}
        for row in rows:
            name, exchange = row[at["instrument_name"]], int(row[at["exchange_ts"]])
            known = self._futures.get(name)
            if known is None or exchange >= known[0]:
                prices = ("bid_price", "ask_price", "mark_price", "index_price")
                values = {price: _number(row[at[price]]) for price in prices}
                self._futures[name] = (
                    exchange,
                    {
                        "instrument_name": name,
                        "is_perpetual": row[at["contract_type"]] == "perpetual",
                        **values,
                    },
                )

    def apply_index(self, exchange_milliseconds: int, price: float) -> None:
        """Take over an index price, USD, if it is not older than the known one."""
        if self._index is None or exchange_milliseconds >= self._index[0]:
            self._index = exchange_milliseconds, float(price)

    # -- what goes out ------------------------------------------------------------------------

    @property
    def options(self) -> int:
        """Number of options with a quote."""
        return len(self._slots)

    @property
    def without_specification(self) -> int:
        """Options that are quoted but whose specification is not known (yet)."""
        return sum(name not in self._specifications for name in self._slots)

    def frames(self, max_quote_age_seconds: float) -> dict[str, pl.DataFrame]:
        """Return the raw frames ``chain``, ``futures``, ``index`` at the newest exchange time.

        That time is the snapshot: it moves with the data, so a replay of an old hour works as the
        present does.  Quotes of that age or older are left out, as in the record.
        """
        snapshot = self.newest_exchange_milliseconds
        oldest = snapshot - 1000.0 * max_quote_age_seconds
        chain = self._chain_frame(snapshot, oldest)
        index = self._index_frame(snapshot, oldest)
        return {
            "chain": chain,
            "futures": self._futures_frame(snapshot, oldest),
            "index": complete_index(index, chain),
        }

    def forget_expired(self, before_milliseconds: int) -> list[str]:
        """Drop options and futures that expired before an instant; return the options' names."""
        gone = [name for name, expiry in self._expiries.items() if expiry < before_milliseconds]
        if gone:
            dropped = set(gone)
            kept = [(name, slot) for name, slot in self._slots.items() if name not in dropped]
            order = np.array([slot for _, slot in kept], dtype=np.int64)
            self._numbers = self._numbers[order]
            self._exchange, self._received = self._exchange[order], self._received[order]
            self._texts = [self._texts[slot] for slot in order]
            self._slots = {name: number for number, (name, _) in enumerate(kept)}
            for name in gone:
                del self._specifications[name], self._expiries[name]
            self._static = None
        for name, expiry in list(self._future_expiries.items()):
            if expiry < before_milliseconds:
                del self._future_expiries[name]
                self._futures.pop(name, None)
        return gone

    def _new_slot(self, name: str) -> int:
        slot = len(self._slots)
        if slot == self._exchange.size:
            more = max(slot, 256)
            self._numbers = np.vstack([self._numbers, np.full((more, len(_NUMBERS)), np.nan)])
            self._exchange = np.concatenate([self._exchange, np.zeros(more, dtype=np.int64)])
            self._received = np.concatenate([self._received, np.zeros(more, dtype=np.int64)])
        self._slots[name] = slot
        self._texts.append(tuple(_TEXTS.values()))
        return slot

    def _chain_frame(self, snapshot: int, oldest: float) -> pl.DataFrame:
        """Return what `assemble_chain` would, without its joins (a test holds the two together)."""
        static = self._static_columns()
        slots = static.slots
        young = (slots >= 0) & (self._exchange[slots] > oldest)
        listed = (static.creation <= snapshot) & (static.expiry > snapshot)
        kept = np.flatnonzero(young | listed)
        slots, young = slots[kept], young[kept]
        numbers = np.where(young[:, None], self._numbers[slots], np.nan)
        exchange = pl.Series(np.where(young, self._exchange[slots], np.nan), nan_to_null=True)
        data: dict[str, Any] = {"exchange_ts": exchange, "age_seconds": (snapshot - exchange) / 1e3}
        for column, name in enumerate(_NUMBERS):
            values = numbers[:, column]
            data[name] = pl.Series(values / 100.0 if name in _PERCENT else values, nan_to_null=True)
        texts = [
            self._texts[slot] if is_young else None
            for slot, is_young in zip(slots, young, strict=True)
        ]
        for column, name in enumerate(_TEXTS):
            own = [None if text is None else text[column] for text in texts]
            data[name] = pl.Series(own, dtype=pl.String)
        quotes = pl.DataFrame(data).with_columns(
            pl.col("exchange_ts").cast(pl.Int64).cast(_MILLISECONDS).cast(INSTANT),
            snapshot_ts=pl.lit(snapshot).cast(_MILLISECONDS).cast(INSTANT),
        )
        return pl.concat([static.frame[kept], quotes], how="horizontal")[list(CHAIN_COLUMNS)]

    def _static_columns(self) -> _Static:
        """Everything of the chain that quotes do not change, made anew when an option appears."""
        known = self._static
        if known is None or known.size != len(self._slots):
            names = sorted(self._slots.keys() | self._specifications.keys())
            absent: dict[str, Any] = dict.fromkeys(INSTRUMENT_COLUMNS)
            rows = [
                self._specifications.get(name)
                or {**absent, "currency": self.currency, "instrument_name": name}
                for name in names
            ]
            frame = _frame(rows, INSTRUMENT_COLUMNS)
            self._static = known = _Static(
                size=len(self._slots),
                slots=np.array([self._slots.get(name, -1) for name in names], dtype=np.int64),
                creation=np.array([_or_nan(row["creation_ts"]) for row in rows]),
                expiry=np.array([_or_nan(row["expiry_ts"]) for row in rows]),
                frame=frame.drop("creation_ts"),
            )
        return known

    def _futures_frame(self, snapshot: int, oldest: float) -> pl.DataFrame:
        rows = []
        for name, (exchange, values) in self._futures.items():
            expiry = self._future_expiries.get(name)
            # A dated future whose delivery is not known must not pass for a perpetual.
            if exchange > oldest and (values["is_perpetual"] or expiry is not None):
                rows.append(
                    {
                        **values,
                        "snapshot_ts": snapshot,
                        "currency": self.currency,
                        "expiry_ts": None if values["is_perpetual"] else expiry,
                        "exchange_ts": exchange,
                        "age_seconds": (snapshot - exchange) / 1000.0,
                    }
                )
        return _frame(rows, FUTURES_COLUMNS)

    def _index_frame(self, snapshot: int, oldest: float) -> pl.DataFrame:
        rows = []
        if self._index is not None and self._index[0] > oldest:
            price = self._index[1]
            rows.append({"snapshot_ts": snapshot, "currency": self.currency, "price": price})
        return _frame(rows, INDEX_COLUMNS)


def _or_nan(value: int | None) -> float:
    return np.nan if value is None else float(value)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _frame(rows: list[dict[str, Any]], columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Rows with instants as milliseconds to a frame of the contract's columns."""
    plain = {name: pl.Int64() if kind == INSTANT else kind for name, kind in columns.items()}
    frame = pl.DataFrame(rows, schema=plain, orient="row")
    instants = [name for name, kind in columns.items() if kind == INSTANT]
    return frame.with_columns(pl.col(instants).cast(_MILLISECONDS).cast(INSTANT))
