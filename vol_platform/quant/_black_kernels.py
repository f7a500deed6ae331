"""Compiled kernels for Black-76 prices, implied volatilities and greeks.

Notation, with ``F`` forward, ``K`` strike, ``s = vol sqrt(T)`` and everything mapped to the
out-of-the-money side::

    X = |ln(F / K)|     H = X / s     t = s / 2     price = min(F, K) c

    c = exp(-(H - t)**2 / 2) s D / (2 sqrt 2)                      for H - t >= -sqrt 2
    1 - c = exp(-(H - t)**2 / 2) (erfcx(-y1) + erfcx(y2)) / 2      otherwise

where ``y1 = (H - t) / sqrt 2``, ``y2 = (H + t) / sqrt 2`` and ``D`` is the difference quotient of
erfcx between them. Neither form subtracts nearly equal numbers, at the money, in deep wings or for
an option of one hour.

Kernels work in blocks through a small scratch buffer: LLVM vectorises a loop with many outputs only
if it can prove that they do not overlap, which constant offsets into one buffer make obvious.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from vol_platform.quant._compile import kernel
from vol_platform.quant._vector_math import (
    erfcx,
    erfcx_difference_quotient,
    exp,
    fma,
    log,
    log_quotient,
    prefer_wide_vectors,
)

__all__ = ["implied_vol_kernel", "price_kernel", "total_vol_safely"]

BLOCK = 128
INVERSE_SQRT_2 = 0.7071067811865476
SQRT_2 = 1.4142135623730951
INVERSE_SQRT_2PI = 0.3989422804014327
SQRT_2PI = 2.5066282746310002
HALF_SQRT_PI = 0.886226925452758
QUARTER_SQRT_2 = 0.3535533905932738  # 1 / (2 sqrt 2)
TINY = 1e-150
LARGEST_TOTAL_VOL = (
    90.0  # beyond it the price is min(F, K) to the last bit for any representable F / K
)


@njit(inline="always")
def relative_time_value(distance: float, total_vol: float) -> float:
    """Give c = time value / min(F, K) from X = |ln(F/K)| and s > 0 (see the module)."""
    half = 0.5 * total_vol
    scaled = distance / total_vol
    difference = scaled - half
    y1 = difference * INVERSE_SQRT_2
    y2 = (scaled + half) * INVERSE_SQRT_2
    density = exp(-0.5 * difference * difference)
    y1_low = max(y1, -1.0)
    lower = density * total_vol * QUARTER_SQRT_2 * erfcx_difference_quotient(y1_low, y2)
    upper = 1.0 - 0.5 * density * (erfcx(max(-y1, 0.0)) + erfcx(y2))
    return lower if y1 >= -1.0 else upper


@kernel
def price_kernel(
    forward: Any, strike: Any, expiry_years: Any, vol: Any, is_call: Any, in_coin: Any, out: Any
) -> None:
    """Prices into `out`; each input has out.size elements or one."""
    prefer_wide_vectors()
    size = out.size
    f_step = 1 if forward.size == size else 0
    k_step = 1 if strike.size == size else 0
    t_step = 1 if expiry_years.size == size else 0
    v_step = 1 if vol.size == size else 0
    c_step = 1 if is_call.size == size else 0
    buffer = np.empty(6 * BLOCK)
    for start in range(0, size, BLOCK):
        count = min(BLOCK, size - start)
        for i in range(count):
            buffer[i] = forward[(start + i) * f_step]
        for i in range(count):
            buffer[BLOCK + i] = strike[(start + i) * k_step]
        for i in range(count):
            buffer[2 * BLOCK + i] = expiry_years[(start + i) * t_step]
        for i in range(count):
            buffer[3 * BLOCK + i] = vol[(start + i) * v_step]
        for i in range(count):
            buffer[4 * BLOCK + i] = 1.0 if is_call[(start + i) * c_step] else -1.0
        for i in range(count):
            f = buffer[i]
            k = buffer[BLOCK + i]
            years = buffer[2 * BLOCK + i]
            sigma = buffer[3 * BLOCK + i]
            sign = buffer[4 * BLOCK + i]
            valid = (
                (f > 0.0)
                & (k > 0.0)
                & (years >= 0.0)
                & (sigma >= 0.0)
                & (f < math.inf)
                & (k < math.inf)
                & (years < math.inf)
                & (sigma < math.inf)
            )
            total_vol = min(max(sigma * math.sqrt(years), TINY), LARGEST_TOTAL_VOL)
            distance = abs(log_quotient(f, k))
            time_value = min(f, k) * relative_time_value(distance, total_vol)
            price = max(sign * (f - k), 0.0) + time_value
            price = price / f if in_coin else price
            buffer[5 * BLOCK + i] = price if valid else math.nan
        for i in range(count):
            out[start + i] = buffer[5 * BLOCK + i]


@njit(inline="always")
def householder_step(distance: float, total_vol: float, inverse_c: float) -> float:
    """Order-4 Householder step of s for ln c(s) = ln c, lower form.

    With f = ln c(s) - ln c one has f' = c'/c, c''/c' = m2 and c'''/c' = m3 in closed form, and
    multiplying through by the Newton step removes every division by f'.
    """
    inverse_s = 1.0 / total_vol
    half = 0.5 * total_vol
    scaled = distance * inverse_s
    difference = scaled - half
    y1 = difference * INVERSE_SQRT_2
    y2 = (scaled + half) * INVERSE_SQRT_2
    value = total_vol * erfcx_difference_quotient(y1, y2)
    residual = fma(-0.5 * difference, difference, log(value * QUARTER_SQRT_2 * inverse_c))
    newton = -residual * value * HALF_SQRT_PI
    ratio = scaled * scaled * inverse_s
    m2 = ratio - 0.25 * total_vol
    m3 = m2 * m2 - 3.0 * ratio * inverse_s - 0.25
    first = m2 * newton
    a = first + residual
    b = m3 * newton * newton + 3.0 * first * residual + 2.0 * residual * residual
    return newton * (1.0 + 0.5 * a) / (1.0 + a + b / 6.0)


@njit(inline="always")
def normal_vol_guess(distance: float, beta: float) -> float:
    """First guess of s: the Bachelier volatility of the price beta = price / sqrt(F K).

    Rational-free form of Choi, Kim and Kwak (2009): with M = beta + X/2 half the straddle and
    eta = X / (M ln(1 + X / beta)), s = M sqrt(2 pi eta) P(eta), P a polynomial fitted here.
    """
    x = max(distance, 1e-5 * beta)
    half_straddle = fma(0.5, x, beta)
    eta = x / (half_straddle * log(1.0 + x / beta))
    p = -3.0280295821
    p = fma(p, eta, 9.2120870522)
    p = fma(p, eta, -10.4110013472)
    p = fma(p, eta, 5.3554918373)
    p = fma(p, eta, -1.6337962113)
    p = fma(p, eta, 2.0028860448)
    p = fma(p, eta, 1.0077496429)
    return half_straddle * math.sqrt(eta) * p


@njit(error_model="numpy")
def total_vol_safely(distance: float, price: float, smaller: float) -> float:
    """S for any attainable time value: bracketed Householder, lower or upper form as it fits.

    The vector loop hands over what it cannot finish in two steps: total volatilities above about
    2.5, prices close to their maximum, and deltas below about 1e-40.
    """
    c = price / smaller
    complement = (smaller - price) / smaller
    low = max(distance / 80.0, c)
    high = 10.0 + 2.0 * math.sqrt(25.0 + 0.5 * distance)
    s = min(max(normal_vol_guess(distance, c * math.exp(-0.5 * distance)), low), high)
    if not s > 0.0:
        s = math.sqrt(low * high)
    for _ in range(100):
        half = 0.5 * s
        scaled = distance / s
        difference = scaled - half
        y1 = difference * INVERSE_SQRT_2
        y2 = (scaled + half) * INVERSE_SQRT_2
        if y1 >= -1.0:
            value = s * erfcx_difference_quotient(y1, y2)
            residual = (
                math.log(value * QUARTER_SQRT_2) - math.log(c) - 0.5 * difference * difference
            )
            newton = -residual * value * HALF_SQRT_PI
            too_small = residual < 0.0
        else:
            value = 0.5 * (erfcx(-y1) + erfcx(y2))
            residual = math.log(value) - math.log(complement) - 0.5 * difference * difference
            newton = residual * value * SQRT_2PI
            too_small = residual > 0.0
        if residual == 0.0:
            return s
        if too_small:
            low = s
        else:
            high = s
        ratio = scaled * scaled / s
        m2 = ratio - 0.25 * s
        m3 = m2 * m2 - 3.0 * ratio / s - 0.25
        first = m2 * newton
        a = first + residual
        b = m3 * newton * newton + 3.0 * first * residual + 2.0 * residual * residual
        step = newton * (1.0 + 0.5 * a) / (1.0 + a + b / 6.0)
        following = s + step
        if not (low < following < high) or step * newton < 0.0:
            following = s + newton
        if not (low < following < high):
            following = math.sqrt(low * high)
        if abs(following - s) <= 4e-16 * s:
            return following
        s = following
    return s


@kernel
def implied_vol_kernel(
    price: Any, forward: Any, strike: Any, expiry_years: Any, is_call: Any, in_coin: Any, out: Any
) -> None:
    """Implied volatilities into `out`, NaN where there is none; inputs as in `price_kernel`."""
    prefer_wide_vectors()
    size = out.size
    p_step = 1 if price.size == size else 0
    f_step = 1 if forward.size == size else 0
    k_step = 1 if strike.size == size else 0
    t_step = 1 if expiry_years.size == size else 0
    c_step = 1 if is_call.size == size else 0
    buffer = np.empty(6 * BLOCK)
    for start in range(0, size, BLOCK):
        count = min(BLOCK, size - start)
        for i in range(count):
            buffer[i] = forward[(start + i) * f_step]
        for i in range(count):
            buffer[BLOCK + i] = strike[(start + i) * k_step]
        for i in range(count):
            buffer[2 * BLOCK + i] = expiry_years[(start + i) * t_step]
        for i in range(count):
            buffer[3 * BLOCK + i] = price[(start + i) * p_step]
        for i in range(count):
            buffer[4 * BLOCK + i] = 1.0 if is_call[(start + i) * c_step] else -1.0
        unfinished = 0
        for i in range(count):
            f = buffer[i]
            k = buffer[BLOCK + i]
            years = buffer[2 * BLOCK + i]
            premium = buffer[3 * BLOCK + i]
            premium = premium * f if in_coin else premium
            sign = buffer[4 * BLOCK + i]
            time_value = premium - max(sign * (f - k), 0.0)
            smaller = min(f, k)
            valid = (
                (f > 0.0)
                & (k > 0.0)
                & (years > 0.0)
                & (time_value > 0.0)
                & (time_value < smaller)
                & (f < math.inf)
                & (k < math.inf)
                & (years < math.inf)
            )
            distance = abs(log_quotient(f, k))
            s = normal_vol_guess(distance, time_value / math.sqrt(f * k))
            inverse_c = smaller / time_value
            s += householder_step(distance, s, inverse_c)
            step = householder_step(distance, s, inverse_c)
            s += step
            done = (abs(step) < 1e-4 * s) & (s < 2.8)
            vol = s / math.sqrt(years)
            result = vol if valid else math.nan
            buffer[5 * BLOCK + i] = -1.0 if (valid & (not done)) else result
        for i in range(count):
            unfinished += buffer[5 * BLOCK + i] < 0.0
        if unfinished > 0:
            for i in range(count):
                if buffer[5 * BLOCK + i] < 0.0:
                    f = buffer[i]
                    k = buffer[BLOCK + i]
                    premium = buffer[3 * BLOCK + i]
                    premium = premium * f if in_coin else premium
                    time_value = premium - max(buffer[4 * BLOCK + i] * (f - k), 0.0)
                    s = total_vol_safely(abs(log_quotient(f, k)), time_value, min(f, k))
                    buffer[5 * BLOCK + i] = s / math.sqrt(buffer[2 * BLOCK + i])
        for i in range(count):
            out[start + i] = buffer[5 * BLOCK + i]
