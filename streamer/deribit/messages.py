"""The messages of the wire as typed structures.

A field that is missing on the wire is None here.  Numbers are doubles; whether a double holds all
digits of the wire is decided in `streamer.decoding.decimals`.  The structures with
``forbid_unknown_fields`` are tried first, so that a field nobody knows is noticed;
`streamer.decoding.decode` then reads the message without it and counts the name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

__all__ = [
    "Book",
    "BookSummary",
    "Envelope",
    "Greeks",
    "GroupedBook",
    "Index",
    "Instrument",
    "Interest",
    "MarkPrice",
    "Params",
    "Quote",
    "ReplyError",
    "RestAnswer",
    "Stats",
    "TickSizeStep",
    "Ticker",
    "Trade",
    "TradesPage",
    "Volatility",
    "permissive",
]

_NOTHING = Raw()

Milliseconds = Annotated[int, Meta(ge=0, le=2**53)]
Counter = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Params(Struct, gc=False):
    """The ``params`` of a notification: a channel's data, or the type of a heartbeat."""

    channel: str | None = None
    data: Raw = _NOTHING
    type: str | None = None


class ReplyError(Struct, gc=False):
    """The ``error`` of a reply; ``data`` may be absent, null or anything."""

    code: int = 0
    message: str = ""
    data: Any = None


class Envelope(Struct, gc=False):
    """The JSON-RPC frame around everything."""

    method: str | None = None
    params: Params | None = None
    id: int | str | None = None
    result: Raw = _NOTHING
    error: ReplyError | None = None
    us_in: int | None = msgspec.field(name="usIn", default=None)
    us_out: int | None = msgspec.field(name="usOut", default=None)
    testnet: bool | None = None


class RestAnswer(Struct, gc=False):
    """The body of a REST answer."""

    result: Raw = _NOTHING
    error: ReplyError | None = None
    us_in: int | None = msgspec.field(name="usIn", default=None)
    us_out: int | None = msgspec.field(name="usOut", default=None)
    testnet: bool | None = None


class Stats(Struct, kw_only=True, gc=False, forbid_unknown_fields=True):
    """24-hour statistics inside a ticker."""

    volume_usd: float | None = None
    volume_notional: float | None = None
    volume: float | None = None
    price_change: float | None = None
    low: float | None = None
    high: float | None = None


class Greeks(Struct, kw_only=True, gc=False, forbid_unknown_fields=True):
    """The exchange's greeks inside an option ticker, in its own units."""

    vega: float | None = None
    theta: float | None = None
    rho: float | None = None
    gamma: float | None = None
    delta: float | None = None


class Ticker(Struct, kw_only=True, gc=False, forbid_unknown_fields=True):
    """A ticker of an option, future, perpetual or combo.

    The fields stand as the exchange writes them, from the last of the alphabet to the first: the
    decoder looks for a field where the one before it stood, and finds it a fifth faster there.
    """

    underlying_price: float | None = None
    underlying_index: str | None = None
    timestamp: Milliseconds
    stats: Stats | None = None
    state: str | None = None
    settlement_price: float | None = None
    open_interest: float | None = None
    min_price: float | None = None
    max_price: float | None = None
    mark_price: float | None = None
    mark_iv: float | None = None
    last_price: float | None = None
    interest_value: float | None = None
    interest_rate: float | None = None
    instrument_name: str
    index_price: float | None = None
    implied_bid: float | None = None
    implied_ask: float | None = None
    greeks: Greeks | None = None
    funding_8h: float | None = None
    estimated_delivery_price: float | Literal["expired"] | None = None
    delivery_price: float | None = None
    current_funding: float | None = None
    combo_state: str | None = None
    bid_iv: float | None = None
    best_bid_price: float | None = None
    best_bid_amount: float | None = None
    best_ask_price: float | None = None
    best_ask_amount: float | None = None
    ask_iv: float | None = None


class Quote(Struct, gc=False, forbid_unknown_fields=True):
    """Best bid and ask alone."""

    instrument_name: str
    timestamp: Milliseconds
    best_bid_price: float | None = None
    best_bid_amount: float | None = None
    best_ask_price: float | None = None
    best_ask_amount: float | None = None


class Book(Struct, gc=False, forbid_unknown_fields=True):
    """A book's snapshot or change; before 2020 there was no ``type``."""

    instrument_name: str
    timestamp: Milliseconds
    change_id: Counter
    bids: list[tuple[str, float, float]]
    asks: list[tuple[str, float, float]]
    type: str | None = None
    prev_change_id: Counter | None = None


class GroupedBook(Struct, gc=False, forbid_unknown_fields=True):
    """A grouped book: the full picture every time."""

    instrument_name: str
    timestamp: Milliseconds
    change_id: Counter
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


