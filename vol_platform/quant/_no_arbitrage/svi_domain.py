"""The exact no-butterfly domain of raw SVI (Martini and Mingone 2022), by polynomial roots.

With ``a = sigma alpha``, ``m = sigma mu`` and ``k = sigma (l + mu)`` a slice is ``w = sigma N(l)``,
``N(l) = alpha + b (rho l + sqrt(l^2 + 1))``, and Durrleman's function splits into a part without
sigma and one that is inverse to it:

    g = G1(l) - g2(l) / (2 sigma),
    G1 = (1 - N' ((l + mu)/(2N) + 1/4)) (1 - N' ((l + mu)/(2N) - 1/4)),   g2 = N'^2/(2N) - N''.

Fukasawa (2012) proved that both factors of G1 are positive on a free smile.  That bounds mu from
both sides, and given it, ``g >= 0`` everywhere exactly where sigma is at least the supremum of
``g2 / (2 G1)``.

The bounds are extrema on a line.  With ``l = (t - 1/t)/2`` everything is rational in ``t > 0``, so
each extremum is among the positive roots of a polynomial; no search can miss one.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.polynomial import polynomial

from vol_platform.quant.errors import QuantError

__all__ = ["ButterflyDomain", "butterfly_domain"]

FloatArray = npt.NDArray[np.float64]
Polynomial = npt.NDArray[np.floating[Any]]
"""Coefficients, the constant first."""

_T = np.array([0.0, 1.0])
_T_SQUARED = np.array([0.0, 0.0, 1.0])
_T2_PLUS_1 = np.array([1.0, 0.0, 1.0])
_T2_MINUS_1 = np.array([-1.0, 0.0, 1.0])
_REAL = 1e-5
"""A root whose imaginary part is a smaller share of it is real: a double root splits by rounding,
and a point that is no extremum can only be evaluated in vain."""


class ButterflyDomain(NamedTuple):
    """Where a raw SVI slice stands in the domain without butterfly arbitrage.

    Attributes
    ----------
    shift, shift_low, shift_high
        ``m / sigma``, and the open interval it must lie in (Fukasawa's conditions); empty when its
        bounds have crossed.
    sigma, sigma_minimum
        The slice's sigma, in units of k, and the smallest free one at this ``a/sigma``, ``b``,
        ``rho`` and ``m/sigma``; infinite where the shift is outside its interval.
    wings_free, is_positive
        ``b (1 + |rho|) < 2``, and ``a + b sigma sqrt(1 - rho^2) > 0``; the bounds are NaN unless
        both hold.
    """

    shift: float
    shift_low: float
    shift_high: float
    sigma: float
    sigma_minimum: float
    wings_free: bool
    is_positive: bool

    @property
    def is_free(self) -> bool:
        """The verdict: no butterfly arbitrage anywhere on the line."""
        return (
            self.wings_free
            and self.is_positive
            and self.shift_low < self.shift < self.shift_high
            and self.sigma >= self.sigma_minimum
        )


def butterfly_domain(a: float, b: float, rho: float, m: float, sigma: float) -> ButterflyDomain:
    """Place a raw SVI slice in its exact no-butterfly domain.

    Independent of `slice_minimum`: no interval is searched, and g is never evaluated.

    Parameters
    ----------
    a, b, rho, m, sigma
        Raw SVI (total variance, its slope per unit of k, dimensionless, k, k); b >= 0,
        ``|rho| < 1``, sigma > 0.

    Returns
    -------
    ButterflyDomain

    Raises
    ------
    QuantError
        A parameter is out of its range.

    Notes
    -----
    C. Martini and A. Mingone, No arbitrage SVI, SIAM J. Financial Mathematics 13 (2022);
    M. Fukasawa, The normalizing transformation of the implied volatility smile (2012).

    Examples
    --------
    Vogt's slice: its shift lies outside what Fukasawa allows, so no sigma would save it.

    >>> vogt = butterfly_domain(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)
    >>> vogt.is_free, round(vogt.shift, 4), round(vogt.shift_high, 4)
    (False, 0.8635, 0.8294)
    """
    if not (b >= 0.0 and abs(rho) < 1.0 and sigma > 0.0 and math.isfinite(a + b + m + sigma)):
        raise QuantError(
            f"raw SVI needs b >= 0, |rho| < 1 and sigma > 0, was b {b:g}, rho {rho:g}, "
            f"sigma {sigma:g} (a {a:g}, m {m:g})"
        )
    shift = m / sigma
    wings_free = b * (1.0 + abs(rho)) < 2.0
    is_positive = a + b * sigma * math.sqrt(1.0 - rho * rho) > 0.0
    if not (wings_free and is_positive):
        nan = math.nan
        return ButterflyDomain(shift, nan, nan, sigma, nan, wings_free, is_positive)
    if b == 0.0:  # a flat smile
        return ButterflyDomain(shift, -math.inf, math.inf, sigma, 0.0, wings_free, is_positive)
    # N = level / t and N' = b slope / (t^2 + 1), both polynomials in t
    level = np.array([0.5 * b * (1.0 - rho), a / sigma, 0.5 * b * (1.0 + rho)])
    slope = np.array([rho - 1.0, 0.0, 1.0 + rho])
    low = _shift_bound(level, slope, b, -1.0)
    high = _shift_bound(level, slope, b, 1.0)
    least = _sigma_minimum(level, slope, b, shift) if low < shift < high else math.inf
    return ButterflyDomain(shift, low, high, sigma, least, wings_free, is_positive)


def _shift_bound(level: FloatArray, slope: FloatArray, b: float, side: float) -> float:
    """Extremum of ``2N/N' - side N/2 - l`` where N' has the sign of `side`.

    The smallest value on the right of the smile's minimum bounds mu from above, the largest on its
    left from below.
    """
    above = polynomial.polysub(
        4.0 * polynomial.polymul(level, _T2_PLUS_1),
        b * polynomial.polymul(slope, polynomial.polyadd(side * level, _T2_MINUS_1)),
    )
    below = 2.0 * b * polynomial.polymul(_T, slope)
    places = _stationary(above, below)
    places = places[side * polynomial.polyval(places, slope) > 0.0]
    values = polynomial.polyval(places, above) / polynomial.polyval(places, below)
    return float(values.min() if side > 0.0 else values.max())


def _sigma_minimum(level: FloatArray, slope: FloatArray, b: float, shift: float) -> float:
    """Largest value of ``g2 / (2 G1)`` on the line, where Fukasawa's conditions hold."""
    place = np.array([-1.0, 2.0 * shift, 1.0])  # l + mu = place / (2t)
    first = polynomial.polysub(
        4.0 * polynomial.polymul(level, _T2_PLUS_1), b * polynomial.polymul(place, slope)
    )
    wing = b * polynomial.polymul(slope, level)
    product = polynomial.polysub(
        polynomial.polymul(first, first), polynomial.polymul(wing, wing)
    )  # 16 N^2 t^2 (t^2 + 1)^2 G1
    bend = polynomial.polysub(
        b * polynomial.polymul(polynomial.polymul(slope, slope), _T2_PLUS_1),
        16.0 * polynomial.polymul(_T_SQUARED, level),
    )
    above = 4.0 * b * polynomial.polymul(polynomial.polymul(level, _T), bend)
    below = polynomial.polymul(_T2_PLUS_1, product)
    places = _stationary(above, below)
    values = polynomial.polyval(places, above) / polynomial.polyval(places, below)
    return float(values.max(initial=0.0))  # 0 is the limit at both ends of the line


def _stationary(above: Polynomial, below: Polynomial) -> FloatArray:
    """Positive real roots of the derivative of ``above / below``."""
    change = polynomial.polysub(
        polynomial.polymul(polynomial.polyder(above), below),
        polynomial.polymul(above, polynomial.polyder(below)),
    )
    roots = polynomial.polyroots(np.trim_zeros(change, "b"))
    real = (np.abs(roots.imag) <= _REAL * np.abs(roots)) & (roots.real > 0.0)
    return np.asarray(roots.real[real], dtype=np.float64)
