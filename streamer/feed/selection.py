"""Which instruments of a market are chosen: expiries by rule, books by role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from streamer.deribit.instruments import Kind, kind_of
from streamer.deribit.messages import Instrument

__all__ = ["AT_THE_MONEY", "choose_books", "choose_expiries", "is_monthly"]

_FRIDAY = 4
_WEEK = timedelta(days=7)
AT_THE_MONEY = "at_the_money:"
"""Begins the role of at-the-money options; the number of expiries follows."""


def is_monthly(expiry_ms: int) -> bool:
    """Tell whether an expiry is the last Friday of its month; quarterlies are monthlies too.

    Examples
    --------
    >>> is_monthly(1_798_185_600_000), is_monthly(1_797_580_800_000)  # 25 and 18 December 2026
    (True, False)
    """
    day = datetime.fromtimestamp(expiry_ms / 1000, UTC)
    return day.weekday() == _FRIDAY and (day + _WEEK).month != day.month


def choose_expiries(rules: Iterable[str], expiries_ms: Iterable[int]) -> frozenset[int]:
    """Return the expiries that any of the rules chooses.

    Parameters
    ----------
    rules
        ``all``, ``monthlies``, or ``next:N`` for the N nearest.
    expiries_ms
        Of the listed options of one market.
    """
    ordered = sorted(set(expiries_ms))
    chosen: set[int] = set()
    for rule in rules:
        if rule == "all":
            return frozenset(ordered)
        if rule == "monthlies":
            chosen.update(filter(is_monthly, ordered))
        else:
            chosen.update(ordered[: int(rule.removeprefix("next:"))])
    return frozenset(chosen)


def choose_books(
    roles: Iterable[str], instruments: Iterable[Instrument], prices: Mapping[str, float]
) -> list[str]:
    """Return the instruments of one market whose books are wanted.

    Parameters
    ----------
    roles
        ``perpetual``; ``front_future``, the next dated future; ``at_the_money:N``, of the N nearest
        expiries the calls and puts at the two strikes around the index.
    instruments
        Of one market, those that are streamed.
    prices
        By index; without the price of a market its at-the-money options are not chosen.
    """
    listed = list(instruments)
    chosen: list[str] = []
    for role in roles:
        if role == "perpetual":
            names = [it.instrument_name for it in listed]
            chosen += [name for name in names if kind_of(name) is Kind.PERPETUAL]
        elif role == "front_future":
            dated = [it for it in listed if kind_of(it.instrument_name) is Kind.FUTURE]
            chosen += [it.instrument_name for it in sorted(dated, key=_expiry)[:1]]
        elif role.startswith(AT_THE_MONEY):
            options = [it for it in listed if it.kind == "option" and it.strike is not None]
            nearest = sorted({_expiry(it) for it in options})
            for expiry in nearest[: int(role.removeprefix(AT_THE_MONEY))]:
                chosen += _at_the_money([it for it in options if _expiry(it) == expiry], prices)
    return list(dict.fromkeys(chosen))


def _at_the_money(options: list[Instrument], prices: Mapping[str, float]) -> list[str]:
    indices = {it.price_index for it in options if it.price_index}
    price = next((prices[index] for index in indices if index in prices), None)
    if price is None:
        return []
    strikes = sorted({it.strike for it in options if it.strike is not None})
    below = [strike for strike in strikes if strike <= price][-1:]
    above = [strike for strike in strikes if strike > price][:1]
    around = {*below, *above}
    return sorted(it.instrument_name for it in options if it.strike in around)


def _expiry(instrument: Instrument) -> int:
    return instrument.expiration_timestamp or 0
