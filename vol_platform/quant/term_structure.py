"""Numbers read off a surface: at the money, risk reversals, butterflies, forward volatility.

Conventions: at the money is ``k = ln(strike / forward) = 0``; the 25-delta call is the one whose
unadjusted forward delta is 0.25 (Deribit's displayed delta; on the premium-adjusted delta, in names
`_pa`, the right-most strike is taken); risk reversal is call minus put, butterfly is the mean of
the two less at-the-money.  Volatilities are decimals, quoted in calendar time.

Conventions after D. Reiswich and U. Wystup, A guide to FX options quoting conventions (2010).

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
    "forward_vol_between",
    "forward_vols",
    "risk_reversal",
    "skew_metrics",
    "skew_metrics_of_smiles",
    "slope",
]

DAYS_PER_YEAR = 365.0
Floats = NDArray[np.float64]
Variance = Callable[[Floats], Floats]


class SmileSurface(Protocol):
    """What a surface must offer to be measured."""

    @property
    def expiry_years(self) -> Floats:
        """Listed expiries in years, increasing."""

    def total_variance(self, k: ArrayLike, expiry_years: ArrayLike) -> Floats:
        """``vol**2 * expiry_years``, as in `surface.Surface.total_variance`."""


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
    """Years to the fitted expiries of a surface, increasing, shape (fitted,); no refused ones."""
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
    variance = _variance_of(surface, years)
    vols = _delta_vols(variance, years.ravel(), (delta,), premium_adjusted=premium_adjusted)
    return vols[:, 0].reshape(years.shape)


def _variance_of(surface: SmileSurface, years: Floats) -> Variance:
    """Total variance of the smiles at these maturities, a row each."""
    maturities = years.reshape(-1, 1)
    return lambda k: surface.total_variance(k, np.broadcast_to(maturities, k.shape))


def _delta_vols(
    variance: Variance, years: Floats, deltas: tuple[float, ...], *, premium_adjusted: bool
) -> Floats:
    """Volatility at every delta, which share the search on each smile; (maturities, deltas)."""
    k = delta_log_moneyness(variance, years.size, np.array(deltas), premium_adjusted)
    return np.sqrt(variance(k) / years[:, None])


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


def slope(surface: SmileSurface, expiry_years: ArrayLike | None = None) -> Floats:
    """At-the-money skew ``dσ/dk`` at k = 0 (five-point difference, 1 % of a standard deviation).

    Parameters and errors as in `atm`.
    """
    years = _maturities(surface, expiry_years)
    return _slope(_variance_of(surface, years), years.ravel()).reshape(years.shape)


def curvature(surface: SmileSurface, expiry_years: ArrayLike | None = None) -> Floats:
    """At-the-money convexity ``d²σ/dk²`` at k = 0 (five-point difference, 3 % of a deviation).

    Parameters and errors as in `atm`.
    """
    years = _maturities(surface, expiry_years)
    return _curvature(_variance_of(surface, years), years.ravel()).reshape(years.shape)


def _slope(variance: Variance, years: Floats) -> Floats:
    vol, step = _vol_stencil(variance, years, 0.01)
    return _weighted(vol, (1.0, -8.0, 0.0, 8.0, -1.0)) / (12.0 * step)


def _curvature(variance: Variance, years: Floats) -> Floats:
    vol, step = _vol_stencil(variance, years, 0.03)
    return _weighted(vol, (-1.0, 16.0, -30.0, 16.0, -1.0)) / (12.0 * step**2)


def _vol_stencil(variance: Variance, years: Floats, width: float) -> tuple[Floats, Floats]:
    """Volatilities at five points around k = 0, a row per maturity, and the step in k."""
    step = width * np.sqrt(variance(np.zeros((years.size, 1)))[:, 0])
    points = step[:, None] * np.arange(-2.0, 3.0)
    return np.sqrt(variance(points) / years[:, None]), step


def _weighted(vol: Floats, weights: tuple[float, ...]) -> Floats:
    # Term by term and not as a matrix product, whose sums depend on how many rows there are.
    total = np.zeros(vol.shape[0])
    for column, weight in enumerate(weights):
        total += weight * vol[:, column]
    return total


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
    return forward_vol_between(near, far, start, end)


def forward_vol_between(
    start_variance: Floats, end_variance: Floats, start_years: Floats, end_years: Floats
) -> Floats:
    """Volatility between two dates from the total variances up to them; NaN as in `forward_vol`."""
    span = end_years - start_years
    change = end_variance - start_variance
    usable = (span > 0.0) & (change >= 0.0)
    return np.sqrt(np.where(usable, change, np.nan) / np.where(usable, span, 1.0))


def forward_vols(surface: SmileSurface) -> Floats:
    """Forward volatility between each fitted expiry of `surface` and the one before it.

    Returns
    -------
    ndarray
        One per fitted expiry, the first from now; NaN as in `forward_vol`.
    """
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
    return skew_metrics_of_smiles(_variance_of(surface, years), years)


def skew_metrics_of_smiles(variance: Variance, expiry_years: Floats) -> SkewMetrics:
    """All skew measures of many smiles at once, which may belong to different surfaces.

    Parameters
    ----------
    variance
        Total variance by log-moneyness of shape (smiles, points), as `Smiles.total_variance`.
    expiry_years
        Maturity of each smile, > 0; shape (smiles,).
    """
    years = expiry_years
    level = np.sqrt(variance(np.zeros((years.size, 1)))[:, 0] / years)
    plain = _delta_vols(variance, years, (0.25, -0.25, 0.10, -0.10), premium_adjusted=False).T
    adjusted = _delta_vols(variance, years, (0.25, -0.25), premium_adjusted=True).T

    def pair(call: Floats, put: Floats) -> tuple[Floats, Floats]:
        return call - put, 0.5 * (call + put) - level

    risk_reversal_25, butterfly_25 = pair(plain[0], plain[1])
    risk_reversal_10, butterfly_10 = pair(plain[2], plain[3])
    risk_reversal_25_pa, butterfly_25_pa = pair(adjusted[0], adjusted[1])
    return SkewMetrics(
        expiry_years=years,
        atm_vol=level,
        risk_reversal_25=risk_reversal_25,
        butterfly_25=butterfly_25,
        risk_reversal_10=risk_reversal_10,
        butterfly_10=butterfly_10,
        risk_reversal_25_pa=risk_reversal_25_pa,
        butterfly_25_pa=butterfly_25_pa,
        skew_slope=_slope(variance, years),
        skew_curvature=_curvature(variance, years),
    )
