"""Discount curves, for those who want to discount: zero by default, as on Deribit.

Deribit's options are margined and its interest rate is zero; undiscounted prices are therefore
the ones this package works in.  A curve from US Treasury par yields or from SOFR swaps lets a user
discount a USD premium or compare futures basis with funding.

Interpolation is log-linear in the discount factor (piecewise flat forward rates, never negative
unless the data say so) or a natural cubic spline of the zero rate; both are described by P. Hagan
and G. West, Interpolation methods for curve construction (2006).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from vol_platform.quant._columns import float_array
from vol_platform.quant.errors import QuantError

__all__ = ["METHODS", "DiscountCurve", "flat", "from_sofr_swaps", "from_treasury_par_yields"]

METHODS = ("log_linear", "cubic")
Floats = NDArray[np.float64]
ACT_360 = 365.0 / 360.0
NEWTON_STEPS = 60


@dataclass(frozen=True, eq=False)
class DiscountCurve:
    """Discount factors from continuously compounded zero rates.

    Attributes
    ----------
    years : ndarray
        Node maturities in years ACT/365, > 0 and increasing; shape (n,).
    zero_rates : ndarray
        Continuously compounded, decimal; shape (n,).
    method : str
        ``log_linear`` or ``cubic``.

    Raises
    ------
    QuantError
        Nodes are missing, not increasing, not finite, or the method is unknown.
    """

    years: Floats
    zero_rates: Floats
    method: str = "log_linear"
    _spline: CubicSpline | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        years = np.atleast_1d(float_array("years", self.years))
        rates = np.atleast_1d(float_array("zero_rates", self.zero_rates))
        if self.method not in METHODS:
            raise QuantError(f"method must be one of {', '.join(METHODS)}, was {self.method!r}")
        if years.ndim != 1 or years.shape != rates.shape or years.size == 0:
            raise QuantError(
                f"years and zero_rates must be equally long lists, were {years.shape} and "
                f"{rates.shape}"
            )
        if not (np.all(np.isfinite(rates)) and years[0] > 0.0 and np.all(np.diff(years) > 0.0)):
            raise QuantError(
                f"years must be > 0 and increasing and rates finite, were {years} and {rates}"
            )
        object.__setattr__(self, "years", years)
        object.__setattr__(self, "zero_rates", rates)
        if self.method == "cubic" and years.size > 2:
            spline = CubicSpline(years, rates, bc_type="natural", extrapolate=True)
            object.__setattr__(self, "_spline", spline)

    def zero_rate(self, expiry_years: ArrayLike) -> Floats:
        """Continuously compounded zero rate, decimal; flat beyond both ends.

        Parameters
        ----------
        expiry_years : array_like
            Years, >= 0; a negative time gives NaN.

        Returns
        -------
        ndarray
            Shape of `expiry_years`.
        """
        t = float_array("expiry_years", expiry_years)
        inside = np.clip(t, self.years[0], self.years[-1])
        if self._spline is not None:
            rate = np.asarray(self._spline(inside))
        else:
            # log-linear: rate x time is piecewise linear
            products = np.interp(inside, self.years, self.years * self.zero_rates)
            rate = products / inside
        return np.where(t >= 0.0, rate, np.nan)

    def discount_factor(self, expiry_years: ArrayLike) -> Floats:
        """Value today of 1 USD at `expiry_years`; 1 at 0; in the shape of `expiry_years`.

        Examples
        --------
        >>> round(float(flat(0.05).discount_factor(2.0)), 6)
        0.904837
        """
        t = float_array("expiry_years", expiry_years)
        return np.exp(-self.zero_rate(t) * t)

    def forward_rate(self, start_years: ArrayLike, end_years: ArrayLike) -> Floats:
        """Continuously compounded rate between two dates; NaN where the end is not later.

        Parameters
        ----------
        start_years, end_years
            ACT/365, >= 0; they broadcast.

        Returns
        -------
        ndarray
            The broadcast shape.

        Examples
        --------
        >>> curve = DiscountCurve(np.array([1.0, 2.0]), np.array([0.04, 0.05]))
        >>> round(float(curve.forward_rate(1.0, 2.0)), 6)
        0.06
        """
        start, end = (
            float_array("start_years", start_years),
            float_array("end_years", end_years),
        )
        span = np.asarray(end - start)
        grown = self.zero_rate(end) * end - self.zero_rate(start) * start
        return np.where(span > 0.0, grown, np.nan) / np.where(span > 0.0, span, 1.0)


def flat(rate: float = 0.0) -> DiscountCurve:
    """One continuously compounded rate for every maturity; 0 unless told otherwise."""
    return DiscountCurve(np.array([1.0]), np.array([float(rate)]))


def _bootstrap(
    maturities: Floats, quotes: Floats, payments_per_year: int, accrual: float, method: str
) -> DiscountCurve:
    """Find zero rates that price par instruments with regular payments at 1.

    An instrument shorter than one period pays simple interest at maturity.  Each node is found by
    Newton steps on its own zero rate with the shorter nodes fixed, so that interpolation inside the
    last period is the curve's own.
    """
    nodes: list[float] = []
    rates: list[float] = []
    for maturity, quote in zip(maturities, quotes, strict=True):
        period = 1.0 / payments_per_year
        count = max(round(maturity * payments_per_year), 1)
        times = maturity - period * np.arange(count - 1, -1, -1)
        if maturity < period:
            rates.append(float(np.log1p(quote * accrual * maturity) / maturity))
            nodes.append(float(maturity))
            continue
        coupons = np.full(times.shape, quote * accrual * period)
        coupons[0] = quote * accrual * times[0]  # a short first period pays what it accrues
        guess = float(quote)
        for _ in range(NEWTON_STEPS):
            curve = DiscountCurve(
                np.array([*nodes, maturity]), np.array([*rates, guess]), "log_linear"
            )
            factors = curve.discount_factor(times)
            error = float(coupons @ factors + factors[-1] - 1.0)
            slope = -maturity * float(factors[-1])  # the last payment dominates the derivative
            step = error / slope
            guess -= step
            if abs(step) < 1e-14:
                break
        nodes.append(float(maturity))
        rates.append(guess)
    return DiscountCurve(np.array(nodes), np.array(rates), method)


def _quotes(maturities: ArrayLike, values: ArrayLike, name: str) -> tuple[Floats, Floats]:
    years = np.atleast_1d(float_array("maturity_years", maturities))
    quotes = np.atleast_1d(float_array(name, values))
    if years.shape != quotes.shape or years.ndim != 1 or years.size == 0:
        raise QuantError(
            f"maturity_years and {name} must be equally long lists, were {years.shape} and "
            f"{quotes.shape}"
        )
    if not (years[0] > 0.0 and np.all(np.diff(years) > 0.0) and np.all(quotes > -1.0)):
        raise QuantError(
            f"maturities must be > 0 and increasing and {name} decimals (0.045 for 4.5 %), were "
            f"{years} and {quotes}"
        )
    return years, quotes


def from_treasury_par_yields(
    maturity_years: ArrayLike, par_yields: ArrayLike, method: str = "log_linear"
) -> DiscountCurve:
    """Curve from US Treasury par yields (bond equivalent: semi-annual coupons).

    Parameters
    ----------
    maturity_years : array_like
        Years, increasing, for instance [1/12, 0.25, 0.5, 1, 2, 3, 5].
    par_yields : array_like
        Decimals, for instance 0.045.
    method : str
        Interpolation, ``log_linear`` or ``cubic``.

    Returns
    -------
    DiscountCurve

    Raises
    ------
    QuantError
        Lengths differ, maturities do not increase, or the method is unknown.

    Examples
    --------
    >>> curve = from_treasury_par_yields([0.5, 1.0, 2.0], [0.04, 0.04, 0.04])
    >>> np.round(curve.zero_rate([0.5, 1.0, 2.0]), 6)  # 2 ln(1 + 0.04 / 2) everywhere
    array([0.039605, 0.039605, 0.039605])
    """
    years, quotes = _quotes(maturity_years, par_yields, "par_yields")
    return _bootstrap(years, quotes, 2, 1.0, method)


def from_sofr_swaps(
    maturity_years: ArrayLike, swap_rates: ArrayLike, method: str = "log_linear"
) -> DiscountCurve:
    """Curve from SOFR overnight-index swap rates (annual payments, ACT/360).

    Parameters, returns and errors as in `from_treasury_par_yields`.

    Examples
    --------
    >>> curve = from_sofr_swaps([1 / 12, 1.0, 2.0], [0.043, 0.042, 0.040])
    >>> round(float(curve.discount_factor(1.0)), 6)  # 1 / (1 + 0.042 x 365 / 360)
    0.959156
    """
    years, quotes = _quotes(maturity_years, swap_rates, "swap_rates")
    return _bootstrap(years, quotes, 1, ACT_360, method)
