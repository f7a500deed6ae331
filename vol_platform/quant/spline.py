"""Cubic spline of total variance: the model without a model, for comparison.

Interpolates or smooths ``w(k)`` with a natural cubic spline and continues it with straight wings
inside Lee's bound (slope in [-2, 2]).  It says nothing about arbitrage: check it before use.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline, make_smoothing_spline

from vol_platform.quant._columns import float_array, quoted_smile
from vol_platform.quant.errors import QuantError

__all__ = ["VarianceSpline", "fit"]

Floats = NDArray[np.float64]
LEE_SLOPE = 1.95
SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True, eq=False)
class VarianceSpline:
    """One slice: total variance through nodes, straight outside.

    Attributes
    ----------
    k, variance : ndarray
        Nodes, increasing in `k`; shape (n,), n >= 3.
    """

    k: Floats
    variance: Floats
    _spline: CubicSpline = field(init=False, repr=False)

    def __post_init__(self) -> None:
        k = np.atleast_1d(float_array("k", self.k))
        w = np.atleast_1d(float_array("variance", self.variance))
        if k.ndim != 1 or k.shape != w.shape or k.size < 3:
            raise QuantError(
                f"a spline needs three nodes or more of one length, were {k.shape} and {w.shape}"
            )
        if not (np.all(np.diff(k) > 0.0) and np.all(w > 0.0) and np.all(np.isfinite(w))):
            raise QuantError("k must increase and variance be > 0 at every node; sort and clean")
        object.__setattr__(self, "k", k)
        object.__setattr__(self, "variance", w)
        object.__setattr__(self, "_spline", CubicSpline(k, w, bc_type="natural"))

    def total_variance(self, k: ArrayLike) -> Floats:
        """``vol² T`` at log-moneyness `k`, any shape; at least 1e-12.

        The straight wings point outwards (variance never falls towards the far end) and stay inside
        Lee's bound.

        Returns
        -------
        ndarray
            Shape of `k`.
        """
        points = float_array("k", k)
        low, high = self.k[0], self.k[-1]
        inside = np.asarray(self._spline(np.clip(points, low, high)))
        left = np.clip(float(self._spline(low, 1)), -LEE_SLOPE, 0.0)
        right = np.clip(float(self._spline(high, 1)), 0.0, LEE_SLOPE)
        tails = left * np.minimum(points - low, 0.0) + right * np.maximum(points - high, 0.0)
        return np.asarray(np.maximum(inside + tails, SMALLEST_VARIANCE))


def fit(
    k: ArrayLike,
    bid_vol: ArrayLike,
    ask_vol: ArrayLike,
    expiry_years: float,
    smoothing: float | None = None,
) -> VarianceSpline:
    """Spline through, or near, the middle of bid and ask volatilities.

    Parameters
    ----------
    k : array_like
        Log-moneyness, shape (n,), n >= 3 different values (n >= 5 to smooth).
    bid_vol, ask_vol : array_like
        Decimals; equal for points.  Rows with NaN are left out; a repeated `k` is averaged.
    expiry_years : float
        Years, > 0.
    smoothing : float, optional
        0 goes through every mid.  Larger is smoother: the weight of the integrated squared second
        derivative, with distances counted in half spreads of variance.  None chooses it by
        generalised cross-validation.

    Returns
    -------
    VarianceSpline

    Raises
    ------
    QuantError
        Shapes differ, too few points, or `expiry_years` or `smoothing` out of range.

    Examples
    --------
    >>> k = np.linspace(-0.4, 0.4, 9)
    >>> smile = fit(k, 0.5 + k**2, 0.5 + k**2, 0.25, smoothing=0.0)
    >>> round(float(np.sqrt(smile.total_variance(0.1) / 0.25)), 6)
    0.51
    """
    points, bid, ask = quoted_smile(k, bid_vol, ask_vol, expiry_years)
    if smoothing is not None and not smoothing >= 0.0:
        raise QuantError(f"smoothing must be >= 0 or None, was {smoothing:g}")
    nodes, group = np.unique(points, return_inverse=True)
    if nodes.size < 3:
        raise QuantError(f"three different usable points are needed, there were {nodes.size}")
    counts = np.bincount(group)
    mid = np.bincount(group, 0.5 * (bid + ask)) / counts
    half = np.bincount(group, 0.5 * (ask - bid)) / counts
    variance = mid * mid * expiry_years
    if nodes.size >= 5 and smoothing != 0.0:
        scale = 2.0 * mid * np.maximum(half, 1e-3) * expiry_years
        smooth = make_smoothing_spline(nodes, variance, w=1.0 / scale**2, lam=smoothing)
        variance = np.maximum(np.asarray(smooth(nodes)), SMALLEST_VARIANCE)
    return VarianceSpline(nodes, variance)
