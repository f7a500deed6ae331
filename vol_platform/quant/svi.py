"""SVI: one smile in five parameters, in its three coordinate systems.

Raw (Gatheral 2004), natural, and the trader's Jump-Wings (Gatheral and Jacquier 2014):

    raw      w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2))
    natural  w(k) = delta + omega/2 (1 + zeta rho y + sqrt((zeta y + rho)^2 + 1 - rho^2)),
             y = k - mu
    JW       v = w(0)/T, psi = d sqrt(w)/dk at the money, p and c = put and call wing slopes over
             sqrt(w(0)), v_tilde = smallest variance / T
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vol_platform.quant._columns import quoted_smile
from vol_platform.quant._fit.calibrate import COLD, Calibration
from vol_platform.quant._fit.problem import Loss, new_problem
from vol_platform.quant._fit.start import RICH
from vol_platform.quant._slices import ROW, row_to_raw
from vol_platform.quant.errors import QuantError

__all__ = [
    "JumpWings",
    "Natural",
    "Raw",
    "SliceErrors",
    "fit",
    "jw_to_raw",
    "natural_to_raw",
    "raw_to_jw",
    "raw_to_natural",
    "standard_errors",
    "total_variance",
    "total_variance_derivatives",
]

FloatArray = npt.NDArray[np.float64]

_VOL_FLOOR = 1e-3
"""Smallest half spread that sets the weight of a quote."""


class Raw(NamedTuple):
    """Raw SVI parameters: total variance, its slope per unit of k, dimensionless, k, k."""

    a: float
    b: float
    rho: float
    m: float
    sigma: float


class Natural(NamedTuple):
    """Natural SVI parameters."""

    delta: float
    mu: float
    rho: float
    omega: float
    zeta: float


class SliceErrors(NamedTuple):
    """How well quotes determine a raw slice.

    Attributes
    ----------
    parameters
        Standard error of each parameter.
    covariance
        Of (a, b, rho, m, sigma), shape (5, 5).
    raw, expiry_years
        The slice.
    """

    parameters: Raw
    covariance: FloatArray
    raw: Raw
    expiry_years: float

    def vol(self, k: npt.ArrayLike) -> FloatArray:
        """Give the standard error of the volatility at log-moneyness `k`: decimal, shape of `k`."""
        points = np.asarray(k, dtype=np.float64)
        w, gradient = _raw_gradient(self.raw, points.ravel())
        slope = gradient / (2.0 * np.sqrt(w * self.expiry_years))[:, None]
        variance = np.einsum("ij,jk,ik->i", slope, self.covariance, slope)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)).reshape(points.shape))


class JumpWings(NamedTuple):
    """SVI-JW parameters, all per year of the given expiry."""

    v: float
    psi: float
    p: float
    c: float
    v_tilde: float


def total_variance(
    k: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    rho: npt.ArrayLike,
    m: npt.ArrayLike,
    sigma: npt.ArrayLike,
) -> FloatArray:
    """Total variance ``w = vol^2 T`` of raw SVI.

    Parameters
    ----------
    k
        Log-moneyness ``ln(strike / forward)``.
    a, b, rho, m, sigma
        Raw SVI (total variance, its slope per unit of k, dimensionless, k, k); not checked.  All
        arguments broadcast against each other.

    Returns
    -------
    ndarray
        The broadcast shape.

    Examples
    --------
    >>> round(float(total_variance(0.0, 0.04, 0.4, -0.4, 0.05, 0.1)), 6)
    0.092721
    """
    x = np.asarray(k, dtype=np.float64) - np.asarray(m, dtype=np.float64)
    s = np.asarray(sigma, dtype=np.float64)
    hyperbola = np.asarray(rho, dtype=np.float64) * x + np.sqrt(x * x + s * s)
    return np.asarray(np.asarray(a, dtype=np.float64) + np.asarray(b, dtype=np.float64) * hyperbola)


def total_variance_derivatives(
    k: npt.ArrayLike, a: float, b: float, rho: float, m: float, sigma: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """``w``, ``dw/dk`` and ``d2w/dk2`` of raw SVI, each of the shape of `k`.

    Parameters
    ----------
    k
        Log-moneyness, any shape.
    a, b, rho, m, sigma
        As in `total_variance`, one slice.
    """
    x = np.asarray(k, dtype=np.float64) - m
    root = np.sqrt(x * x + sigma * sigma)
    return (
        np.asarray(a + b * (rho * x + root)),
        np.asarray(b * (rho + x / root)),
        np.asarray(b * sigma * sigma / root**3),
    )


def raw_to_jw(
    a: float, b: float, rho: float, m: float, sigma: float, *, expiry_years: float
) -> JumpWings:
    """Jump-Wings parameters of a raw slice (Gatheral and Jacquier 2014, equation 3.5).

    Parameters
    ----------
    a, b, rho, m, sigma
        Raw SVI (total variance, its slope per unit of k, dimensionless, k, k).
    expiry_years
        ACT/365, > 0.

    Raises
    ------
    QuantError
        `expiry_years` or the variance at the money is not positive.
    """
    root = math.sqrt(m * m + sigma * sigma)
    w0 = a + b * (root - rho * m)
    if not (expiry_years > 0 and w0 > 0):
        msg = f"expiry_years and w(0) must be > 0, were {expiry_years:g} and {w0:g}"
        raise QuantError(msg)
    unit = math.sqrt(w0)
    return JumpWings(
        v=w0 / expiry_years,
        psi=0.5 * b / unit * (rho - m / root),
        p=b * (1 - rho) / unit,
        c=b * (1 + rho) / unit,
        v_tilde=(a + b * sigma * math.sqrt(1 - rho * rho)) / expiry_years,
    )


def jw_to_raw(
    v: float, psi: float, p: float, c: float, v_tilde: float, *, expiry_years: float
) -> Raw:
    """Raw parameters of a Jump-Wings slice (Gatheral and Jacquier 2014, Lemma 3.2).

    Parameters
    ----------
    v, psi, p, c, v_tilde
        Variance at the money and smallest variance (per year), slope at the money, and put and
        call wing slopes, the slopes over ``sqrt(w(0))``.
    expiry_years
        ACT/365, > 0.

    Raises
    ------
    QuantError
        The parameters describe no SVI slice.
    """
    if not (expiry_years > 0 and v > 0 and p >= 0 and c >= 0 and p + c > 0):
        msg = f"need expiry_years, v, p + c > 0 and p, c >= 0, were {(expiry_years, v, p, c)}"
        raise QuantError(msg)
    w0 = v * expiry_years
    unit = math.sqrt(w0)
    b = 0.5 * unit * (c + p)
    rho = 1.0 - p * unit / b
    beta = rho - 2.0 * psi * unit / b
    if not abs(beta) <= 1.0:
        msg = f"psi {psi:g} is outside what p {p:g} and c {c:g} allow (|beta| = {abs(beta):g} > 1)"
        raise QuantError(msg)
    bend = math.sqrt(1.0 - rho * rho)
    # beta = m / sqrt(m^2 + sigma^2); with sigma as unit, m = beta / sqrt(1 - beta^2) sigma.
    root = math.sqrt(max(1.0 - beta * beta, 0.0))
    # (v - v_tilde) T = b sqrt(m^2+s^2) (1 - rho beta - bend root), all proportional to the scale.
    shape = 1.0 - rho * beta - bend * root
    if shape < 1e-14:
        msg = f"psi {psi:g} puts the minimum at the money, where v_tilde does not fix the curvature"
        raise QuantError(msg)
    hypotenuse = (v - v_tilde) * expiry_years / (b * shape)
    sigma = root * hypotenuse
    return Raw(
        a=v_tilde * expiry_years - b * sigma * bend,
        b=b,
        rho=rho,
        m=beta * hypotenuse,
        sigma=sigma,
    )


def raw_to_natural(a: float, b: float, rho: float, m: float, sigma: float) -> Natural:
    """Natural parameters of a raw slice (Gatheral and Jacquier 2014, Lemma 3.1).

    Parameters
    ----------
    a, b, rho, m, sigma
        Raw SVI (total variance, its slope per unit of k, dimensionless, k, k).

    Raises
    ------
    QuantError
        `sigma` is not positive or the size of rho is not below 1.
    """
    if not (sigma > 0 and abs(rho) < 1):
        msg = f"need sigma > 0 and |rho| < 1, were {sigma:g} and {rho:g}"
        raise QuantError(msg)
    bend = math.sqrt(1.0 - rho * rho)
    omega = 2.0 * b * sigma / bend
    return Natural(
        delta=a - 0.5 * omega * (1.0 - rho * rho),
        mu=m + rho * sigma / bend,
        rho=rho,
        omega=omega,
        zeta=bend / sigma,
    )


def natural_to_raw(delta: float, mu: float, rho: float, omega: float, zeta: float) -> Raw:
    """Raw parameters of a natural slice (Gatheral and Jacquier 2014, Lemma 3.1).

    Parameters
    ----------
    delta, mu, rho, omega, zeta
        Natural SVI (total variance, k, dimensionless, total variance, 1/k).

    Raises
    ------
    QuantError
        `zeta` is not positive or the size of rho is not below 1.
    """
    if not (zeta > 0 and abs(rho) < 1):
        msg = f"need zeta > 0 and |rho| < 1, were {zeta:g} and {rho:g}"
        raise QuantError(msg)
    bend = math.sqrt(1.0 - rho * rho)
    return Raw(
        a=delta + 0.5 * omega * (1.0 - rho * rho),
        b=0.5 * omega * zeta,
        rho=rho,
        m=mu - rho / zeta,
        sigma=bend / zeta,
    )


def fit(
    k: npt.ArrayLike,
    bid_vol: npt.ArrayLike,
    ask_vol: npt.ArrayLike,
    expiry_years: float,
) -> Raw:
    """Fit one butterfly-free raw SVI slice to bid and ask volatilities.

    Quasi-explicit start (De Marco and Martini 2009), then Levenberg-Marquardt with the dead-zone
    loss and ``g >= 0`` as constraint; the same kernels as the joint fit.

    Parameters
    ----------
    k
        Log-moneyness, shape (n,), n >= 5.
    bid_vol, ask_vol
        Decimals, shape (n,); equal for a fit to points.  Rows with NaN are left out.
    expiry_years
        ACT/365, > 0.

    Raises
    ------
    QuantError
        Shapes differ, fewer than five usable points, or `expiry_years` is not positive.
    """
    points, bid, ask = quoted_smile(k, bid_vol, ask_vol, expiry_years)
    count = points.size
    if count < 5:
        msg = f"five usable points are needed for five parameters, there were {count}"
        raise QuantError(msg)
    half = 0.5 * (ask - bid)
    rows = np.zeros((1, ROW))
    problem = new_problem(
        np.array([0, count]), points, 0.5 * (bid + ask), half, np.maximum(half, _VOL_FLOOR),
        np.zeros(count, dtype=np.int64), np.ones(count), np.array([float(expiry_years)]), Loss(),
    )  # fmt: skip
    Calibration.of(rows, problem, np.array([RICH]), np.array([COLD]), 1.0, False, 14).run()
    return Raw(*row_to_raw(rows[0]))


def _raw_gradient(raw: Raw, k: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Total variance and its derivatives in the five parameters, shape (n, 5)."""
    _, b, rho, m, sigma = raw
    x = k - m
    root = np.sqrt(x * x + sigma * sigma)
    columns = (np.ones_like(x), rho * x + root, b * x, -b * (rho + x / root), b * sigma / root)
    return total_variance(k, *raw), np.stack(columns, axis=1)


