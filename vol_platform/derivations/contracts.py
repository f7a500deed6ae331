"""What a derivation and a check are, and the raw frames that every derivation starts from.

Raw input frames (built for a closed hour by the record, for one instant by the live view):

``chain``
    One row per listed option and snapshot; the quote columns are null where the option had no
    update younger than the maximum quote age.
``futures``
    One row per future (``expiry_ts`` null for the perpetual) and snapshot.
``index``
    One row per market and snapshot.
``rates``
    Quotes of the interest-rate curves that somebody loaded.
``positions``
    Positions of the portfolios that somebody loaded, by the instant from which they hold.

Each of the first three may hold any number of snapshots and markets. Instants are ``Datetime('ms',
'UTC')``, volatilities are decimals, prices are in the premium currency of the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from vol_platform.errors import DerivationError

if TYPE_CHECKING:
    from vol_platform.quant.surface import Surface

__all__ = [
    "CHAIN_COLUMNS",
    "FUTURES_COLUMNS",
    "INDEX_COLUMNS",
    "INSTANT",
    "POSITIONS_COLUMNS",
    "RATES_COLUMNS",
    "RAW_FRAMES",
    "Check",
    "CheckFunction",
    "CheckOutcome",
    "Derivation",
    "DerivationContext",
    "DerivationFunction",
    "Frames",
    "as_float",
    "conform",
]

INSTANT = pl.Datetime("ms", "UTC")
"""The one type of every instant in every frame."""

CHAIN_COLUMNS: Mapping[str, pl.DataType] = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "instrument_name": pl.String(),
    # of the instrument; null when it has no metadata
    "expiry_ts": INSTANT,
    "strike": pl.Float64(),
    "is_call": pl.Boolean(),
    "is_inverse": pl.Boolean(),
    "premium_currency": pl.String(),
    "tick_size": pl.Float64(),
    "tick_step_above": pl.List(pl.Float64()),
    "tick_step_size": pl.List(pl.Float64()),
    # of the newest quote; null when there is none young enough
    "state": pl.String(),
    "bid_price": pl.Float64(),
    "bid_amount": pl.Float64(),
    "ask_price": pl.Float64(),
    "ask_amount": pl.Float64(),
    "mark_price": pl.Float64(),
    "bid_iv": pl.Float64(),
    "ask_iv": pl.Float64(),
    "mark_iv": pl.Float64(),
    "underlying_index": pl.String(),
    "underlying_price": pl.Float64(),
    "index_price": pl.Float64(),
    "open_interest": pl.Float64(),
    "exchange_ts": INSTANT,
    "age_seconds": pl.Float64(),
    "source": pl.String(),
}

FUTURES_COLUMNS: Mapping[str, pl.DataType] = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "instrument_name": pl.String(),
    "expiry_ts": INSTANT,
    "bid_price": pl.Float64(),
    "ask_price": pl.Float64(),
    "mark_price": pl.Float64(),
    "index_price": pl.Float64(),
    "exchange_ts": INSTANT,
    "age_seconds": pl.Float64(),
}

INDEX_COLUMNS: Mapping[str, pl.DataType] = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "price": pl.Float64(),
}

RATES_COLUMNS: Mapping[str, pl.DataType] = {
    "curve_date": pl.Date(),
    "maturity_years": pl.Float64(),
    "quote": pl.Float64(),
    "kind": pl.String(),
}

POSITIONS_COLUMNS: Mapping[str, pl.DataType] = {
    "portfolio": pl.String(),
    "from_ts": INSTANT,
    "instrument_name": pl.String(),
    "quantity": pl.Float64(),
}

RAW_FRAMES: Mapping[str, Mapping[str, pl.DataType]] = {
    "chain": CHAIN_COLUMNS,
    "futures": FUTURES_COLUMNS,
    "index": INDEX_COLUMNS,
    "rates": RATES_COLUMNS,
    "positions": POSITIONS_COLUMNS,
}

Frames = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class DerivationContext:
    """What a derivation may know besides its frames.

    Attributes
    ----------
    max_quote_age_seconds
        A snapshot at T uses quotes with ``T - this < exchange_ts <= T``.
    settlement_window_seconds
        An expiry this close to delivery leaves the surface.
    previous_surfaces
        Newest surface per market to start warm from: live view only.  The record starts every
        hour cold, so that an hour gives the same bytes whatever was computed before it.
    """

    max_quote_age_seconds: float = 60.0
    settlement_window_seconds: float = 1800.0
    previous_surfaces: Mapping[str, Surface] | None = None

    @property
    def settlement_window(self) -> timedelta:
        """The settlement window as a duration."""
        return timedelta(seconds=self.settlement_window_seconds)


DerivationFunction = Callable[[Frames, DerivationContext], pl.DataFrame]


@dataclass(frozen=True)
class CheckOutcome:
    """What a check found.

    Attributes
    ----------
    failed
        Rows that break the rule.
    examined
        Rows that were looked at.
    numbers
        Figures worth keeping, by name with unit.
    sample
        A few of the failing rows.
    tolerated
        Highest ``failed`` at which the check still passes.
    """

    failed: int
    examined: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    sample: pl.DataFrame = field(default_factory=pl.DataFrame)
    tolerated: int = 0

    @property
    def passed(self) -> bool:
        """Whether the rule holds."""
        return self.failed <= self.tolerated


CheckFunction = Callable[[Frames, DerivationContext], CheckOutcome]


@dataclass(frozen=True)
class Check:
    """A pure rule over the frames of an hour.

    Attributes
    ----------
    name, description
        For people.
    inputs
        Frames that it reads; the derivation's own frame is one of them.
    function
        ``(frames, context) -> CheckOutcome``.
    blocking
        A failure keeps the hour from being published.
    """

    name: str
    description: str
    inputs: tuple[str, ...]
    function: CheckFunction
    blocking: bool = False


@dataclass(frozen=True)
class Derivation:
    """One derived table and the pure function that makes it.

    Attributes
    ----------
    name
        Name of its frame.
    table
        ClickHouse table that keeps it.
    domain
        Folder that it lives in.
    description
        One sentence for people.
    inputs
        Frames that the function reads: raw ones or names of earlier derivations.
    function
        ``(frames, context) -> frame`` with at least `columns`.
    columns
        The table's columns and types, without ``code_version`` and ``parameters_hash``.
    key
        Columns that identify a row and order the frame; the table's sort key begins with them.
    code_version
        To be raised by whoever changes what the function returns for the same input.
    checks
        Rules on the frame.
    """

    name: str
    table: str
    domain: str
    description: str
    inputs: tuple[str, ...]
    function: DerivationFunction
    columns: Mapping[str, pl.DataType]
    key: tuple[str, ...]
    code_version: str
    checks: tuple[Check, ...] = ()

    def derive(self, frames: Frames, context: DerivationContext) -> pl.DataFrame:
        """Run the function on its declared inputs and conform what it returns.

        Parameters
        ----------
        frames
            At least the frames named in `inputs`.
        context
            Parameters of the derivation.

        Returns
        -------
        polars.DataFrame
            Exactly `columns`, in that order, sorted by `key`.

        Raises
        ------
        DerivationError
            An input is missing, or the function returned other columns or a key twice.
        """
        missing = [name for name in self.inputs if name not in frames]
        if missing:
            msg = f"derivation {self.name} needs the frames {missing}; got {sorted(frames)}"
            raise DerivationError(msg)
        inputs = {name: frames[name] for name in self.inputs}
        frame = conform(self.function(inputs, context), self.columns, self.key, self.name)
        if not _increases(frame, self.key) and frame.select(self.key).is_duplicated().any():
            twice = frame.filter(frame.select(self.key).is_duplicated()).select(self.key).row(0)
            msg = f"derivation {self.name} returned the key {self.key} = {twice} more than once"
            raise DerivationError(msg)
        return frame


def as_float(value: object) -> float:
    """Return an aggregate of a float column as a float, NaN when there was nothing to aggregate."""
    return float(value) if isinstance(value, (int, float)) else float("nan")


def conform(
    frame: pl.DataFrame,
    columns: Mapping[str, pl.DataType],
    key: tuple[str, ...] = (),
    name: str = "frame",
) -> pl.DataFrame:
    """Select, cast and order the columns of a frame, and sort it by its key.

    NaN becomes null: a missing number has one spelling in the database.

    Raises
    ------
    DerivationError
        A column is missing or cannot be cast.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        msg = f"{name} lacks the columns {missing}; it has {frame.columns}"
        raise DerivationError(msg)
    try:
        typed = frame.select(pl.col(column).cast(kind) for column, kind in columns.items())
    except pl.exceptions.PolarsError as error:
        msg = f"{name} does not fit its schema: {error}"
        raise DerivationError(msg) from error
    floats = [column for column, kind in columns.items() if kind == pl.Float64]
    typed = typed.with_columns(pl.col(floats).fill_nan(None))
    return typed.sort(key, nulls_last=True) if key and not _increases(typed, key) else typed


def _increases(frame: pl.DataFrame, key: tuple[str, ...]) -> bool:
    """Tell whether every row's key is above the one before: sorted then, and no key twice.

    Far cheaper than to sort, or to look for duplicates.  A null in a key counts as unsorted.
    """
    above = pl.lit(value=False)
    for name in reversed(key):
        before = pl.col(name).shift(1)
        above = (pl.col(name) > before) | ((pl.col(name) == before) & above)
    found = frame.select(above.slice(1).fill_null(value=False).all()).item()
    return bool(found)
