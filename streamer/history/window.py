"""What a person asks `vol-streamer history` for, read before anything is opened."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime

from streamer.errors import HistoryError
from streamer.history.history_store import time_text
from streamer.history.intervals import Interval

__all__ = ["Window", "read_markets", "read_window"]

_DAY_MS = 86_400_000
_MARKET = re.compile(r"[A-Z0-9]+(_[A-Z0-9]+)?")


@dataclass(frozen=True, slots=True)
class Window:
    """A wanted stretch of time, milliseconds since the epoch, from <= time < to.

    Attributes
    ----------
    from_ms
        Its start.
    to_ms
        Its end; None is now.
    """

    from_ms: int
    to_ms: int | None

    def until(self, now_ms: int) -> Interval:
        """Return the part of it that is past.

        Parameters
        ----------
        now_ms
            The exchange's time, milliseconds since the epoch.

        Raises
        ------
        HistoryError
            It has not begun.
        """
        end_ms = now_ms if self.to_ms is None else min(self.to_ms, now_ms)
        interval = Interval(self.from_ms, end_ms)
        if not interval.length_ms:
            raise HistoryError(
                f"--from must be before now ({time_text(now_ms)} over there), "
                f"was {time_text(self.from_ms)}"
            )
        return interval


def read_window(first: str | None, last: str | None) -> Window:
    """Read ``--from`` and ``--to``.

    Parameters
    ----------
    first, last
        Days or times as typed, UTC unless they name a zone; a last day is taken whole.

    Raises
    ------
    HistoryError
        The first is not given, one is no day or time of the calendar, or they stand the wrong way
        round.

    Examples
    --------
    >>> window = read_window("2026-06-01", "2026-06-02")
    >>> (window.to_ms - window.from_ms) / 3_600_000  # hours
    48.0
    """
    if first is None:
        raise HistoryError("say from when: --from 2026-06-01")
    start = _moment_ms("--from", first, whole_day=False)
    if last is None:
        return Window(start, None)
    end = _moment_ms("--to", last, whole_day=True)
    if end <= start:
        raise HistoryError(f"--from must be before --to, was {first} and --to {last}")
    return Window(start, end)


def read_markets(text: str) -> tuple[str, ...]:
    """Read ``--currencies``: markets with commas between, in capitals or not.

    Raises
    ------
    HistoryError
        There is none, or one cannot be the name of a market.

    Examples
    --------
    >>> read_markets("btc, SOL_USDC")
    ('BTC', 'SOL_USDC')
    """
    names = tuple(name.strip().upper() for name in text.split(",") if name.strip())
    if not names or not all(map(_MARKET.fullmatch, names)):
        raise HistoryError(f"--currencies must be markets like BTC,ETH,SOL_USDC, was {text!r}")
    return names


def _moment_ms(flag: str, text: str, *, whole_day: bool) -> int:
    """Return a moment that a person typed; the end of a day when the day is to be taken whole."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise HistoryError(
            f"{flag} must be a day or a time of the calendar, UTC, "
            f"like 2026-06-01 or 2026-06-01T08:00, was {text!r}"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    is_day = False
    with suppress(ValueError):
        is_day = bool(date.fromisoformat(text))
    return round(moment.timestamp() * 1000) + (_DAY_MS if whole_day and is_day else 0)
