"""Implied volatility of Black-76 prices, in USD and in coin.

Method: the out-of-the-money side only (an in-the-money price is first reduced by its intrinsic
value); moneyness as ``ln(F / K)`` with the rounding error of the quotient recovered; a Bachelier
first guess (Choi, Kim & Kwak 2009); two Householder steps of order 4 on the logarithm of the price
(Jäckel 2013 uses the same order), evaluated without cancellation. What two steps cannot finish goes
through a bracketed version of the same iteration.

How exact an answer can be: a price rounded to double determines volatility no better than
``2**-53 (price / vega + vol)``. For an in-the-money option `price` includes the intrinsic value, so
much less is known; quote the out-of-the-money side where there is a choice.
"""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vol_platform.quant._columns import columns
from vol_platform.quant._kernels.black import implied_vol_kernel

__all__ = [
    "ImpliedVolStatus",
    "implied_vol",
    "implied_vol_coin",
    "implied_vol_coin_with_status",
    "implied_vol_with_status",
]

NAMES = ("price", "forward", "strike", "expiry_years")


class ImpliedVolStatus(enum.IntEnum):
    """Why a cell has, or has no, implied volatility; the first that applies in this order."""

    OK = 0
    """A volatility was found."""
    NON_FINITE = 1
    """An input is NaN or infinite."""
    NON_POSITIVE_FORWARD = 2
    """forward <= 0."""
    NON_POSITIVE_STRIKE = 3
    """strike <= 0."""
    NON_POSITIVE_TIME = 4
    """expiry_years <= 0: the option has expired."""
    BELOW_INTRINSIC = 5
    """The price is below max(±(forward - strike), 0), or negative."""
    AT_INTRINSIC = 6
    """The price equals the intrinsic value (0 out of the money): any tiny volatility fits."""
    ABOVE_MAXIMUM = 7
    """The price is at or above its bound: forward for a call, strike for a put."""


def _solve(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    is_call: ArrayLike,
    in_coin: bool,
) -> NDArray[np.float64]:
    arrays, flags, shape, size = columns(NAMES, (price, forward, strike, expiry_years), is_call)
    out = np.empty(size)
    implied_vol_kernel(*arrays, flags, in_coin, out)
    return out.reshape(shape)


def _solve_with_status(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    is_call: ArrayLike,
    in_coin: bool,
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    arrays, flags, shape, size = columns(NAMES, (price, forward, strike, expiry_years), is_call)
    vol = np.empty(size)
    implied_vol_kernel(*arrays, flags, in_coin, vol)
    status = np.zeros(size, dtype=np.int8)
    failed = np.flatnonzero(np.isnan(vol))
    if failed.size:
        premium, f, k, years = (a[failed] if a.size == size else a[0] for a in arrays)
        call = flags[failed] if flags.size == size else flags[0]
        with np.errstate(all="ignore"):  # the cells here are bad ones by selection
            if in_coin:
                premium = premium * f
            intrinsic = np.maximum(np.where(call, f - k, k - f), 0.0)
        finite = np.isfinite(premium) & np.isfinite(f) & np.isfinite(k) & np.isfinite(years)
        reasons = (
            (~finite, ImpliedVolStatus.NON_FINITE),
            (f <= 0.0, ImpliedVolStatus.NON_POSITIVE_FORWARD),
            (k <= 0.0, ImpliedVolStatus.NON_POSITIVE_STRIKE),
            (years <= 0.0, ImpliedVolStatus.NON_POSITIVE_TIME),
            (premium < intrinsic, ImpliedVolStatus.BELOW_INTRINSIC),
            (premium == intrinsic, ImpliedVolStatus.AT_INTRINSIC),
        )
        status[failed] = np.select(
            [np.broadcast_to(condition, failed.shape) for condition, _ in reasons],
            [int(reason) for _, reason in reasons],
            default=int(ImpliedVolStatus.ABOVE_MAXIMUM),
        )
    return vol.reshape(shape), status.reshape(shape)


def implied_vol(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    is_call: ArrayLike,
) -> NDArray[np.float64]:
    """Volatility at which `black76.price` equals `price`.

    Parameters
    ----------
    price : array_like
        Undiscounted, in the currency of the forward (USD).
    forward, strike : array_like
        USD, > 0.
    expiry_years : array_like
        Years ACT/365, > 0.
    is_call : array_like of bool
        Call or put.  All arguments broadcast against each other.

    Returns
    -------
    ndarray of float
        Decimal volatility; NaN where there is none (`implied_vol_with_status` says why). A bad cell
        never touches its neighbours and never raises.

    Raises
    ------
    QuantError
        If an argument is not numeric or the shapes do not broadcast.

    Examples
    --------
    >>> implied_vol([1273.0, -5.0], 60_000, 66_000, 30 / 365, True).round(6)
    array([0.483852,      nan])
    """
    return _solve(price, forward, strike, expiry_years, is_call, in_coin=False)


def implied_vol_coin(
    price_coin: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    is_call: ArrayLike,
) -> NDArray[np.float64]:
    """Volatility at which `black76.price_coin` equals `price_coin` (an inverse option's premium).

    Everything else as in `implied_vol`.

    Examples
    --------
    >>> float(implied_vol_coin(0.0215, 60_000, 66_000, 30 / 365, True).round(6))
    0.486846
    """
    return _solve(price_coin, forward, strike, expiry_years, is_call, in_coin=True)


def implied_vol_with_status(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    is_call: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """`implied_vol`, and an `ImpliedVolStatus` for every cell.

    Parameters and errors as in `implied_vol`.

    Examples
    --------
    >>> vol, status = implied_vol_with_status([1273.0, -5.0], 60_000, 66_000, 30 / 365, True)
    >>> [ImpliedVolStatus(code).name for code in status]
    ['OK', 'BELOW_INTRINSIC']
    """
    return _solve_with_status(price, forward, strike, expiry_years, is_call, in_coin=False)


def implied_vol_coin_with_status(
    price_coin: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    is_call: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """`implied_vol_coin`, and an `ImpliedVolStatus` for every cell.

    Parameters and errors as in `implied_vol_coin`.
    """
    return _solve_with_status(price_coin, forward, strike, expiry_years, is_call, in_coin=True)
