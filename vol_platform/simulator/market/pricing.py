"""Black-76 for inverse options, with the greeks as the exchange prints them.

All prices are in coin per coin of underlying (USD price divided by the forward); rates are zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

__all__ = ["Greeks", "coin_price", "greeks", "implied_volatility"]

_Array = NDArray[np.float64]
_INVERSE_SQRT_2_PI = 1.0 / np.sqrt(2.0 * np.pi)
_HIGHEST_VOLATILITY = 5.0
_STEPS = 12


class Greeks(NamedTuple):
    """Printed units: vega USD per vol point, theta USD per day, rho USD per 1 %."""

    delta: _Array
    gamma: _Array
    vega: _Array
    theta: _Array
    rho: _Array


def _density(x: _Array) -> _Array:
    return np.asarray(_INVERSE_SQRT_2_PI * np.exp(-0.5 * x * x))


def coin_price(
    forward: _Array, strike: _Array, expiry_years: _Array, vol: _Array, is_call: NDArray[np.bool_]
) -> _Array:
    """Return the price in coin; intrinsic value where the total volatility is zero."""
    deviation = np.maximum(vol * np.sqrt(np.maximum(expiry_years, 0.0)), 1e-9)
    sign = np.where(is_call, 1.0, -1.0)
    upper = np.log(forward / strike) / deviation + 0.5 * deviation
    ratio = strike / forward
    value = sign * (ndtr(sign * upper) - ratio * ndtr(sign * (upper - deviation)))
    return np.asarray(np.maximum(value, np.maximum(sign * (1.0 - ratio), 0.0)))


def greeks(
    forward: _Array, strike: _Array, expiry_years: _Array, vol: _Array, is_call: NDArray[np.bool_]
) -> Greeks:
    """Return the printed greeks.

    Theta is the loss of one day, or of the remaining life if shorter, at most the value.
    """
    root = np.sqrt(expiry_years)
    deviation = np.maximum(vol * root, 1e-9)
    sign = np.where(is_call, 1.0, -1.0)
    upper = np.log(forward / strike) / deviation + 0.5 * deviation
    density = _density(upper)
    lower_probability = ndtr(sign * (upper - deviation))
    delta = sign * ndtr(sign * upper)
    value = forward * delta - sign * strike * lower_probability
    decay = forward * density * vol / (2.0 * root * 365.0)
    theta = -np.minimum(decay * np.minimum(1.0, expiry_years * 365.0), np.maximum(value, 0.0))
    return Greeks(
        delta,
        density / (forward * deviation),
        forward * density * root / 100.0,
        theta,
        sign * strike * expiry_years * lower_probability / 100.0,
    )


def implied_volatility(
    price: _Array,
    forward: _Array,
    strike: _Array,
    expiry_years: _Array,
    is_call: NDArray[np.bool_],
    first: _Array,
) -> _Array:
    """Return the volatility (decimal) of a coin price, to the printed hundredth of a percent.

    0 where the price is not above intrinsic value, 5 (the exchange's cap of 500 %) above the cap.
    Newton steps, kept inside a bracket, on the logarithm of the out-of-the-money price, which is
    nearly concave in the volatility, so that they close in from below even in the far wings.
    """
    ratio = strike / forward
    intrinsic = np.maximum(np.where(is_call, 1.0, -1.0) * (1.0 - ratio), 0.0)
    target = price - intrinsic
    priceable = target > 1e-12
    goal = np.log(np.where(priceable, target, 1e-12))
    sign = np.where(ratio >= 1.0, 1.0, -1.0)
    root = np.sqrt(expiry_years)
    log_moneyness = -np.log(ratio)
    low = np.full_like(price, 1e-4)
    high = np.full_like(price, _HIGHEST_VOLATILITY)
    vol = np.clip(first, 0.01, 4.9)
    for _ in range(_STEPS):
        deviation = vol * root
        upper = log_moneyness / deviation + 0.5 * deviation
        value = sign * (ndtr(sign * upper) - ratio * ndtr(sign * (upper - deviation)))
        value = np.maximum(value, 1e-300)
        excess = np.log(value) - goal
        low = np.where(excess < 0.0, vol, low)
        high = np.where(excess < 0.0, high, vol)
        slope = np.maximum(_density(upper) * root / value, 1e-12)
        step = vol - excess / slope
        vol = np.where((step > low) & (step < high), step, 0.5 * (low + high))
    vol = np.where(vol > _HIGHEST_VOLATILITY - 0.01, _HIGHEST_VOLATILITY, vol)
    return np.asarray(np.where(priceable, vol, 0.0))
