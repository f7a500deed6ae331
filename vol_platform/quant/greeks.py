"""Fourteen Black-76 greeks in one pass, their coin versions, and deltas that follow the smile.

Definitions (forward ``F``, strike ``K``, time ``T`` in years, volatility ``σ``, ``q`` = 1 for a
call and -1 for a put, ``n`` the standard normal density at ``d1``; rates are zero)::

    delta      dV/dF          q N(q d1)
    gamma      d2V/dF2        n / (F σ √T)
    vega       dV/dσ          F n √T
    theta      -dV/dT         -F n σ / (2 √T)
    rho        dV/dr          q K T N(q d2)                    (spot held fixed, at r = 0)
    vanna      d2V/dF dσ      -n d2 / σ
    volga      d2V/dσ2        vega d1 d2 / σ
    charm      -d delta/dT    n d2 / (2 T)
    veta       -d vega/dT     -vega (1 + d1 d2) / (2 T)
    speed      d gamma/dF     -gamma (1 + d1 / (σ √T)) / F
    zomma      d gamma/dσ     gamma (d1 d2 - 1) / σ
    color      -d gamma/dT    gamma (1 - d1 d2) / (2 T)
    ultima     d volga/dσ     -vega (d1 d2 (1 - d1 d2) + d1² + d2²) / σ²
    dual_delta dV/dK          -q N(q d2)

Units: USD per 1.00 of volatility, per 1.00 of rate and per year; divide vega by 100 for one
volatility point and theta by 365 for one day. Source of the formulas: Black (1976), differentiated;
every one is tested against 40-digit numerical derivatives.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vol_platform.quant._columns import columns, float_array
from vol_platform.quant._kernels.greeks import GREEK_COUNT, greeks_kernel
from vol_platform.quant.errors import QuantError

__all__ = ["CoinGreeks", "Greeks", "coin_greeks", "greeks", "sticky_moneyness_delta"]

NAMES = ("forward", "strike", "expiry_years", "vol")
Floats = NDArray[np.float64]


class Greeks(NamedTuple):
    """Greeks of the USD value; definitions and units in the module's text."""

    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    rho: Floats
    vanna: Floats
    volga: Floats
    charm: Floats
    veta: Floats
    speed: Floats
    zomma: Floats
    color: Floats
    ultima: Floats
    dual_delta: Floats


class CoinGreeks(NamedTuple):
    """Greeks of an inverse option, whose value in coin is ``v = V / F``.

    `delta_coin` = delta - V / F = F dv/dF is the position in coin that hedges the coin value (the
    premium-adjusted delta). `gamma_coin`, `vanna_coin` and `charm_coin` are its derivatives by F, σ
    and calendar time; the others are the USD greeks divided by F, in coin.
    """

    delta_coin: Floats
    gamma_coin: Floats
    vega_coin: Floats
    theta_coin: Floats
    rho_coin: Floats
    vanna_coin: Floats
    volga_coin: Floats
    charm_coin: Floats


def greeks(
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
    out: Floats | None = None,
) -> Greeks:
    """All fourteen greeks of undiscounted Black-76.

    Parameters
    ----------
    forward, strike : array_like
        USD, > 0.
    expiry_years : array_like
        Years ACT/365, >= 0.
    vol : array_like
        Decimal, >= 0.
    is_call : array_like of bool
        Call or put.  All arguments broadcast against each other.
    out : ndarray of float, optional
        C-contiguous array of shape (14, number of options) to write to; worth passing for batches
        of more than about 100,000 options, where fresh memory costs as much as the arithmetic.

    Returns
    -------
    Greeks
        Fourteen arrays of the broadcast shape (rows of one array). NaN where an input is NaN,
        infinite or out of its range. At ``vol √T = 0`` delta and dual delta are those of the
        intrinsic value and the others 0; exactly at the money, where the payoff has a kink, delta
        is ±1/2 and the others, being unbounded, NaN.

    Raises
    ------
    QuantError
        If an argument is not numeric, the shapes do not broadcast, or `out` does not fit.

    Examples
    --------
    >>> result = greeks(60_000, [54_000, 66_000], 30 / 365, 0.5, [False, True])
    >>> result.delta.round(4)
    array([-0.2099,  0.2765])
    >>> (result.vega / 100).round(2)  # USD per volatility point
    array([49.56, 57.55])
    """
    arrays, flags, shape, size = columns(NAMES, (forward, strike, expiry_years, vol), is_call)
    if out is None:
        out = np.empty((GREEK_COUNT, size))
    elif out.shape != (GREEK_COUNT, size) or out.dtype != np.float64 or not out.flags.carray:
        raise QuantError(
            f"out must be a C-contiguous float array of shape ({GREEK_COUNT}, {size}), "
            f"was {out.dtype} {out.shape}"
        )
    greeks_kernel(*arrays, flags, out)
    return Greeks(*(out if len(shape) == 1 else out.reshape((GREEK_COUNT, *shape))))


def coin_greeks(
    forward: ArrayLike,
    strike: ArrayLike,
    expiry_years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
) -> CoinGreeks:
    """Greeks of an inverse (coin-settled) option; arguments and errors as in `greeks`.

    Examples
    --------
    >>> result = coin_greeks(60_000, 66_000, 30 / 365, 0.5, True)
    >>> float(result.delta_coin.round(4))  # 0.2765 less the premium of 0.0228
    0.2538
    """
    usd = greeks(forward, strike, expiry_years, vol, is_call)
    f = float_array("forward", forward)
    # V = F delta + K dual_delta, hence delta - V / F = -(K / F) dual_delta without cancellation
    delta_coin = -(float_array("strike", strike) / f) * usd.dual_delta
    return CoinGreeks(
        delta_coin=delta_coin,
        gamma_coin=usd.gamma - delta_coin / f,
        vega_coin=usd.vega / f,
        theta_coin=usd.theta / f,
        rho_coin=usd.rho / f,
        vanna_coin=usd.vanna - usd.vega / f,
        volga_coin=usd.volga / f,
        charm_coin=usd.charm - usd.theta / f,
    )


def sticky_moneyness_delta(
    delta: ArrayLike, vega: ArrayLike, forward: ArrayLike, vol_slope: ArrayLike
) -> Floats:
    """Delta when the smile moves with the forward, ``delta - (vega / F) dσ/dk``.

    The ordinary Black delta is the sticky-strike one: the volatility of a strike stays.  If instead
    volatility is a fixed function of ``k = ln(K / F)``, a move of the forward also moves the strike
    along the smile, by ``dσ/dF = -(1/F) dσ/dk``.

    Parameters
    ----------
    delta, vega : array_like
        From `greeks` (vega per 1.00 of volatility); or delta_coin, vega_coin × forward.
    forward : array_like
        USD.
    vol_slope : array_like
        dσ/dk of the smile at the option's strike.

    Returns
    -------
    ndarray of float

    Examples
    --------
    >>> float(sticky_moneyness_delta(0.28, 5800.0, 60_000.0, -0.1).round(4))
    0.2897
    """
    names = ("delta", "vega", "forward", "vol_slope")
    d, v, f, slope = (
        float_array(name, value)
        for name, value in zip(names, (delta, vega, forward, vol_slope), strict=True)
    )
    return np.asarray(d - v / f * slope)
