"""Column mappings: how a recorded board's columns become the columns of our raw tables.

A mapping is a YAML file.  The built-in ones (folder `mappings/`) are tried in turn on the header of
a CSV file; `vol import --mapping FILE` names one outright.  Example::

    name: my-vendor
    description: Boards of a vendor, prices in coin, volatilities as decimals.
    detect: [symbol, bid, ask, iv]        # columns that a file of this kind always has
    absent: ["", "-", "None"]             # texts that mean "no value"
    zero_is_absent: [bid_price, ask_price]
    time: {column: captured_at, unit: iso}
    columns:
      instrument_name: symbol
      bid_price: bid
      mark_iv: {column: iv, scale: 100}   # the raw table keeps percent
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vol_platform.errors import ImportFileError

__all__ = [
    "NUMBER_COLUMNS",
    "TEXT_COLUMNS",
    "TRADE_NUMBER_COLUMNS",
    "TRADE_TEXT_COLUMNS",
    "ColumnRule",
    "Mapping",
    "TimeRule",
    "built_in_mappings",
    "load_mapping",
]

TEXT_COLUMNS = ("instrument_name", "state", "underlying_index")
NUMBER_COLUMNS = {
    "bid_price": 8,
    "bid_amount": 4,
    "ask_price": 8,
    "ask_amount": 4,
    "bid_iv": 4,
    "ask_iv": 4,
    "mark_iv": 4,
    "mark_price": 8,
    "underlying_price": None,
    "index_price": 8,
    "interest_rate": 8,
    "delta": 5,
    "gamma": 5,
    "vega": 5,
    "theta": 5,
    "rho": 5,
    "open_interest": 8,
    "volume": 8,
    "volume_usd": 4,
    "volume_notional": 4,
    "low_price": 8,
    "high_price": 8,
    "price_change": 4,
    "last_price": 8,
    "settlement_price": 8,
    "delivery_price": 8,
    "estimated_delivery_price": 8,
    "min_price": 8,
    "max_price": 8,
}
"""Number columns of a board and the decimal places of the raw table (None: a float)."""

TRADE_TEXT_COLUMNS = ("instrument_name", "trade_id", "direction", "liquidation")
TRADE_NUMBER_COLUMNS = {
    "trade_seq": 0,
    "tick_direction": 0,
    "price": 8,
    "amount": 8,
    "contracts": 8,
    "iv": 4,
    "mark_price": 8,
    "index_price": 8,
}
"""The same of a trade."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnRule(_Part):
    """Where a value comes from."""

    column: str
    key: str | None = None
    """Key inside the cell when the cell holds a dictionary as text."""
    scale: float = 1.0
    """What to multiply by: 100 turns a decimal volatility into percent."""


class TimeRule(_Part):
    """When the board was taken: a column, or the file's name and the greeks of the board."""

    column: str | None = None
    unit: Literal["iso", "milliseconds", "seconds"] = "iso"
    one_instant: bool = False
    """Treat the file as one board taken at its last row (for boards fetched row by row)."""
    file_name_day: str | None = None
    """Regular expression with a group `day` (`5JUN26`): the capture day in the file's name."""
    from_greeks: bool = False
    """Infer the instant (within the day, if one is named) from delta, vega, theta and mark."""

    @model_validator(mode="after")
    def _one_source(self) -> TimeRule:
        if (self.column is None) == (not self.from_greeks):
            msg = "time needs either a column or from_greeks: true"
            raise ValueError(msg)
        return self


class Mapping(_Part):
    """How to read one kind of file."""

    name: str
    description: str
    holds: Literal["boards", "trades"] = "boards"
    """What a row is: an option at an instant, or a trade."""
    detect: tuple[str, ...] = Field(min_length=1)
    absent: tuple[str, ...] = ("",)
    thousands: str = ""
    """Thousands separator to drop from numbers."""
    zero_is_absent: tuple[str, ...] = ()
    time: TimeRule
    columns: dict[str, ColumnRule]
    forward_from_delta: bool = False
    """Back the forward of each expiry out of delta and mark_iv when the file has no underlying."""
    prices_from_iv: bool = False
    """Compute bid, ask and mark prices from their volatilities when the file has no prices."""
    testnet: bool = False

    @field_validator("columns", mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        if isinstance(value, dict):
            return {
                key: {"column": rule} if isinstance(rule, str) else rule
                for key, rule in value.items()
            }
        return value

    @model_validator(mode="after")
    def _known_targets(self) -> Mapping:
        unknown = sorted(set(self.columns) - set(self.numbers) - set(self.texts))
        if unknown:
            msg = f"unknown target columns {unknown}; known: {sorted(self.numbers)}"
            raise ValueError(msg)
        missing = sorted(set(self.needed) - set(self.columns))
        if missing:
            msg = f"columns must map {', '.join(missing)}"
            raise ValueError(msg)
        return self

    @property
    def texts(self) -> tuple[str, ...]:
        """Text columns of ours that a file of this kind may fill."""
        return TRADE_TEXT_COLUMNS if self.holds == "trades" else TEXT_COLUMNS

    @property
    def numbers(self) -> dict[str, int | None]:
        """Number columns of ours that it may fill, and their decimal places."""
        return {**TRADE_NUMBER_COLUMNS} if self.holds == "trades" else {**NUMBER_COLUMNS}

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns of ours without which a row says nothing."""
        if self.holds == "trades":
            return ("instrument_name", "trade_id", "trade_seq", "price", "amount", "direction")
        return ("instrument_name",)

    def fits(self, header: list[str]) -> bool:
        """Whether a file with these columns is of this kind."""
        return set(self.detect) <= set(header)


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file.

    Raises
    ------
    ImportFileError
        The file is missing or wrong; the text names the key and the value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"mapping file {path} cannot be read: {error.strerror}; give an existing YAML file"
        raise ImportFileError(msg) from error
    return _parse(text, str(path))


def _parse(text: str, origin: str) -> Mapping:
    try:
        return Mapping.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        msg = f"mapping {origin} is not YAML: {error}"
        raise ImportFileError(msg) from None
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
            for item in error.errors(include_url=False)
        )
        msg = f"mapping {origin} is wrong: {problems}"
        raise ImportFileError(msg) from None


@cache
def built_in_mappings() -> tuple[Mapping, ...]:
    """Return the mappings that come with the platform, most demanding header first."""
    folder = resources.files("vol_platform.imports") / "mappings"
    found = [
        _parse(entry.read_text(encoding="utf-8"), entry.name)
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".yaml")
    ]
    return tuple(sorted(found, key=lambda mapping: -len(mapping.detect)))
