"""What an instrument's name says: its market and its kind.

The exchange's own list (`get_instruments`) is the authority for what to subscribe to; names are
read only to sort frames that arrive without a list, such as those of a capture.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache

__all__ = ["Kind", "kind_of", "market_of"]


class Kind(StrEnum):
    """Kind of an instrument in the words of the exchange, with perpetuals told from futures."""

    OPTION = "option"
    FUTURE = "future"
    PERPETUAL = "perpetual"
    SPOT = "spot"
    OPTION_COMBO = "option_combo"
    FUTURE_COMBO = "future_combo"
    UNKNOWN = "unknown"


_DATE = r"\d{1,2}[A-Z]{3}\d{2}"
# A strike has a lower-case d for the decimal point: 1d02 is 1.02.
_OPTION = re.compile(rf"[A-Z0-9_]+-{_DATE}-\d+(?:d\d+)?-[CP]")
_FUTURE = re.compile(rf"[A-Z0-9_]+-{_DATE}")
_PERPETUAL = re.compile(r"[A-Z0-9_]+-PERPETUAL")
_SPOT = re.compile(r"[A-Z0-9]+_[A-Z0-9]+")
_FUTURE_COMBO = re.compile(r"[A-Z0-9_]+-FS-.+")
_OPTION_COMBO = re.compile(rf"[A-Z0-9_]+-[A-Z0-9]+-{_DATE}.*")


@lru_cache(maxsize=65536)
def kind_of(instrument_name: str) -> Kind:
    """Return the kind that the name of an instrument tells.

    Examples
    --------
    >>> kind_of("MATIC_USDC-9MAR24-1d02-C").value
    'option'
    >>> kind_of("BTC-CSR12-16SEP22-21000_23000").value
    'option_combo'
    """
    for pattern, kind in (
        (_OPTION, Kind.OPTION),
        (_PERPETUAL, Kind.PERPETUAL),
        (_FUTURE, Kind.FUTURE),
        (_FUTURE_COMBO, Kind.FUTURE_COMBO),
        (_OPTION_COMBO, Kind.OPTION_COMBO),
        (_SPOT, Kind.SPOT),
    ):
        if pattern.fullmatch(instrument_name):
            return kind
    return Kind.UNKNOWN


@lru_cache(maxsize=65536)
def market_of(instrument_name: str) -> str:
    """Return the market of an instrument: its name up to the first dash.

    Examples
    --------
    >>> market_of("BTC_USDC-27DEC24-100000-C")
    'BTC_USDC'
    """
    return instrument_name.partition("-")[0]