def standard_errors(
    parameters: Raw,
    k: npt.ArrayLike,
    bid_vol: npt.ArrayLike,
    ask_vol: npt.ArrayLike,
    expiry_years: float,
) -> SliceErrors:
    """Error bars of a raw slice from the spreads of the quotes it was fitted to.

    Each quote is an observation uniform over its spread (variance: half spread squared over 3); a
    weak prior of half a natural unit keeps thin slices finite.  The `vol_error` of a surface is
    the same figure at k = 0.

    Parameters
    ----------
    parameters
        The slice, for instance from `fit`.
    k
        Log-moneyness of its quotes, shape (n,).
    bid_vol, ask_vol
        Decimals, shape (n,).  Rows with NaN or a crossed pair are left out.
    expiry_years
        ACT/365, > 0.

    Returns
    -------
    SliceErrors

    Raises
    ------
    QuantError
        Shapes differ, or `expiry_years` or the variance at the money is not positive.
    """
    raw = Raw(*parameters)
    points, bid, ask = quoted_smile(k, bid_vol, ask_vol, expiry_years)
    w0 = float(total_variance(0.0, *raw))
    if not w0 > 0.0:
        msg = f"the variance at the money must be > 0, was {w0:g}"
        raise QuantError(msg)
    w, gradient = _raw_gradient(raw, points)
    unit = np.maximum(0.5 * (ask - bid), _VOL_FLOOR)
    per_vol = gradient / (2.0 * np.sqrt(w * expiry_years) * unit)[:, None]
    # The prior is one of (a, put slope, call slope, m, sigma), like the fit's own.
    of_slopes = np.eye(5)
    of_slopes[1:3, 1:3] = ((1.0 - raw.rho, -raw.b), (1.0 + raw.rho, raw.b))
    prior = np.diag([4.0 / w0**2, *(4.0 / w0,) * 4])
    information = 3.0 * per_vol.T @ per_vol + of_slopes.T @ prior @ of_slopes
    covariance = np.asarray(np.linalg.inv(information), dtype=np.float64)
    return SliceErrors(
        Raw(*np.sqrt(np.diag(covariance)).tolist()), covariance, raw, float(expiry_years)
    )
