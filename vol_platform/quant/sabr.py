"""SABR smiles: Hagan's expansion with Obłój's leading order, and its fit.

Sources: Hagan, Kumar, Lesniewski and Woodward (2002); Obłój (2008), who replaced the leading order
for beta < 1, where Hagan's formula is inconsistent at low strikes.  At beta = 1, the lognormal
model that suits coins and the default here, both agree.

SABR makes no statement about calendar arbitrage and its expansion allows a negative density in
long-dated wings.  It serves as a model to compare with, not as the platform's surface.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from vol_platform.quant._columns import float_array, quoted_smile
from vol_platform.quant.errors import QuantError

__all__ = ["Sabr", "fit", "total_variance", "vol"]

Floats = NDArray[np.float64]
SMALL = 1e-7  # below it the quotients x / y(x) are replaced by their series


class Sabr(NamedTuple):
    """Parameters of one slice."""

    alpha: float
    rho: float
    nu: float
    beta: float = 1.0


def _check(alpha: float, rho: float, nu: float, beta: float) -> None:
    if not (alpha > 0.0 and nu >= 0.0 and -1.0 < rho < 1.0 and 0.0 <= beta <= 1.0):
        raise QuantError(
            "SABR needs alpha > 0, nu >= 0, -1 < rho < 1 and 0 <= beta <= 1, was "
            f"alpha {alpha:g}, rho {rho:g}, nu {nu:g}, beta {beta:g}"
        )


def _leading_ratio(z: Floats, rho: float) -> Floats:
    """Give z / chi(z), with chi(z) = ln((sqrt(1 - 2 rho z + z²) + z - rho) / (1 - rho))."""
    root = np.sqrt(1.0 - 2.0 * rho * z + z * z)
    # sqrt(..) - 1 without cancellation keeps the logarithm exact near the money
    argument = (z + (z * z - 2.0 * rho * z) / (root + 1.0)) / (1.0 - rho)
    chi = np.log1p(argument)
    near = np.abs(z) < SMALL
    return np.where(near, 1.0 - 0.5 * rho * z, z / np.where(near, 1.0, chi))


def vol(
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    alpha: float,
    rho: float,
    nu: float,
    beta: float = 1.0,
) -> Floats:
    """Black volatility of the SABR expansion.

    Parameters
    ----------
    forward, strike : array_like
        USD, > 0.
    expiry_years : array_like
        Years, >= 0.
    alpha, rho, nu, beta : float
        Initial volatility (for beta = 1 the at-the-money level), correlation, volatility of
        volatility, backbone exponent.

    Returns
    -------
    ndarray
        Decimal, broadcast shape; NaN where forward or strike is not positive, or where the
        expansion breaks down (a correction below zero).

    Raises
    ------
    QuantError
        A parameter is out of its range.

    Examples
    --------
    >>> vol(100.0, [80.0, 100.0, 120.0], 0.5, 0.6, -0.3, 1.2).round(6)
    array([0.670536, 0.61494 , 0.594418])
    """
    _check(alpha, rho, nu, beta)
    f, k, t = (
        float_array(name, value)
        for name, value in zip(
            ("forward", "strike", "expiry_years"), (forward, strike, expiry_years), strict=True
        )
    )
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        f, k = np.where(f > 0.0, f, np.nan), np.where(k > 0.0, k, np.nan)
        x = np.log(f / k)
        if beta == 1.0:
            distance = x
            backbone = np.full(np.shape(x), alpha)
            average = np.ones(np.shape(x))
        else:
            power = 1.0 - beta
            # (F^(1-b) - K^(1-b)) / (1-b) = (F K)^((1-b)/2) 2 sinh((1-b) x / 2) / (1-b)
            average = (f * k) ** (0.5 * power)
            distance = average * 2.0 * np.sinh(0.5 * power * x) / power
            near = np.abs(x) < SMALL
            ratio = np.where(near, 1.0 / average, x / np.where(near, 1.0, distance))
            backbone = alpha * ratio
        z = nu / alpha * distance
        leading = backbone * _leading_ratio(np.asarray(z), rho)
        correction = (
            (1.0 - beta) ** 2 / 24.0 * (alpha / average) ** 2
            + 0.25 * rho * beta * nu * alpha / average
            + (2.0 - 3.0 * rho * rho) / 24.0 * nu * nu
        )
        result = leading * (1.0 + correction * t)
        return np.where(result > 0.0, result, np.nan)


def total_variance(k: ArrayLike, expiry_years: float, parameters: Sabr) -> Floats:
    """``vol² T`` at log-moneyness `k`, on a forward of 1 (exact for beta = 1).

    Parameters
    ----------
    k : array_like
        ln(strike / forward).
    expiry_years : float
        Years, > 0.
    parameters : Sabr

    Returns
    -------
    ndarray
        Shape of `k`.

    Raises
    ------
    QuantError
        A parameter is out of its range.
    """
    points = np.exp(float_array("k", k))
    sigma = vol(1.0, points, expiry_years, *parameters)
    return sigma * sigma * expiry_years


def fit(
    k: ArrayLike,
    bid_vol: ArrayLike,
    ask_vol: ArrayLike,
    expiry_years: float,
    beta: float = 1.0,
) -> Sabr:
    """Fit one slice to bid and ask volatilities.

    Distances from mid are counted in half spreads (floored at 0.1 points), with a soft loss so that
    a single bad quote does not tilt the wing.

    Parameters
    ----------
    k : array_like
        Log-moneyness, shape (n,), n >= 3.
    bid_vol, ask_vol : array_like
        Decimals, shape (n,); equal for a fit to points.  Rows with NaN are left out.
    expiry_years : float
        Years, > 0.
    beta : float
        Kept fixed; 1 is lognormal.

    Returns
    -------
    Sabr

    Raises
    ------
    QuantError
        Shapes differ, fewer than three usable points, or `expiry_years` or `beta` out of range.
    """
    points, bid, ask = quoted_smile(k, bid_vol, ask_vol, expiry_years)
    if points.size < 3:
        raise QuantError(
            f"three usable points are needed for three parameters, there were {points.size}"
        )
    mid = 0.5 * (bid + ask)
    scale = np.maximum(0.5 * (ask - bid), 1e-3)
    strikes = np.exp(points)

    def residuals(free: Floats) -> Floats:
        model = vol(
            1.0, strikes, expiry_years, np.exp(free[0]), np.tanh(free[1]), np.exp(free[2]), beta
        )
        return np.where(np.isfinite(model), (model - mid) / scale, 1e3)

    level = float(mid[np.argmin(np.abs(points))])
    slope = float(np.polyfit(points, mid, 1)[0]) if np.ptp(points) > 0.0 else 0.0
    best: tuple[float, Floats] | None = None
    # the smile's curvature leaves nu ambiguous at first: start below and above the usual value
    for nu in (0.6 / np.sqrt(expiry_years) ** 0.5, 2.0 / np.sqrt(expiry_years) ** 0.5):
        rho = np.clip(2.0 * slope / nu, -0.9, 0.9)
        start = np.array([np.log(level), np.arctanh(rho), np.log(nu)])
        solution = least_squares(residuals, start, loss="soft_l1", method="trf", max_nfev=200)
        if best is None or solution.cost < best[0]:
            best = (float(solution.cost), np.asarray(solution.x))
    if best is None:  # pragma: no cover - the loop above always runs
        raise QuantError("no start value was tried")
    free = best[1]
    rho = float(np.clip(np.tanh(free[1]), -0.999999, 0.999999))
    return Sabr(float(np.exp(free[0])), rho, float(np.exp(free[2])), beta)
