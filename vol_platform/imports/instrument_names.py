"""Read a Deribit instrument name: currency, kind, expiry, strike, option type.

Names are the only specification that a recorded board carries, so the importer reads them; the
streamer never does (it takes the specification from the exchange).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from vol_platform.errors import ImportFileError

__all__ = ["InstrumentName", "parse_day", "parse_instrument_name"]

EXPIRY_HOUR_UTC = 8

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), 1
    )
}
_DAY = re.compile(r"(?P<day>\d{1,2})(?P<month>[A-Z]{3})(?P<year>\d{2})")
_OPTION = re.compile(
    r"(?P<currency>[A-Z0-9]+(?:_[A-Z0-9]+)?)-(?P<expiry>\d{1,2}[A-Z]{3}\d{2})"
    r"-(?P<strike>\d+(?:d\d+)?)-(?P<type>[CP])"
)
_FUTURE = re.compile(
    r"(?P<currency>[A-Z0-9]+(?:_[A-Z0-9]+)?)-(?P<expiry>\d{1,2}[A-Z]{3}\d{2}|PERPETUAL)"
)


@dataclass(frozen=True, slots=True)
class InstrumentName:
    """What a name says.

    Attributes
    ----------
    name
        As given; case matters (`1d02` is a strike of 1.02).
    currency
        The market: everything before the first dash (`BTC`, `BTC_USDC`).
    kind
        `option`, `future` or `perpetual`.
    expiry_ts
        08:00 UTC of the expiry day; None for a perpetual.
    strike
        Options only.
    is_call
        Options only.
    """

    name: str
    currency: str
    kind: str
    expiry_ts: datetime | None = None
    strike: Decimal | None = None
    is_call: bool | None = None

    @property
    def base_currency(self) -> str:
        """The coin: `BTC` of `BTC_USDC`."""
        return self.currency.partition("_")[0]

    @property
    def is_inverse(self) -> bool:
        """Whether the premium is paid in the coin itself (no `_USDC` in the market's name)."""
        return "_" not in self.currency

    @property
    def premium_currency(self) -> str:
        """The currency that the price of an option is given in."""
        return self.currency.partition("_")[2] or self.currency

    @property
    def price_index(self) -> str:
        """The index it settles on: `btc_usd`, `sol_usdc`."""
        return f"{self.base_currency}_{self.currency.partition('_')[2] or 'USD'}".lower()


def parse_day(text: str) -> datetime:
    """Read a day such as `5JUN26` as 00:00 UTC of it.

    Raises
    ------
    ImportFileError
        The text is no such day.

    Examples
    --------
    >>> parse_day("5JUN26").isoformat()
    '2026-06-05T00:00:00+00:00'
    """
    match = _DAY.fullmatch(text)
    month = _MONTHS.get(match["month"]) if match else None
    if match is None or month is None:
        msg = f"a day must look like 5JUN26, was {text!r}"
        raise ImportFileError(msg)
    try:
        return datetime(2000 + int(match["year"]), month, int(match["day"]), tzinfo=UTC)
    except ValueError:
        msg = f"a day must exist in the calendar, was {text!r}"
        raise ImportFileError(msg) from None


def parse_instrument_name(name: str) -> InstrumentName:
    """Read an option, future or perpetual.

    Raises
    ------
    ImportFileError
        The name is none of these (a combo, say).

    Examples
    --------
    >>> parse_instrument_name("BTC-27DEC24-100000-C").strike
    Decimal('100000')
    >>> parse_instrument_name("MATIC_USDC-9MAR24-1d02-C").strike
    Decimal('1.02')
    """
    if match := _OPTION.fullmatch(name):
        return InstrumentName(
            name=name,
            currency=match["currency"],
            kind="option",
            expiry_ts=parse_day(match["expiry"]).replace(hour=EXPIRY_HOUR_UTC),
            strike=Decimal(match["strike"].replace("d", ".")),
            is_call=match["type"] == "C",
        )
    if match := _FUTURE.fullmatch(name):
        if match["expiry"] == "PERPETUAL":
            return InstrumentName(name=name, currency=match["currency"], kind="perpetual")
        return InstrumentName(
            name=name,
            currency=match["currency"],
            kind="future",
            expiry_ts=parse_day(match["expiry"]).replace(hour=EXPIRY_HOUR_UTC),
        )
    msg = f"instrument name must be an option, a future or a perpetual, was {name!r}"
    raise ImportFileError(msg)
