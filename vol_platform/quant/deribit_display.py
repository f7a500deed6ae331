"""Greeks exactly as Deribit displays them: another convention, not another model.

Deribit's ticker shows Black-76 greeks of the mark volatility on the expiry's own underlying price,
rounded to five decimals, with the clock cut to the minute (`displayed_years`).
Checked on every recorded ticker frame; `docs/method.md` lists the few that differ and why:

==========  ===========================================================================
delta       ``q N(q d1)``: forward delta, not premium-adjusted
gamma       ``n(d1) / (F σ √T)``, per USD
vega        ``F n(d1) √T / 100``: USD per volatility point
theta       USD per day, for one day or the life left if that is shorter, and never more than the
            option's mark: ``-min(decay × min(1 day, life), mark × F)``
rho         ``q K T N(q d2) / 100``: USD per 1 % of rate, spot held fixed
==========  ===========================================================================

In the last half hour, while the delivery price is averaged, Deribit lets delta run to zero; that
averaging state is not on the wire, and an expiry in that window is no part of any surface.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vol_platform.quant._columns import float_array
from vol_platform.quant.black76 import price
from vol_platform.quant.greeks import greeks

__all__ = ["DAYS_PER_YEAR", "DECIMALS", "DisplayedGreeks", "displayed_greeks", "displayed_years"]

DAYS_PER_YEAR = 365.0
DECIMALS = 5
MINUTES_PER_YEAR = 525_600.0
Floats = NDArray[np.float64]


class DisplayedGreeks(NamedTuple):
    """The `greeks` object of a ticker; units in the module's text."""

    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    rho: Floats


def displayed_years(seconds_to_expiry: ArrayLike) -> Floats:
    """Time to expiry as Deribit's greeks use it: the clock cut to the minute, years of 365 days.

    Parameters
    ----------
    seconds_to_expiry : array_like
        From the ticker's timestamp to 08:00 UTC of the expiry.

    Returns
    -------
    ndarray of float

    Examples
    --------
    >>> float(displayed_years(86_400.0 - 59.0) * 365)
    1.0
    """
    return np.ceil(float_array("seconds_to_expiry", seconds_to_expiry) / 60.0) / MINUTES_PER_YEAR


def displayed_greeks(
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
    mark_price_usd: ArrayLike | None = None,
    decimals: int | None = DECIMALS,
) -> DisplayedGreeks:
    """Delta, gamma, vega, theta and rho in Deribit's display units.

    Parameters
    ----------
    forward : array_like
        The wire's underlying_price, USD.
    strike : array_like
        USD.
    expiry_years : array_like
        Years ACT/365 to 08:00 UTC, as `displayed_years` gives them.
    vol : array_like
        Decimal (the wire's mark_iv is percent).
    is_call : array_like of bool
        Call or put.  All arguments broadcast against each other.
    mark_price_usd : array_like, optional
        The wire's mark_price in USD (× underlying_price when quoted in coin), which caps theta;
        the Black-76 value, from which it differs by rounding, if left out.
    decimals : int or None
        Rounding of the wire; None leaves the values unrounded.

    Returns
    -------
    DisplayedGreeks

    Raises
    ------
    QuantError
        As `greeks.greeks`.

    Examples
    --------
    >>> shown = displayed_greeks(60_000, 66_000, 30 / 365, 0.5, True)
    >>> [float(value) for value in shown]
    [0.27652, 4e-05, 57.55166, -47.95972, 12.51423]
    """
    raw = greeks(forward, strike, expiry_years, vol, is_call)
    cap: ArrayLike
    if mark_price_usd is None:
        cap = price(forward, strike, expiry_years, vol, is_call)
    else:
        cap = float_array("mark_price_usd", mark_price_usd)
    days = float_array("expiry_years", expiry_years) * DAYS_PER_YEAR
    decay = -raw.theta / DAYS_PER_YEAR * np.minimum(days, 1.0)
    shown = DisplayedGreeks(
        delta=raw.delta,
        gamma=raw.gamma,
        vega=raw.vega / 100.0,
        theta=-np.minimum(decay, cap),
        rho=raw.rho / 100.0,
    )
    if decimals is None:
        return shown
    return DisplayedGreeks(*(np.round(column, decimals) for column in shown))
