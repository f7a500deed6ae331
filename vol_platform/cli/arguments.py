"""Arguments as people type them: a market, an option, an instant, a file to write."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from vol_platform.errors import VolError

__all__ = ["Currency", "instrument_name", "parse_instant", "write_file"]


def _market(text: str) -> str:
    return text.strip().upper()


Currency = Annotated[
    str,
    typer.Option("--currency", "-c", help="The market: BTC, ETH, BTC_USDC, …", callback=_market),
]


def instrument_name(text: str) -> str:
    """Return a name as the exchange writes it: in capitals, but 1d02 for a strike of 1.02.

    Examples
    --------
    >>> instrument_name("btc-26dec26-100000-c"), instrument_name("XRP_USDC-26DEC26-1d02-C")
    ('BTC-26DEC26-100000-C', 'XRP_USDC-26DEC26-1d02-C')
    """
    return re.sub(r"(?<=-)(\d+)D(\d+)(?=-)", r"\1d\2", text.strip().upper())


def parse_instant(text: str) -> datetime:
    """Return the instant that a person typed, in UTC; a text without a zone is UTC.

    Raises
    ------
    typer.BadParameter
        It is no time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"must be a time like 2026-06-05T08:00, was {text!r}") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def write_file(path: Path, content: bytes) -> None:
    """Write a file that a person asked for.

    Raises
    ------
    VolError
        It cannot be written.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise VolError(
            f"cannot write {path}: {error.strerror}; name a file in a folder that you may write to"
        ) from None
