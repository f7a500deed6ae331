"""Undiscounted Black-76 prices, in USD and in coin.

Source: Black (1976) on the expiry's own forward.  Deribit's inverse options are worth the USD price
divided by that forward (its mark price formula, checked on recorded boards).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vol_platform.quant._columns import columns
from vol_platform.quant._kernels.black import price_kernel

__all__ = ["price", "price_coin"]

NAMES = ("forward", "strike", "expiry_years", "vol")


def _price(
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
    in_coin: bool,
) -> NDArray[np.float64]:
    arrays, flags, shape, size = columns(NAMES, (forward, strike, expiry_years, vol), is_call)
    out = np.empty(size)
    price_kernel(*arrays, flags, in_coin, out)
    return out.reshape(shape)


def price(
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
) -> NDArray[np.float64]:
    """Undiscounted option value per unit of the underlying, in the currency of the forward (USD).

    Parameters
    ----------
    forward, strike : array_like
        USD, > 0.
    expiry_years : array_like
        Years ACT/365, >= 0; 0 gives the intrinsic value.
    vol : array_like
        Decimal (0.65 for 65 %), >= 0; 0 gives the intrinsic value.
    is_call : array_like of bool
        Call or put.  All arguments broadcast against each other.

    Returns
    -------
    ndarray of float
        NaN where an input is NaN, infinite or out of its range.  The time value carries a relative
        error of about ``(4 + d1**2) 2**-53`` also in deep wings; it never comes from a subtraction.

    Raises
    ------
    QuantError
        If an argument is not numeric or the shapes do not broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> np.round(price(60_000, [54_000, 60_000, 66_000], 30 / 365, 0.5, [False, True, True]), 2)
    array([1096.62, 3428.26, 1365.26])
    >>> price(60_000, 54_000, 0.0, 0.5, True)
    array(6000.)
    """
    return _price(forward, strike, expiry_years, vol, is_call, in_coin=False)


def price_coin(
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
) -> NDArray[np.float64]:
    """Value of an inverse option in coin: `price` divided by the forward.

    Arguments, broadcasting and errors as in `price`.

    Examples
    --------
    >>> import numpy as np
    >>> np.round(price_coin(60_000, 66_000, 30 / 365, 0.5, True), 6)
    np.float64(0.022754)
    """
    return _price(forward, strike, expiry_years, vol, is_call, in_coin=True)
