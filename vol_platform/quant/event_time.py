"""Event time: calendar time in which weekend seconds count for less.

Crypto trades through the weekend, but little happens: options that live only over a weekend are
quoted at a lower volatility.  ``tau(t) = integral of omega``, with ``omega = weekend_weight`` on
Saturday and Sunday UTC and 1 else, makes the variance flow evenly between two expiries.  Quoted
volatilities stay in calendar time.

The weight is a setting (`SurfaceConfig.weekend_weight`, where its default is explained);
`estimate_weekend_weight` reads it off surfaces with daily expiries.

Source of the idea: variance in weighted time, P. Jaeckel (2006) and others before; for the effect
in bitcoin options see `docs/method.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vol_platform.quant.errors import QuantError

__all__ = ["DatedSurface", "WeekendEstimate", "estimate_weekend_weight", "event_years"]

FloatArray = npt.NDArray[np.float64]

_DAY = 86_400.0
_WEEK = 7.0 * _DAY
_SECONDS_PER_YEAR = 365.0 * _DAY
# 1970-01-03 was a Saturday: two days after the epoch.
_FIRST_SATURDAY = 2.0 * _DAY


class DatedSurface(Protocol):
    """What `estimate_weekend_weight` reads of a surface."""

    @property
    def snapshot_ts(self) -> datetime | None:
        """As-of instant, UTC."""

    @property
    def expiry_years(self) -> FloatArray:
        """ACT/365 years to all expiries."""

    @property
    def active(self) -> npt.NDArray[np.int64]:
        """Indices of the fitted ones."""

    def total_variance(self, k: npt.ArrayLike, expiry_years: npt.ArrayLike) -> FloatArray:
        """``vol^2 T``, as in `surface.Surface.total_variance`."""


class WeekendEstimate(NamedTuple):
    """What daily expiries say about the weight of a weekend second.

    Attributes
    ----------
    weight
        Median over the surfaces that can tell; NaN when none can.
    lower, upper
        Quartiles.
    surfaces
        How many could tell.
    """

    weight: float
    lower: float
    upper: float
    surfaces: int


def _weekend_seconds(epoch: float) -> float:
    """Weekend seconds between the first Saturday after 1970 and `epoch`, both UTC."""
    weeks, rest = divmod(epoch - _FIRST_SATURDAY, _WEEK)
    return weeks * 2.0 * _DAY + min(rest, 2.0 * _DAY)


def _weekend_years(start: datetime, years: float) -> float:
    begin = (start.replace(tzinfo=UTC) if start.tzinfo is None else start).timestamp()
    seconds = _weekend_seconds(begin + years * _SECONDS_PER_YEAR) - _weekend_seconds(begin)
    return seconds / _SECONDS_PER_YEAR


def event_years(start: datetime | None, years: float, weekend_weight: float) -> float:
    """Event time from `start` over `years` of calendar time, in years of 365 days.

    Parameters
    ----------
    start
        UTC; None means no calendar is known and returns `years`.
    years
        ACT/365.
    weekend_weight
        Weight of a weekend second; 1 makes event time calendar time.

    Returns
    -------
    float
        At most `years` for a weight of at most 1.

    Examples
    --------
    >>> saturday = datetime(2026, 4, 11, tzinfo=UTC)
    >>> round(event_years(saturday, 2 / 365, 0.8) * 365, 6)
    1.6
    """
    if start is None or weekend_weight == 1.0:
        return years
    return years - (1.0 - weekend_weight) * _weekend_years(start, years)


def estimate_weekend_weight(
    surfaces: Iterable[DatedSurface], horizon_days: float = 5.0
) -> WeekendEstimate:
    """Weight of a weekend second in the term structure of daily expiries.

    Of each surface, the variance at the money between neighbouring expiries inside the horizon
    (the first one from now) is regressed on its weekday and its weekend time, without a constant;
    the ratio of the two rates is that surface's weight.  A surface can tell when it has three
    intervals or more of which at least one is mostly weekend and one mostly not.  Weekly expiries
    all hold two days in seven and could not.

    Parameters
    ----------
    surfaces
        With a snapshot time each; any object like `surface.Surface`.
    horizon_days
        Expiries further out are left out.

    Returns
    -------
    WeekendEstimate

    Raises
    ------
    QuantError
        The horizon is not positive.
    """
    if not horizon_days > 0.0:
        raise QuantError(f"horizon_days must be > 0, was {horizon_days:g}")
    weights = []
    for surface in surfaces:
        weight = _weight_of(surface, horizon_days / 365.0)
        if math.isfinite(weight):
            weights.append(weight)
    if not weights:
        return WeekendEstimate(math.nan, math.nan, math.nan, 0)
    lower, middle, upper = np.quantile(weights, (0.25, 0.5, 0.75)).tolist()
    return WeekendEstimate(middle, lower, upper, len(weights))


def _weight_of(surface: DatedSurface, horizon: float) -> float:
    years = surface.expiry_years[surface.active]
    years = years[years <= horizon]
    if surface.snapshot_ts is None or years.size < 3:
        return math.nan
    weekend = np.diff([0.0, *(_weekend_years(surface.snapshot_ts, float(T)) for T in years)])
    length = np.diff(years, prepend=0.0)
    part = weekend / length
    if not (part.max() > 0.5 > part.min()):
        return math.nan
    variance = np.diff(surface.total_variance(np.zeros(years.size), years), prepend=0.0)
    times = np.stack([length - weekend, weekend], axis=1)
    # an error of variance grows with the variance, so with time: each interval counts alike
    rates = np.linalg.lstsq(times / length[:, None], variance / length, rcond=None)[0]
    return float(rates[1] / rates[0]) if rates[0] > 0.0 else math.nan
