"""The greeks of one option as a table for people: every number with its unit.

The tables `options_greeks` and `live_greeks` hold decimals, years and 1.00 of volatility (the
comments of their columns, the text of `vol_platform.quant.greeks`). A trader reads percent, days
and volatility points: each number is multiplied on its way to the screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from rich.table import Table

__all__ = ["UNITS", "greeks_table"]

_PERCENT = 100.0
_POINT = 1.0 / 100.0
"""One volatility point, or 1 % of rate, in the 1.00 of the tables."""
_DAY = 1.0 / 365.0
"""One day in the years of the tables, ACT/365."""

UNITS: dict[str, tuple[float, str]] = {
    "expiry_years": (1.0, "years"),
    "strike": (1.0, "USD"),
    "forward": (1.0, "USD"),
    "vol": (_PERCENT, "%"),
    "price_usd": (1.0, "USD"),
    "price_coin": (1.0, "{coin}"),
    "delta": (1.0, "{coin} per {coin}"),
    "gamma": (1.0, "delta per USD"),
    "vega": (_POINT, "USD per vol point"),
    "theta": (_DAY, "USD per day"),
    "rho": (_POINT, "USD per 1 % of rate"),
    "vanna": (_POINT, "delta per vol point"),
    "volga": (_POINT**2, "USD per vol point squared"),
    "charm": (_DAY, "delta per day"),
    "veta": (_POINT * _DAY, "USD per vol point, per day"),
    "speed": (1.0, "gamma per USD"),
    "zomma": (_POINT, "gamma per vol point"),
    "color": (_DAY, "gamma per day"),
    "ultima": (_POINT**3, "USD per vol point cubed"),
    "delta_coin": (1.0, "{coin} per {coin}, premium-adjusted"),
    "delta_sticky_moneyness": (1.0, "{coin} per {coin}, if the smile moves with the forward"),
    "mark_iv": (_PERCENT, "%"),
    "mark_price": (1.0, "{premium}"),
    "open_interest": (1.0, "{coin}"),
}
"""By column: what its value is multiplied by for the screen, and the unit it then has."""


def greeks_table(row: Mapping[str, object], source: str) -> Table:
    """Return the table of one option.

    Parameters
    ----------
    row
        One row of `options_greeks` or `live_greeks`, by column.
    source
        Which of the two: record or live.

    Returns
    -------
    rich.table.Table
        A line for each column: its name, its value with the unit. What is not known is a dash.
    """
    # The market's name tells: BTC is paid in BTC, BTC_USDC in USDC for options on BTC.
    coin, _, quote = str(row["currency"]).partition("_")
    table = Table(
        box=None,
        show_header=False,
        title=f"{row['instrument_name']} ({source}), greeks of an option on 1 {coin}",
        title_justify="left",
    )
    for name, value in row.items():
        table.add_row(
            "type" if name == "is_call" else name, _cell(name, value, coin, quote or coin)
        )
    return table


def _cell(name: str, value: object, coin: str, premium: str) -> str:
    if value is None:
        return "—"
    if isinstance(value, float):
        factor, unit = UNITS.get(name, (1.0, ""))
        return f"{_number(factor * value)} {unit.format(coin=coin, premium=premium)}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if name == "is_call":
        return "call" if value else "put"
    return str(value)


def _number(value: float) -> str:
    """Write six digits, or to the hundredth where six digits would end before it.

    Examples
    --------
    >>> _number(61234.567), _number(0.0123456789), _number(2.3e-05)
    ('61,234.57', '0.0123457', '2.3e-05')
    """
    return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:,.6g}"
