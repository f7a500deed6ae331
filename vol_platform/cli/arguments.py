"""Arguments that several commands read alike: a market's name, an instant, a file to write."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from vol_platform.errors import VolError

__all__ = ["Currency", "parse_instant", "write_file"]


def _market(text: str) -> str:
    return text.strip().upper()


Currency = Annotated[
    str,
    typer.Option("--currency", "-c", help="The market: BTC, ETH, BTC_USDC, …", callback=_market),
]


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