class Trade(Struct, gc=False, forbid_unknown_fields=True):
    """A trade; the parent of a combo carries its legs, each a whole trade."""

    instrument_name: str
    timestamp: Milliseconds
    trade_id: str
    trade_seq: Counter
    price: float
    amount: float
    direction: str
    contracts: float | None = None
    tick_direction: Annotated[int, Meta(ge=0, le=255)] = 0
    iv: float | None = None
    mark_price: float | None = None
    index_price: float | None = None
    liquidation: str | None = None
    block_trade_id: str | None = None
    block_trade_leg_count: Annotated[int, Meta(ge=0, le=65535)] | None = None
    block_rfq_id: Counter | None = None
    combo_id: str | None = None
    combo_trade_id: str | int | None = None
    legs: list[Raw] | None = None


class TradesPage(Struct, gc=False):
    """The result of a REST call for trades."""

    trades: list[Raw]
    has_more: bool = False


class BookSummary(Struct, gc=False):
    """A row of get_book_summary_by_currency: quotes without sizes, greeks and bid and ask vols."""

    instrument_name: str
    creation_timestamp: Milliseconds
    bid_price: float | None = None
    ask_price: float | None = None
    mark_price: float | None = None
    mark_iv: float | None = None
    underlying_index: str | None = None
    underlying_price: float | None = None
    interest_rate: float | None = None
    open_interest: float | None = None
    volume: float | None = None
    volume_usd: float | None = None
    volume_notional: float | None = None
    low: float | None = None
    high: float | None = None
    price_change: float | None = None
    last: float | None = None
    estimated_delivery_price: float | None = None
    funding_8h: float | None = None
    current_funding: float | None = None

    def as_ticker(self) -> Ticker:
        """Return the same as a ticker; what a summary does not say is absent."""
        return Ticker(
            instrument_name=self.instrument_name,
            timestamp=self.creation_timestamp,
            best_bid_price=self.bid_price,
            best_ask_price=self.ask_price,
            mark_iv=self.mark_iv,
            mark_price=self.mark_price,
            underlying_index=self.underlying_index,
            underlying_price=self.underlying_price,
            interest_rate=self.interest_rate,
            greeks=Greeks(),
            open_interest=self.open_interest,
            stats=Stats(
                volume=self.volume,
                volume_usd=self.volume_usd,
                volume_notional=self.volume_notional,
                low=self.low,
                high=self.high,
                price_change=self.price_change,
            ),
            last_price=self.last,
            estimated_delivery_price=self.estimated_delivery_price,
            funding_8h=self.funding_8h,
            current_funding=self.current_funding,
        )


class Index(Struct, gc=False, forbid_unknown_fields=True):
    """A price index update."""

    index_name: str
    timestamp: Milliseconds
    price: float


class MarkPrice(Struct, gc=False, forbid_unknown_fields=True):
    """The mark of one option in `markprice.options`; its volatility is a decimal, not percent."""

    instrument_name: str
    timestamp: Milliseconds
    iv: float | None = None
    mark_price: float | None = None


class Interest(Struct, gc=False, forbid_unknown_fields=True):
    """The interest of a perpetual; which one is in the name of the channel alone."""

    timestamp: Milliseconds
    interest: float | None = None
    index_price: float | None = None


class Volatility(Struct, gc=False, forbid_unknown_fields=True):
    """A volatility index (DVOL) update, percent."""

    index_name: str
    timestamp: Milliseconds
    volatility: float


class TickSizeStep(Struct, gc=False):
    """From ``above_price`` on, prices move in steps of ``tick_size``."""

    above_price: float
    tick_size: float


class Instrument(Struct, gc=False):
    """An instrument's specification; which keys exist depends on its kind and on the year."""

    instrument_name: str
    kind: str
    base_currency: str
    quote_currency: str
    contract_size: float
    min_trade_amount: float
    tick_size: float
    is_active: bool = True
    instrument_id: Counter = 0
    option_type: str | None = None
    strike: float | None = None
    expiration_timestamp: Milliseconds | None = None
    creation_timestamp: Milliseconds | None = None
    counter_currency: str | None = None
    settlement_currency: str | None = None
    settlement_period: str | None = None
    instrument_type: str | None = None
    price_index: str | None = None
    tick_size_steps: list[TickSizeStep] = []
    maker_commission: float = 0.0
    taker_commission: float = 0.0
    state: str | None = None


def permissive(strict_type: type[Struct]) -> type[Struct]:
    """Return the same structure with unknown fields let through.

    Nested structures that forbid unknown fields are replaced as well.
    """
    nested = {Stats: _OpenStats, Greeks: _OpenGreeks}
    fields: list[Any] = []
    for field in msgspec.structs.fields(strict_type):
        annotation: Any = field.type
        for closed, opened in nested.items():
            if annotation == closed | None:
                annotation = opened | None
        if field.required:
            fields.append((field.name, annotation))
        else:
            fields.append((field.name, annotation, field.default))
    return msgspec.defstruct(f"Open{strict_type.__name__}", fields, kw_only=True, gc=False)


_OpenStats = msgspec.defstruct(
    "OpenStats", [(f.name, f.type, f.default) for f in msgspec.structs.fields(Stats)], gc=False
)
_OpenGreeks = msgspec.defstruct(
    "OpenGreeks", [(f.name, f.type, f.default) for f in msgspec.structs.fields(Greeks)], gc=False
)
