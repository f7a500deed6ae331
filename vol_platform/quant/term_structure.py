"""Numbers read off a surface: at the money, risk reversals, butterflies, forward volatility.

Conventions: at the money is ``k = ln(strike / forward) = 0``; the 25-delta call is the one whose
unadjusted forward delta is 0.25 (Deribit's displayed delta; on the premium-adjusted delta, in names
`_pa`, the right-most strike is taken); risk reversal is call minus put, butterfly is the mean of
the two less at-the-money.  Volatilities are decimals, quoted in calendar time.

Every function takes any object with the members of `SmileSurface`, of which
`vol_platform.quant.surface.Surface` is the one in use. A maturity between two expiries is read from
the surface itself, which interpolates total variance in event time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vol_platform.quant._columns import float_array
from vol_platform.quant._smile_points import delta_log_moneyness
from vol_platform.quant.errors import QuantError

__all__ = [
    "SkewMetrics",
    "SmileSurface",
    "atm",
    "butterfly",
    "constant_maturity",
    "curvature",
    "delta_vol",
    "expiries",
    "forward_vol",
    "forward_vols",
    "risk_reversal",
    "skew_metrics",
    "slope",
]

DAYS_PER_YEAR = 365.0
Floats = NDArray[np.float64]


class SmileSurface(Protocol):
    """What a surface must offer to be measured."""

    @property
    def expiry_years(self) -> Floats:
        """Listed expiries in years, increasing."""

    def total_variance(self, k: ArrayLike, expiry_years: ArrayLike) -> Floats:
        """``vol**2 * expiry_years`` at log-moneyness k."""


class SkewMetrics(NamedTuple):
    """One row per maturity; the columns of table `skew_metrics`."""

    expiry_years: Floats
    atm_vol: Floats
    risk_reversal_25: Floats
    butterfly_25: Floats
    risk_reversal_10: Floats
    butterfly_10: Floats
    risk_reversal_25_pa: Floats
    butterfly_25_pa: Floats
    skew_slope: Floats
    skew_curvature: Floats


def expiries(surface: SmileSurface) -> Floats:
    """Years to the fitted expiries of a surface, increasing; refused ones are left out."""
    years = np.asarray(surface.expiry_years, dtype=np.float64)
    active = getattr(surface, "active", None)
    return years if active is None else years[np.asarray(active)]


def _maturities(surface: SmileSurface, expiry_years: ArrayLike | None) -> Floats:
    if expiry_years is None:
        return expiries(surface)
    years = float_array("expiry_years", expiry_years)
    if years.size and not np.all(years > 0.0):
        raise QuantError(
            f"expiry_years must be > 0, was {float(np.min(years)):g}; give years, not a date"
        )
    return years


def atm(surface: SmileSurface, expiry_years: ArrayLike | None = None) -> Floats:
    """At-the-money volatility, ``sqrt(w(0, T) / T)``.

    Parameters
    ----------
    surface : SmileSurface
    expiry_years : array_like, optional
        Maturities in years, any shape; all fitted expiries if left out.

    Returns
    -------
    ndarray
        Decimal volatilities of the shape of `expiry_years`.

    Raises
    ------
    QuantError
        A maturity is not positive.
    """
    years = _maturities(surface, expiry_years)
    return np.sqrt(surface.total_variance(np.zeros_like(years), years) / years)


def delta_vol(
    surface: SmileSurface,
    delta: float,
    expiry_years: ArrayLike | None = None,
    *,
    premium_adjusted: bool = False,
) -> Floats:
    """Volatility of the option with this delta.

    Parameters
    ----------
    surface : SmileSurface
    delta : float
        Forward Black delta with its sign: 0.25 is a call, -0.25 a put.
    expiry_years : array_like, optional
        As in `atm`.
    premium_adjusted : bool
        Use delta less the premium in units of the forward.

    Returns
    -------
    ndarray
        NaN where no strike has that delta.

    Raises
    ------
    QuantError
        `delta` is zero or not inside (-1, 1), or a maturity is not positive.
    """
    if not 0.0 < abs(delta) < 1.0:
        raise QuantError(f"delta must be inside (-1, 1) and not 0, was {delta}")
    years = _maturities(surface, expiry_years)
    vols = np.full(years.shape, np.nan)
    for at, maturity in np.ndenumerate(years):

        def variance(points: Floats, maturity: float = float(maturity)) -> Floats:
            return surface.total_variance(points, maturity)

        k = delta_log_moneyness(variance, np.array(delta), premium_adjusted)
        if np.isfinite(k):
            vols[at] = np.sqrt(variance(np.asarray(k)) / maturity)
    return vols


def _delta_vols(
    surface: SmileSurface, deltas: tuple[float, ...], years: Floats, *, premium_adjusted: bool
) -> dict[tuple[float, bool], Floats]:
    """`delta_vol` for several deltas, which share the search on each smile."""
    vols = np.full((len(deltas), years.size), np.nan)
    for at, maturity in enumerate(years):

        def variance(points: Floats, maturity: float = float(maturity)) -> Floats:
            return surface.total_variance(points, maturity)

        k = delta_log_moneyness(variance, np.array(deltas), premium_adjusted)
        found = np.isfinite(k)
        vols[found, at] = np.sqrt(variance(k[found]) / maturity)
    return {(delta, premium_adjusted): vols[row] for row, delta in enumerate(deltas)}


def _wings(
    surface: SmileSurface, delta: float, expiry_years: ArrayLike | None, premium_adjusted: bool
) -> tuple[Floats, Floats]:
    """Volatility of the call and of the put at a delta."""
    call, put = (
        delta_vol(surface, signed, expiry_years, premium_adjusted=premium_adjusted)
        for signed in (abs(delta), -abs(delta))
    )
    return call, put


def risk_reversal(
    surface: SmileSurface,
    delta: float = 0.25,
    expiry_years: ArrayLike | None = None,
    *,
    premium_adjusted: bool = False,
) -> Floats:
    """Risk reversal ``σ(call at delta) - σ(put at -delta)``; positive when calls are dearer.

    Parameters and errors as in `delta_vol`, with `delta` in (0, 1).
    """
    call, put = _wings(surface, delta, expiry_years, premium_adjusted)
    return call - put


def butterfly(
    surface: SmileSurface,
    delta: float = 0.25,
    expiry_years: ArrayLike | None = None,
    *,
    premium_adjusted: bool = False,
) -> Floats:
    """Butterfly ``(σ(call at delta) + σ(put at -delta)) / 2 - σ(at the money)``.

    Parameters and errors as in `delta_vol`, with `delta` in (0, 1).
    """
    call, put = _wings(surface, delta, expiry_years, premium_adjusted)
    return 0.5 * (call + put) - atm(surface, expiry_years)


def _vol_stencil(surface: SmileSurface, years: Floats, width: float) -> tuple[Floats, Floats]:
    """Volatilities at five points around k = 0 (last axis), and the step in k."""
    step = width * np.sqrt(surface.total_variance(np.zeros_like(years), years))
    points = step[..., None] * np.arange(-2.0, 3.0)
    variance = surface.total_variance(points, np.broadcast_to(years[..., None], points.shape))
    return np.sqrt(variance / years[..., None]), step


def slope(surface: SmileSurface, expiry_years: ArrayLike | None = None) -> Floats:
    """At-the-money skew ``dσ/dk`` at k = 0 (five-point difference, 1 % of a standard deviation).

    Parameters and errors as in `atm`.
    """
    vol, step = _vol_stencil(surface, _maturities(surface, expiry_years), 0.01)
    return np.asarray(vol @ np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / (12.0 * step))


def curvature(surface: SmileSurface, expiry_years: ArrayLike | None = None) -> Floats:
    """At-the-money convexity ``d²σ/dk²`` at k = 0 (five-point difference, 3 % of a deviation).

    Parameters and errors as in `atm`.
    """
    vol, step = _vol_stencil(surface, _maturities(surface, expiry_years), 0.03)
    return np.asarray(vol @ np.array([-1.0, 16.0, -30.0, 16.0, -1.0]) / (12.0 * step**2))


def forward_vol(surface: SmileSurface, start_years: ArrayLike, end_years: ArrayLike) -> Floats:
    """At-the-money volatility between two dates, ``sqrt((w2 - w1) / (T2 - T1))``.

    Parameters
    ----------
    surface : SmileSurface
    start_years, end_years : array_like
        Years, broadcast against each other; start 0 gives the plain volatility.

    Returns
    -------
    ndarray
        NaN where variance falls (a calendar arbitrage) or the end is not after the start.

    Raises
    ------
    QuantError
        A start is negative or an end is not positive.
    """
    start, end = np.broadcast_arrays(
        float_array("start_years", start_years), float_array("end_years", end_years)
    )
    if start.size and (np.any(start < 0.0) or np.any(end <= 0.0)):
        raise QuantError(f"start_years must be >= 0 and end_years > 0, were {start} and {end}")
    far = surface.total_variance(np.zeros_like(end), end)
    near = np.zeros_like(start)
    later = start > 0.0
    if later.any():
        near[later] = surface.total_variance(np.zeros(int(later.sum())), start[later])
    span = end - start
    change = far - near
    usable = (span > 0.0) & (change >= 0.0)
    return np.sqrt(np.where(usable, change, np.nan) / np.where(usable, span, 1.0))


def forward_vols(surface: SmileSurface) -> Floats:
    """Forward volatility between each fitted expiry and the one before (the first from now)."""
    years = expiries(surface)
    if years.size == 0:
        return np.empty(0)
    return forward_vol(surface, np.concatenate(([0.0], years[:-1])), years)


def constant_maturity(
    surface: SmileSurface,
    days: ArrayLike,
    measure: Callable[[SmileSurface, Floats], Floats] = atm,
) -> Floats:
    """Read a measure at fixed times to expiry, at-the-money volatility unless told otherwise.

    Parameters
    ----------
    surface : SmileSurface
    days : array_like
        Days to expiry, > 0.
    measure : callable
        Any function of this module that takes (surface, expiry_years), for instance `slope`, or
        ``lambda s, years: risk_reversal(s, 0.25, years)``.

    Returns
    -------
    ndarray
        Shape of `days`.

    Raises
    ------
    QuantError
        Days are not positive.
    """
    wanted = float_array("days", days)
    if wanted.size and not np.all(wanted > 0.0):
        raise QuantError(f"days must be > 0, was {float(np.min(wanted)):g}")
    return measure(surface, wanted / DAYS_PER_YEAR)


def skew_metrics(surface: SmileSurface, expiry_years: ArrayLike | None = None) -> SkewMetrics:
    """All skew measures at once; parameters and errors as in `atm`, one-dimensional."""
    years = np.atleast_1d(_maturities(surface, expiry_years))
    level = atm(surface, years)
    wings = {
        **_delta_vols(surface, (0.25, -0.25, 0.10, -0.10), years, premium_adjusted=False),
        **_delta_vols(surface, (0.25, -0.25), years, premium_adjusted=True),
    }

    def pair(delta: float, adjusted: bool) -> tuple[Floats, Floats]:
        call, put = wings[delta, adjusted], wings[-delta, adjusted]
        return call - put, 0.5 * (call + put) - level

    risk_reversal_25, butterfly_25 = pair(0.25, adjusted=False)
    risk_reversal_10, butterfly_10 = pair(0.10, adjusted=False)
    risk_reversal_25_pa, butterfly_25_pa = pair(0.25, adjusted=True)
    return SkewMetrics(
        expiry_years=years,
        atm_vol=level,
        risk_reversal_25=risk_reversal_25,
        butterfly_25=butterfly_25,
        risk_reversal_10=risk_reversal_10,
        butterfly_10=butterfly_10,
        risk_reversal_25_pa=risk_reversal_25_pa,
        butterfly_25_pa=butterfly_25_pa,
        skew_slope=slope(surface, years),
        skew_curvature=curvature(surface, years),
    )
