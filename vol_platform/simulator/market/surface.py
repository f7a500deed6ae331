"""The surface the simulated market is priced from: SSVI with a power-law curvature.

Total variance at log-moneyness ``k = ln(K/F)`` and expiry ``T`` (years):

    w(k, T) = θ/2 · (1 + ρφk + √((φk + ρ)² + 1 − ρ²)),   φ = η / √(θ(1 + θ)),
    θ(T) = v∞T + (v0 − v∞)(1 − e^(−κT))/κ.

θ rises with T for any positive v0, v∞, κ.  With the power-law φ of exponent ½ and a ρ common to
all expiries the surface has neither butterfly nor calendar arbitrage when ``η(1 + |ρ|) ≤ 2``
(Gatheral and Jacquier, "Arbitrage-free SVI volatility surfaces", 2014, section 4); the market
keeps to that bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

__all__ = ["REVERSION_PER_YEAR", "SurfaceParameters"]

REVERSION_PER_YEAR = 6.0
"""κ: how fast the term structure goes from the short to the long variance."""

_GRID_DEVIATIONS, _GRID_POINTS = 40.0, 4001
"""Strikes under the integral, in at-the-money standard deviations."""


@dataclass(frozen=True, slots=True)
class SurfaceParameters:
    """The true surface at one moment, or at n moments (each field an array of shape (n,)).

    Attributes
    ----------
    short_variance, long_variance
        v0 and v∞, annualised variances (0.16 is 40 % vol).
    rho
        ρ, the correlation that tilts the smile; negative is a put skew.
    eta
        η, the curvature.
    """

    short_variance: NDArray[np.float64]
    long_variance: NDArray[np.float64]
    rho: NDArray[np.float64]
    eta: NDArray[np.float64]

    def take(self, rows: ArrayLike) -> SurfaceParameters:
        """Return the parameters of chosen moments, one per entry of `rows`."""
        index = np.asarray(rows)
        return SurfaceParameters(
            np.atleast_1d(self.short_variance)[index],
            np.atleast_1d(self.long_variance)[index],
            np.atleast_1d(self.rho)[index],
            np.atleast_1d(self.eta)[index],
        )

    def atm_total_variance(self, expiry_years: ArrayLike) -> NDArray[np.float64]:
        """Return θ(T)."""
        years = np.asarray(expiry_years, dtype=np.float64)
        decay = -np.expm1(-REVERSION_PER_YEAR * years) / REVERSION_PER_YEAR
        return np.asarray(
            self.long_variance * years + (self.short_variance - self.long_variance) * decay
        )

    def total_variance(
        self, log_moneyness: ArrayLike, expiry_years: ArrayLike
    ) -> NDArray[np.float64]:
        """Return w(k, T); everything broadcasts."""
        theta = self.atm_total_variance(expiry_years)
        phi = self.eta / np.sqrt(theta * (1.0 + theta))
        scaled = phi * np.asarray(log_moneyness, dtype=np.float64)
        root = np.sqrt((scaled + self.rho) ** 2 + 1.0 - self.rho**2)
        return np.asarray(0.5 * theta * (1.0 + self.rho * scaled + root))

    def volatility(self, log_moneyness: ArrayLike, expiry_years: ArrayLike) -> NDArray[np.float64]:
        """Return σ(k, T) as a decimal; `expiry_years` must be > 0."""
        years = np.asarray(expiry_years, dtype=np.float64)
        return np.asarray(np.sqrt(self.total_variance(log_moneyness, years) / years))

    def swap_variance(self, expiry_years: float) -> NDArray[np.float64]:
        """Return the fair variance of a variance swap, annualised: what DVOL is the root of.

        ``∫ w(k) dN(d2(k)) / T`` over all strikes (Gatheral, "The Volatility Surface", 2006,
        chapter 11), summed over a grid so wide that nothing of the normal law lies outside.
        """
        moments = self.take(np.arange(np.size(self.short_variance)))
        theta = moments.atm_total_variance(expiry_years)
        k = np.linspace(-_GRID_DEVIATIONS, _GRID_DEVIATIONS, _GRID_POINTS)[:, None] * np.sqrt(theta)
        w = moments.total_variance(k, expiry_years)
        below = ndtr(-k / np.sqrt(w) - 0.5 * np.sqrt(w))
        middle = 0.5 * (w[1:] + w[:-1])
        return np.asarray(np.sum(middle * (below[:-1] - below[1:]), axis=0) / expiry_years)
