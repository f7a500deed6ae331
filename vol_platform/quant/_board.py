"""One cleaned option board as arrays, and what of it a fit may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vol_platform.quant import black76, implied
from vol_platform.quant._kernels.quotes import collect, out_of_the_money
from vol_platform.quant.cleaning import BOUND, TWO_SIDED, QuoteRules
from vol_platform.quant.errors import QuantError

if TYPE_CHECKING:
    import polars as pl  # not loaded to fit a surface: that takes a third of a second

__all__ = ["Board", "FitQuotes"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_SECONDS_PER_YEAR = 365.0 * 86_400.0

_REQUIRED = (
    "expiry_ts", "expiry_years", "strike", "is_call", "is_inverse", "bid_price", "ask_price",
    "usage", "forward",
)  # fmt: skip
_FLOATS = (
    "expiry_years", "forward", "uncertainty_basis_points", "strike", "bid_price", "ask_price",
    "tick_size", "age_seconds",
)  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True)
class FitQuotes:
    """Out-of-the-money quotes in volatility, flat arrays sorted by expiry and log-moneyness.

    Attributes
    ----------
    offsets
        Rows of expiry i are ``offsets[i] .. offsets[i+1]-1``; shape (expiries + 1,).
    k
        ``ln(strike / forward)``.
    bid_vol, ask_vol, mid, half
        Decimals; a bound has only one of bid and ask, its `mid` is that side and `half` 0.
    unit
        Half spread with the tick's noise and a floor: the yardstick of a residual.
    kind
        0 two-sided, 1 upper bound, 2 lower bound.
    weight
        Falls with the quote's age beyond that of the freshest of its expiry.
    row
        Index into the board's rows.
    eligible
        Two-sided out-of-the-money quotes per expiry, used or not: the base of the retained share.
    """

    offsets: IntArray
    k: FloatArray
    bid_vol: FloatArray
    ask_vol: FloatArray
    mid: FloatArray
    half: FloatArray
    unit: FloatArray
    kind: IntArray
    weight: FloatArray
    row: IntArray
    eligible: IntArray

    def two_sided(self, expiry: int) -> BoolArray:
        """Mask over the flat arrays: two-sided quotes of expiry number `expiry`; shape of `k`."""
        mask = np.zeros(self.k.size, dtype=bool)
        mask[self.offsets[expiry] : self.offsets[expiry + 1]] = True
        return np.asarray(mask & (self.kind == 0), dtype=bool)


@dataclass(frozen=True, eq=False)
class Board:
    """The quotes of one currency at one instant, by expiry.

    Attributes
    ----------
    currency
        The market: BTC, ETH, BTC_USDC, …
    snapshot_ts
        As-of instant, UTC; None for a synthetic board (event time is then calendar time).
    expiry_ts
        Delivery of each expiry, UTC, increasing; shape (n,).
    expiry_years
        ACT/365; shape (n,).
    forward
        USD; NaN where unknown; shape (n,).
    forward_uncertainty
        Half width of the parity interval, basis points; NaN where unknown.
    is_inverse
        Premiums in coin (True) or in USD (False), one convention per board.
    offsets
        Rows of expiry i are ``offsets[i] .. offsets[i+1]-1``.
    strike, is_call, bid_price, ask_price, tick_size, age_seconds, usage
        One entry per row, sorted by expiry, strike, put before call; absent prices are NaN;
        `usage` is 0 two-sided, 1 bound.
    rules
        The limits for the rules that need a forward.
    """

    currency: str
    snapshot_ts: datetime | None
    expiry_ts: tuple[datetime, ...]
    expiry_years: FloatArray
    forward: FloatArray
    forward_uncertainty: FloatArray
    is_inverse: bool
    offsets: IntArray
    strike: FloatArray
    is_call: BoolArray
    bid_price: FloatArray
    ask_price: FloatArray
    tick_size: FloatArray
    age_seconds: FloatArray
    usage: IntArray
    rules: QuoteRules = field(default_factory=QuoteRules)

    def __repr__(self) -> str:
        when = "" if self.snapshot_ts is None else f" {self.snapshot_ts:%Y-%m-%d %H:%M:%S} UTC"
        counts = f"{len(self.expiry_ts)} expiries, {self.strike.size} quotes"
        return f"Board({self.currency}{when}: {counts})"

    @classmethod
    def from_frame(cls, frame: pl.DataFrame, rules: QuoteRules | None = None) -> Board:
        """Board from rows of `quotes_clean` left-joined with `forward_curve.forward`.

        Parameters
        ----------
        frame
            One snapshot of one currency.  Needed: expiry_ts, expiry_years, strike, is_call,
            is_inverse, bid_price, ask_price, usage, forward; used when present: snapshot_ts,
            currency, tick_size, age_seconds, uncertainty_basis_points.  Rows with a usage other
            than ``two_sided`` and ``bound`` are left out.
        rules
            Limits of the quote rules.

        Raises
        ------
        QuantError
            `frame` is no polars frame, a needed column is missing, or rows of several snapshots or
            currencies are mixed.
        """
        _check_frame(frame)
        for name in ("snapshot_ts", "currency", "is_inverse"):
            if name in frame.columns and frame[name].n_unique() > 1:
                count = frame[name].n_unique()
                msg = f"a board is one snapshot of one market; {name} has {count} values"
                raise QuantError(msg)
        boards = cls.from_frame_of_many(frame, rules)
        return boards[0] if boards else _empty_board(frame, rules)

    @classmethod
    def from_frame_of_many(
        cls, frame: pl.DataFrame, rules: QuoteRules | None = None
    ) -> list[Board]:
        """Boards of every snapshot and currency of a frame, in that order.

        Parameters and errors as in `from_frame`; a snapshot without any usable row has no board.
        """
        import polars as pl

        _check_frame(frame)
        missing = [name for name in _REQUIRED if name not in frame.columns]
        if missing:
            msg = f"a board needs the columns {', '.join(_REQUIRED)}; missing: {', '.join(missing)}"
            raise QuantError(msg)
        market = [name for name in ("snapshot_ts", "currency") if name in frame.columns]
        used = frame.filter(pl.col("usage").is_in([TWO_SIDED, BOUND]) & (pl.col("strike") > 0))
        used = used.sort(*market, "expiry_ts", "strike", "is_call")
        floats = {name: _floats(used, name) for name in _FLOATS}
        is_call = used["is_call"].to_numpy().astype(np.bool_)
        is_bound = (used["usage"] != TWO_SIDED).to_numpy().astype(np.int64)
        starts = _starts(used, [*market, "expiry_ts"])
        first_of_expiry = used[starts]
        expiry_ts = [_instant(value) for value in first_of_expiry["expiry_ts"].to_list()]
        markets = np.append(_starts(first_of_expiry, market), starts.size)
        boards = []
        for first, end in zip(markets[:-1].tolist(), markets[1:].tolist(), strict=True):
            of_board = starts[first:end]
            begin = int(of_board[0])
            stop = int(starts[end]) if end < starts.size else used.height
            part = slice(begin, stop)
            named = first_of_expiry.row(first, named=True)
            boards.append(
                cls(
                    currency=str(named.get("currency", "")),
                    snapshot_ts=_instant(named["snapshot_ts"]) if "snapshot_ts" in named else None,
                    expiry_ts=tuple(expiry_ts[first:end]),
                    expiry_years=floats["expiry_years"][of_board],
                    forward=floats["forward"][of_board],
                    forward_uncertainty=floats["uncertainty_basis_points"][of_board],
                    is_inverse=bool(named["is_inverse"]),
                    offsets=np.append(of_board, stop).astype(np.int64) - begin,
                    strike=floats["strike"][part],
                    is_call=is_call[part],
                    bid_price=floats["bid_price"][part],
                    ask_price=floats["ask_price"][part],
                    tick_size=floats["tick_size"][part],
                    age_seconds=np.nan_to_num(floats["age_seconds"][part], nan=0.0),
                    usage=is_bound[part],
                    rules=rules or QuoteRules(),
                )
            )
        return boards

    @cached_property
    def fit_quotes(self) -> FitQuotes:
        """Quotes a fit may use: out-of-the-money side, in volatility; computed once."""
        return _fit_quotes(self)


def _check_frame(frame: object) -> None:
    import polars as pl

    if not isinstance(frame, pl.DataFrame):
        raise QuantError(f"a board is made of a polars DataFrame, was {type(frame).__name__}")


def _starts(frame: pl.DataFrame, key: Sequence[str]) -> IntArray:
    """Where a new value of the key begins, in a frame that is sorted by it."""
    import polars as pl

    if not key or frame.is_empty():
        return np.zeros(min(frame.height, 1), dtype=np.int64)
    lengths = frame.select(pl.struct(key).rle().struct.field("len")).to_series().to_numpy()
    return np.append(0, np.cumsum(lengths)[:-1]).astype(np.int64)


def _empty_board(frame: pl.DataFrame, rules: QuoteRules | None) -> Board:
    named = frame.row(0, named=True) if frame.height else {}
    nothing = np.empty(0)
    return Board(
        currency=str(named.get("currency", "")),
        snapshot_ts=_instant(named["snapshot_ts"]) if "snapshot_ts" in named else None,
        expiry_ts=(),
        expiry_years=nothing,
        forward=nothing,
        forward_uncertainty=nothing,
        is_inverse=bool(named.get("is_inverse", True)),
        offsets=np.zeros(1, dtype=np.int64),
        strike=nothing,
        is_call=np.empty(0, dtype=np.bool_),
        bid_price=nothing,
        ask_price=nothing,
        tick_size=nothing,
        age_seconds=nothing,
        usage=np.empty(0, dtype=np.int64),
        rules=rules or QuoteRules(),
    )


def _floats(frame: pl.DataFrame, name: str) -> FloatArray:
    if name not in frame.columns:
        return np.full(frame.height, np.nan)
    import polars as pl

    # A copy: kernels are compiled anew for memory that cannot be written to, such as polars' own.
    return np.array(frame[name].cast(pl.Float64).fill_null(float("nan")), dtype=np.float64)


def _instant(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _fit_quotes(board: Board) -> FitQuotes:
    offsets, index, columns, flags = out_of_the_money(
        board.offsets, board.forward, board.expiry_years, board.strike, board.is_call,
        board.bid_price, board.ask_price, board.is_inverse,
    )  # fmt: skip
    vol = implied.implied_vol(columns[0], columns[1], columns[2], columns[3], flags)
    rules = board.rules
    arrays = collect(
        offsets, index, board.expiry_years, board.forward, board.strike, vol, board.bid_price,
        board.ask_price, board.tick_size, _lag(board), board.usage, board.is_inverse,
        rules.maximum_spread_vol, rules.maximum_spread_share, rules.age_scale_seconds,
        rules.vol_floor,
        rules.settlement_window_seconds / _SECONDS_PER_YEAR,
    )  # fmt: skip
    return FitQuotes(*arrays)


def _lag(board: Board) -> FloatArray:
    """Seconds by which each quote is older than the freshest of its expiry.

    What is old everywhere has nothing fresher to give way to, and should not give way to priors.
    """
    if not board.age_seconds.size:
        return board.age_seconds
    begin = board.offsets[:-1]
    freshest = np.minimum.reduceat(board.age_seconds, begin)
    return np.asarray(board.age_seconds - np.repeat(freshest, board.offsets[1:] - begin))


def synthetic_board(*, wild: bool = False) -> Board:
    """Make a small board of three expiries, to warm the kernels up.

    With a `wild` quote it gets the second look that few boards need.
    """
    years = np.array([7.0, 30.0, 90.0]) / 365.0
    forward = 100.0
    k = np.linspace(-0.3, 0.3, 13)
    strike = np.tile(forward * np.exp(k), years.size)
    is_call = strike >= forward
    vol = np.tile(0.5 + 0.4 * k * k - 0.05 * k, years.size)
    T = np.repeat(years, k.size)
    price = black76.price_coin(np.full(strike.size, forward), strike, T, vol, is_call)
    price[20] *= 1.4 if wild else 1.0
    return Board(
        currency="", snapshot_ts=None,
        expiry_ts=tuple(datetime(2000, 1, 1 + i, 8, tzinfo=UTC) for i in range(years.size)),
        expiry_years=years, forward=np.full(years.size, forward),
        forward_uncertainty=np.ones(years.size), is_inverse=True,
        offsets=np.arange(years.size + 1) * k.size, strike=strike, is_call=is_call,
        bid_price=price * 0.98, ask_price=price * 1.02, tick_size=np.full(strike.size, 1e-4),
        age_seconds=np.zeros(strike.size), usage=np.zeros(strike.size, dtype=np.int64),
    )  # fmt: skip
