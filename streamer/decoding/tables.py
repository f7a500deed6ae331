"""The raw tables as the collector writes them: columns, their types and where values come from.

The SQL in ``dbt_like_sql/migrations/0001_raw.sql`` is the contract; `streamer` shares no code with
the rest, so the columns are written down a second time here and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

__all__ = ["TABLES", "Column", "Table"]

Getter = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a wire message fills.

    Attributes
    ----------
    name
        Name in the table.
    type
        One of text, decimal, float, milliseconds, unsigned, flag, levels.
    read
        From the decoded message to the wire's value; None is absent.
    field_path
        Where the value stands in the message's JSON, for numbers with very many digits.
    precision, scale
        Of a decimal.
    zero_is_absent
        The wire writes 0.0 for "there is none".
    nullable
        Absence is NULL; otherwise the type's empty value.
    """

    name: str
    type: str
    read: Getter
    field_path: tuple[str, ...] = ()
    precision: int = 18
    scale: int = 8
    zero_is_absent: bool = False
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table and the columns that come from the wire; provenance columns are added to all."""

    name: str
    columns: tuple[Column, ...]
    has_rounded_fields: bool = True
    column_names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = tuple(column.name for column in self.columns)
        object.__setattr__(self, "column_names", names)


def _path(path: str) -> tuple[tuple[str, ...], Getter]:
    return tuple(path.split(".")), attrgetter(path)


def _text(name: str, path: str | None = None) -> Column:
    field_path, read = _path(path or name)
    return Column(name, "text", read, field_path)


def _decimal(
    name: str,
    path: str | None = None,
    *,
    precision: int = 18,
    scale: int = 8,
    zero_is_absent: bool = False,
    nullable: bool = True,
) -> Column:
    field_path, read = _path(path or name)
    return Column(name, "decimal", read, field_path, precision, scale, zero_is_absent, nullable)


def _percent(name: str, path: str | None = None, *, zero_is_absent: bool = False) -> Column:
    return _decimal(name, path, precision=9, scale=4, zero_is_absent=zero_is_absent)


def _float(name: str, path: str | None = None, *, nullable: bool = True) -> Column:
    field_path, read = _path(path or name)
    return Column(name, "float", read, field_path, nullable=nullable)


def _milliseconds(name: str, path: str, *, nullable: bool = False) -> Column:
    field_path, read = _path(path)
    return Column(name, "milliseconds", read, field_path, nullable=nullable)


def _unsigned(name: str, path: str | None = None, *, nullable: bool = False) -> Column:
    field_path, read = _path(path or name)
    return Column(name, "unsigned", read, field_path, nullable=nullable)


_QUOTE_SIDES = (
    _decimal("bid_price", "best_bid_price", zero_is_absent=True),
    _decimal("bid_amount", "best_bid_amount", scale=4, zero_is_absent=True),
    _decimal("ask_price", "best_ask_price", zero_is_absent=True),
    _decimal("ask_amount", "best_ask_amount", scale=4, zero_is_absent=True),
)


def _delivery_estimate(ticker: Any) -> float | None:
    estimate = ticker.estimated_delivery_price
    return None if isinstance(estimate, str) else estimate


_DAY_STATISTICS = (
    _decimal("volume", "stats.volume"),
    _decimal("volume_usd", "stats.volume_usd", scale=4),
    _decimal("volume_notional", "stats.volume_notional", scale=4),
    _decimal("low_price", "stats.low"),
    _decimal("high_price", "stats.high"),
    _decimal("price_change", "stats.price_change", scale=4),
    _decimal("last_price"),
    _decimal("settlement_price"),
    _decimal("delivery_price"),
    Column(
        "estimated_delivery_price",
        "decimal",
        _delivery_estimate,
        ("estimated_delivery_price",),
        nullable=True,
    ),
    Column("is_expired", "flag", lambda ticker: ticker.estimated_delivery_price == "expired"),
    _decimal("min_price"),
    _decimal("max_price"),
)

_OPTIONS_QUOTES = Table(
    "options_quotes",
    (
        _text("instrument_name"),
        _milliseconds("exchange_ts", "timestamp"),
        _text("state"),
        *_QUOTE_SIDES,
        _percent("bid_iv", zero_is_absent=True),
        _percent("ask_iv", zero_is_absent=True),
        _percent("mark_iv"),
        _decimal("mark_price"),
        _text("underlying_index"),
        _float("underlying_price"),
        _decimal("index_price"),
        _decimal("interest_rate"),
        *(
            _decimal(greek, f"greeks.{greek}", scale=5)
            for greek in ("delta", "gamma", "vega", "theta", "rho")
        ),
        _decimal("open_interest"),
        *_DAY_STATISTICS,
    ),
)

_FUTURES_PRICES = Table(
    "futures_prices",
    (
        _text("instrument_name"),
        _milliseconds("exchange_ts", "timestamp"),
        _text("state"),
        *_QUOTE_SIDES,
        _decimal("mark_price"),
        _decimal("index_price"),
        _float("funding_8h"),
        _float("current_funding"),
        _float("interest_value"),
        _decimal("open_interest"),
        *_DAY_STATISTICS,
    ),
)

_SPOT_PRICES = Table(
    "spot_prices",
    (
        _text("index_name"),
        _milliseconds("exchange_ts", "timestamp"),
        _decimal("price", nullable=False),
    ),
)

_MARK_PRICES = Table(
    "mark_prices",
    (
        _text("instrument_name"),
        _milliseconds("exchange_ts", "timestamp"),
        _decimal("mark_price"),
        _decimal("mark_vol", "iv"),
    ),
)

_PERPETUAL_INTEREST = Table(
    "perpetual_interest",
    (
        _text("instrument_name"),
        _milliseconds("exchange_ts", "timestamp"),
        _decimal("index_price"),
        _float("interest"),
    ),
)

_VOLATILITY_INDEX = Table(
    "volatility_index",
    (
        _text("index_name"),
        _milliseconds("exchange_ts", "timestamp"),
        _decimal("volatility", precision=9, scale=4, nullable=False),
    ),
)


def _combo_trade_id(trade: Any) -> str:
    return "" if trade.combo_trade_id is None else str(trade.combo_trade_id)


_TRADES = Table(
    "trades",
    (
        _text("instrument_name"),
        _milliseconds("exchange_ts", "timestamp"),
        _text("trade_id"),
        _unsigned("trade_seq"),
        _decimal("price", nullable=False),
        _decimal("amount", nullable=False),
        _decimal("contracts"),
        _text("direction"),
        _unsigned("tick_direction"),
        _percent("iv"),
        _decimal("mark_price"),
        _decimal("index_price"),
        _text("liquidation"),
        _text("block_trade_id"),
        _unsigned("block_trade_leg_count"),
        _unsigned("block_rfq_id", nullable=True),
        _text("combo_id"),
        Column("combo_trade_id", "text", _combo_trade_id),
    ),
)

_ORDER_BOOKS = Table(
    "order_books",
    (
        _text("instrument_name"),
        _milliseconds("exchange_ts", "timestamp"),
        _text("kind"),
        _unsigned("change_id"),
        _unsigned("prev_change_id", nullable=True),
        Column("bids", "levels", attrgetter("bids"), ("bids",)),
        Column("asks", "levels", attrgetter("asks"), ("asks",)),
    ),
)

_OPTIONS_METADATA = Table(
    "options_metadata",
    (
        _text("instrument_name"),
        _text("kind"),
        _unsigned("instrument_id"),
        _text("option_type"),
        _decimal("strike"),
        _milliseconds("expiry_ts", "expiration_timestamp", nullable=True),
        _text("base_currency"),
        _text("quote_currency"),
        _text("counter_currency"),
        _text("settlement_currency"),
        _text("settlement_period"),
        _text("instrument_type"),
        _text("price_index"),
        _decimal("contract_size", nullable=False),
        _decimal("min_trade_amount", nullable=False),
        _decimal("tick_size", nullable=False),
        Column("tick_size_steps", "steps", attrgetter("tick_size_steps"), ("tick_size_steps",)),
        _float("maker_commission", nullable=False),
        _float("taker_commission", nullable=False),
        _milliseconds("creation_ts", "creation_timestamp", nullable=True),
        _text("state"),
        Column("is_active", "flag", attrgetter("is_active"), ("is_active",)),
    ),
    has_rounded_fields=False,
)


def _candle(unit: str, precision: int, scale: int) -> tuple[Column, ...]:
    return tuple(
        _decimal(f"{which}_{unit}", which, precision=precision, scale=scale, nullable=False)
        for which in ("open", "high", "low", "close")
    )


_CANDLES = Table(
    "candles",
    (
        _text("instrument_name"),
        _unsigned("resolution_seconds"),
        _milliseconds("exchange_ts", "timestamp"),
        *_candle("price", 18, 8),
        _decimal("volume"),
        _decimal("cost", scale=4),
    ),
)

_VOLATILITY_INDEX_CANDLES = Table(
    "volatility_index_candles",
    (
        _text("index_name"),
        _unsigned("resolution_seconds"),
        _milliseconds("exchange_ts", "timestamp"),
        *_candle("volatility", 9, 4),
    ),
)

_FUNDING_RATES = Table(
    "funding_rates",
    (
        _text("instrument_name"),
        _milliseconds("exchange_ts", "timestamp"),
        _decimal("index_price"),
        _decimal("previous_index_price", "prev_index_price"),
        _float("interest_8h"),
        _float("interest_1h"),
    ),
)

_DELIVERY_PRICES = Table(
    "delivery_prices",
    (
        _text("index_name"),
        _milliseconds("exchange_ts", "timestamp"),
        _decimal("delivery_price", nullable=False),
    ),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        _OPTIONS_QUOTES,
        _FUTURES_PRICES,
        _SPOT_PRICES,
        _VOLATILITY_INDEX,
        _MARK_PRICES,
        _PERPETUAL_INTEREST,
        _TRADES,
        _ORDER_BOOKS,
        _OPTIONS_METADATA,
        _CANDLES,
        _VOLATILITY_INDEX_CANDLES,
        _FUNDING_RATES,
        _DELIVERY_PRICES,
    )
}
"""Every table that the exchange's messages and answers fill, by name."""
