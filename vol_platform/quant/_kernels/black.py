"""Compiled kernels for Black-76 prices and implied volatilities.

Notation, with ``F`` forward, ``K`` strike, ``s = vol sqrt(T)`` and everything mapped to the
out-of-the-money side::

    X = |ln(F / K)|     H = X / s     t = s / 2     time value = min(F, K) c

    c = exp(-(H - t)**2 / 2) s D / (2 sqrt 2)                      for H - t >= -sqrt 2
    1 - c = exp(-(H - t)**2 / 2) (erfcx(-y1) + erfcx(y2)) / 2      otherwise

where ``y1 = (H - t) / sqrt 2``, ``y2 = (H + t) / sqrt 2`` and ``D`` is the difference quotient of
erfcx between them.  Neither form subtracts nearly equal numbers: not at the money, not in deep
wings, not for an option of one hour.

Shape of the code: options go in blocks of 64 through a small scratch buffer, one short loop per
stage.  Constant offsets into one buffer prove to LLVM that nothing overlaps, so that every loop
becomes vector instructions; a constant length leaves no scalar remainder; and short stages let the
processor work on several vectors at once instead of waiting for one long chain of results.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._kernels.vector_math import (
    erfcx,
    erfcx_difference_quotient,
    erfcx_series_quotient,
    exp,
    fma,
    inverse_sqrt,
    log,
    log_quotient,
    prefer_wide_vectors,
    reciprocal,
    rough_inverse_sqrt,
    rough_reciprocal,
    sqrt_from_inverse,
)

__all__ = [
    "BLOCK",
    "implied_vol_kernel",
    "load_block",
    "load_signs",
    "price_kernel",
    "store_block",
    "total_vol_safely",
]

BLOCK = 64
INVERSE_SQRT_2 = 0.7071067811865476
SQRT_2PI = 2.5066282746310002
HALF_SQRT_PI = 0.886226925452758
QUARTER_SQRT_2 = 0.3535533905932738  # 1 / (2 sqrt 2)
SMALLEST_TOTAL_VOL = 1e-150
LARGEST_TOTAL_VOL = 90.0  # from here the time value is min(F, K) to the last bit for any F / K
LARGEST_VECTOR_TOTAL_VOL = 2.8  # the series of erfcx starts at -1, which the lower form keeps to
SLOW = -1.0  # marks a cell for the bracketed iteration


@njit(inline="always")
def load_block(column: Any, start: int, count: int, buffer: Any, offset: int) -> None:
    """Copy `count` values to buffer[offset:]; fill the rest of the block with a harmless 1."""
    if column.size == 1:
        value = column[0]
        for i in range(BLOCK):
            buffer[offset + i] = value
    else:
        part = column[start : start + count]
        for i in range(count):
            buffer[offset + i] = part[i]
        for i in range(count, BLOCK):
            buffer[offset + i] = 1.0


@njit(inline="always")
def load_signs(flags: Any, start: int, count: int, buffer: Any, offset: int) -> None:
    """Copy +1 for a call and -1 for a put."""
    if flags.size == 1:
        sign = 1.0 if flags[0] else -1.0
        for i in range(BLOCK):
            buffer[offset + i] = sign
    else:
        part = flags[start : start + count]
        for i in range(count):
            buffer[offset + i] = 1.0 if part[i] else -1.0
        for i in range(count, BLOCK):
            buffer[offset + i] = 1.0


@njit(inline="always")
def store_block(buffer: Any, offset: int, row: Any, start: int, count: int) -> None:
    """Copy `count` results to row[start:]."""
    part = row[start : start + count]
    for i in range(count):
        part[i] = buffer[offset + i]


@kernel
def price_kernel(
    forward: Any, strike: Any, expiry_years: Any, vol: Any, is_call: Any, in_coin: Any, out: Any
) -> None:
    """Prices into `out`; each input has out.size elements or one."""
    prefer_wide_vectors()
    size = out.size
    buffer = np.empty(11 * BLOCK)
    for start in range(0, size, BLOCK):
        count = min(BLOCK, size - start)
        load_block(forward, start, count, buffer, 0)
        load_block(strike, start, count, buffer, BLOCK)
        load_block(expiry_years, start, count, buffer, 2 * BLOCK)
        load_block(vol, start, count, buffer, 3 * BLOCK)
        load_signs(is_call, start, count, buffer, 4 * BLOCK)
        # total volatility and distance from the money
        for i in range(BLOCK):
            years = buffer[2 * BLOCK + i]
            root = sqrt_from_inverse(years, inverse_sqrt(years))
            raw = buffer[3 * BLOCK + i] * root
            total_vol = min(max(raw, SMALLEST_TOTAL_VOL), LARGEST_TOTAL_VOL)
            buffer[5 * BLOCK + i] = total_vol
            larger = max(buffer[i], buffer[BLOCK + i])
            smaller = min(buffer[i], buffer[BLOCK + i])
            distance = -log_quotient(smaller, larger, reciprocal(larger))
            buffer[6 * BLOCK + i] = distance * reciprocal(total_vol)
        # exponential factor, and the variables of the erfcx series on either branch
        for i in range(BLOCK):
            total_vol = buffer[5 * BLOCK + i]
            scaled = buffer[6 * BLOCK + i]
            difference = fma(-0.5, total_vol, scaled)
            buffer[7 * BLOCK + i] = exp(-0.5 * difference * difference)
        for i in range(BLOCK):
            total_vol = buffer[5 * BLOCK + i]
            scaled = buffer[6 * BLOCK + i]
            y1 = fma(-0.5, total_vol, scaled) * INVERSE_SQRT_2
            a1 = (y1 if y1 >= -1.0 else -y1) + 4.5
            a2 = fma(fma(0.5, total_vol, scaled), INVERSE_SQRT_2, 4.5)
            inverse_product = reciprocal(a1 * a2)
            buffer[8 * BLOCK + i] = a2 * inverse_product
            buffer[9 * BLOCK + i] = a1 * inverse_product
        for i in range(BLOCK):
            inverse1 = buffer[8 * BLOCK + i]
            inverse2 = buffer[9 * BLOCK + i]
            u1 = fma(-7.0, inverse1, 1.0)
            u2 = fma(-7.0, inverse2, 1.0)
            p, q = erfcx_series_quotient(u1, u2)
            lower = fma(-7.0 * inverse2, q, p) * (inverse1 * inverse2)
            second = fma(u2 - u1, q, p)  # P(u2)
            buffer[8 * BLOCK + i] = lower * QUARTER_SQRT_2 * buffer[5 * BLOCK + i]
            buffer[9 * BLOCK + i] = 0.5 * fma(p, inverse1, second * inverse2)
        for i in range(BLOCK):
            f = buffer[i]
            k = buffer[BLOCK + i]
            years = buffer[2 * BLOCK + i]
            sigma = buffer[3 * BLOCK + i]
            density = buffer[7 * BLOCK + i]
            difference = fma(-0.5, buffer[5 * BLOCK + i], buffer[6 * BLOCK + i])
            lower = density * buffer[8 * BLOCK + i]
            upper = 1.0 - density * buffer[9 * BLOCK + i]
            c = lower if difference * INVERSE_SQRT_2 >= -1.0 else upper
            c = c if sigma * years > 0.0 else 0.0
            price = fma(min(f, k), c, max(buffer[4 * BLOCK + i] * (f - k), 0.0))
            price = price / f if in_coin else price
            valid = (f > 0.0) & (k > 0.0) & (years >= 0.0) & (sigma >= 0.0)
            valid &= (f < math.inf) & (k < math.inf) & (years < math.inf) & (sigma < math.inf)
            buffer[10 * BLOCK + i] = price if valid else math.nan
        store_block(buffer, 10 * BLOCK, out, start, count)


@njit(inline="always")
def normal_vol_guess(q: float, beta: float) -> float:
    """First guess of s: the Bachelier volatility of the price beta = c exp(-X / 2), q = X / beta.

    After Choi, Kim and Kwak (2009): with ``m = 1 + q / 2`` and ``eta = q / (m ln(1 + q))``,
    ``s = beta m sqrt(eta) P(eta)``; P is a polynomial fitted here, 5e-4 off at most.
    """
    m = fma(0.5, q, 1.0)
    eta = q * rough_reciprocal(m * log(1.0 + q))
    p = -3.0280295821
    p = fma(p, eta, 9.212087052)
    p = fma(p, eta, -10.4110013472)
    p = fma(p, eta, 5.355491837)
    p = fma(p, eta, -1.6337963113)
    p = fma(p, eta, 2.002886045)
    p = fma(p, eta, 1.0077496429)
    return beta * m * (eta * rough_inverse_sqrt(eta)) * p


@njit(inline="always")
def householder_step(
    residual: float, value: float, scaled: float, total_vol: float, inverse_s: float
) -> float:
    """Order-4 Householder step of s for f = ln c(s) - ln c = 0, lower form.

    f' = c'/c is sqrt(4 / pi) / value; m2 = c''/c' and m3 = c'''/c' are closed forms, and
    multiplying through by the Newton step removes every division by f'.
    """
    newton = -residual * value * HALF_SQRT_PI
    ratio = scaled * scaled * inverse_s
    m2 = fma(-0.25, total_vol, ratio)
    m3 = fma(m2, m2, fma(-3.0 * ratio, inverse_s, -0.25))
    first = m2 * newton
    a = first + residual
    b = m3 * newton * newton + residual * fma(3.0, first, 2.0 * residual)
    return newton * fma(0.5, a, 1.0) / (1.0 + a + b * (1.0 / 6.0))


@njit(error_model="numpy")
def total_vol_safely(distance: float, time_value: float, smaller: float) -> float:
    """Total volatility of any attainable time value: bracketed, lower or upper form as it fits.

    The vector loop hands over what it cannot finish in two steps: total volatilities above about
    2.5, prices close to their maximum, and deltas below about 1e-40.
    """
    c = time_value / smaller
    complement = (smaller - time_value) / smaller
    beta = c * math.exp(-0.5 * distance)
    low = max(distance / 80.0, c)
    high = 10.0 + 2.0 * math.sqrt(25.0 + 0.5 * distance)
    s = normal_vol_guess(max(distance / beta, 1e-5), beta)
    if not low < s < high:
        s = math.sqrt(low * high)
    for _ in range(100):
        half = 0.5 * s
        scaled = distance / s
        difference = scaled - half
        y1 = difference * INVERSE_SQRT_2
        y2 = (scaled + half) * INVERSE_SQRT_2
        if y1 >= -1.0:
            value = s * erfcx_difference_quotient(y1, y2)
            residual = math.log(value * QUARTER_SQRT_2) - math.log(c)
            residual -= 0.5 * difference * difference
            step = householder_step(residual, value, scaled, s, 1.0 / s)
            newton = -residual * value * HALF_SQRT_PI
            too_small = residual < 0.0
        else:
            value = 0.5 * (erfcx(-y1) + erfcx(y2))
            residual = math.log(value) - math.log(complement) - 0.5 * difference * difference
            # the same step with f' = -1 / (sqrt(2 pi) value)
            step = householder_step(residual, -value * SQRT_2PI / HALF_SQRT_PI, scaled, s, 1.0 / s)
            newton = residual * value * SQRT_2PI
            too_small = residual > 0.0
        if residual == 0.0:
            return s
        if too_small:
            low = s
        else:
            high = s
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
    buffer = np.empty(15 * BLOCK)
    for start in range(0, size, BLOCK):
        count = min(BLOCK, size - start)
        load_block(forward, start, count, buffer, 0)
        load_block(strike, start, count, buffer, BLOCK)
        load_block(expiry_years, start, count, buffer, 2 * BLOCK)
        load_block(price, start, count, buffer, 3 * BLOCK)
        load_signs(is_call, start, count, buffer, 4 * BLOCK)
        # time value, distance from the money, first guess
        for i in range(BLOCK):
            f = buffer[i]
            k = buffer[BLOCK + i]
            premium = buffer[3 * BLOCK + i] * (f if in_coin else 1.0)
            time_value = premium - max(buffer[4 * BLOCK + i] * (f - k), 0.0)
            larger = max(f, k)
            smaller = min(f, k)
            buffer[5 * BLOCK + i] = time_value
            buffer[6 * BLOCK + i] = -log_quotient(smaller, larger, reciprocal(larger))
            inverse_value = reciprocal(time_value)
            buffer[7 * BLOCK + i] = smaller * inverse_value
            product = f * k
            inverse_mean = rough_inverse_sqrt(product)
            buffer[8 * BLOCK + i] = time_value * inverse_mean
            buffer[9 * BLOCK + i] = inverse_value * inverse_mean * product
        for i in range(BLOCK):
            q = max(buffer[6 * BLOCK + i] * buffer[9 * BLOCK + i], 1e-5)
            buffer[9 * BLOCK + i] = normal_vol_guess(q, buffer[8 * BLOCK + i])
        # buffers now: 5 time value, 6 distance, 7 min(F, K) / time value, 9 total volatility
        for _ in range(2):
            for i in range(BLOCK):
                total_vol = buffer[9 * BLOCK + i]
                inverse_s = reciprocal(total_vol)
                scaled = buffer[6 * BLOCK + i] * inverse_s
                a1 = fma(fma(-0.5, total_vol, scaled), INVERSE_SQRT_2, 4.5)
                a2 = fma(fma(0.5, total_vol, scaled), INVERSE_SQRT_2, 4.5)
                inverse_product = reciprocal(a1 * a2)
                buffer[10 * BLOCK + i] = inverse_s
                buffer[11 * BLOCK + i] = a2 * inverse_product
                buffer[12 * BLOCK + i] = a1 * inverse_product
            for i in range(BLOCK):
                inverse1 = buffer[11 * BLOCK + i]
                inverse2 = buffer[12 * BLOCK + i]
                p, q = erfcx_series_quotient(fma(-7.0, inverse1, 1.0), fma(-7.0, inverse2, 1.0))
                quotient = fma(-7.0 * inverse2, q, p) * (inverse1 * inverse2)
                buffer[13 * BLOCK + i] = buffer[9 * BLOCK + i] * quotient
            for i in range(BLOCK):
                total_vol = buffer[9 * BLOCK + i]
                inverse_s = buffer[10 * BLOCK + i]
                value = buffer[13 * BLOCK + i]
                scaled = buffer[6 * BLOCK + i] * inverse_s
                difference = fma(-0.5, total_vol, scaled)
                logarithm = log(value * QUARTER_SQRT_2 * buffer[7 * BLOCK + i])
                residual = fma(-0.5 * difference, difference, logarithm)
                step = householder_step(residual, value, scaled, total_vol, inverse_s)
                buffer[9 * BLOCK + i] = total_vol + step
                buffer[14 * BLOCK + i] = step
        slow = 0.0
        for i in range(BLOCK):
            f = buffer[i]
            k = buffer[BLOCK + i]
            years = buffer[2 * BLOCK + i]
            time_value = buffer[5 * BLOCK + i]
            total_vol = buffer[9 * BLOCK + i]
            valid = (f > 0.0) & (k > 0.0) & (years > 0.0) & (f < math.inf) & (k < math.inf)
            valid &= (years < math.inf) & (time_value > 0.0) & (time_value < min(f, k))
            done = abs(buffer[14 * BLOCK + i]) < 1e-4 * total_vol
            done &= total_vol < LARGEST_VECTOR_TOTAL_VOL
            result = total_vol * inverse_sqrt(years) if done else SLOW
            buffer[14 * BLOCK + i] = result if valid else math.nan
        for i in range(BLOCK):
            slow = min(slow, buffer[14 * BLOCK + i])
        if slow < 0.0:
            for i in range(count):
                if buffer[14 * BLOCK + i] < 0.0:
                    smaller = min(buffer[i], buffer[BLOCK + i])
                    s = total_vol_safely(buffer[6 * BLOCK + i], buffer[5 * BLOCK + i], smaller)
                    buffer[14 * BLOCK + i] = s / math.sqrt(buffer[2 * BLOCK + i])
        store_block(buffer, 14 * BLOCK, out, start, count)
