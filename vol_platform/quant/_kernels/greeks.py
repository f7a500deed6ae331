"""Compiled kernel for the fourteen greeks; formulas in `vol_platform.quant.greeks`.

One logarithm, one exponential, two erfcx and four reciprocals serve all outputs.  See
`black` for why the work goes through a scratch buffer in short loops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vol_platform.quant._kernels.black import BLOCK, load_block, load_signs, store_block
from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._kernels.vector_math import (
    erfcx_series,
    exp,
    fma,
    inverse_sqrt,
    log_quotient,
    prefer_wide_vectors,
    reciprocal,
    sqrt_from_inverse,
)

__all__ = ["GREEK_COUNT", "greeks_kernel"]

GREEK_COUNT = 14
INVERSE_SQRT_2 = 0.7071067811865476
INVERSE_SQRT_2PI = 0.3989422804014327
LARGEST_TOTAL_VOL = 90.0
DEGENERATE_TOTAL_VOL = (
    1e-30  # below it the option is its intrinsic value; powers of 1/s stay finite
)
# offsets of the inputs and intermediate columns, behind the outputs
FORWARD = GREEK_COUNT * BLOCK
STRIKE = FORWARD + BLOCK
YEARS = STRIKE + BLOCK
VOL = YEARS + BLOCK
SIGN = VOL + BLOCK
ROOT = SIGN + BLOCK
INVERSE_S = ROOT + BLOCK
D1 = INVERSE_S + BLOCK
D2 = D1 + BLOCK
DENSITY_1 = D2 + BLOCK
DENSITY_2 = DENSITY_1 + BLOCK
TAIL_1 = DENSITY_2 + BLOCK
TAIL_2 = TAIL_1 + BLOCK
INVERSE_F = TAIL_2 + BLOCK
BUFFER_SIZE = INVERSE_F + BLOCK


@kernel
def greeks_kernel(
    forward: Any, strike: Any, expiry_years: Any, vol: Any, is_call: Any, out: Any
) -> None:
    """Greeks into `out`, 14 rows as in `Greeks`; an input has out.shape[1] elements or one."""
    prefer_wide_vectors()
    size = out.shape[1]
    buffer = np.empty(BUFFER_SIZE)
    for start in range(0, size, BLOCK):
        count = min(BLOCK, size - start)
        load_block(forward, start, count, buffer, FORWARD)
        load_block(strike, start, count, buffer, STRIKE)
        load_block(expiry_years, start, count, buffer, YEARS)
        load_block(vol, start, count, buffer, VOL)
        load_signs(is_call, start, count, buffer, SIGN)
        for i in range(BLOCK):
            f = buffer[FORWARD + i]
            k = buffer[STRIKE + i]
            years = buffer[YEARS + i]
            root = sqrt_from_inverse(years, inverse_sqrt(years))
            total_vol = buffer[VOL + i] * root
            total_vol = min(max(total_vol, DEGENERATE_TOTAL_VOL), LARGEST_TOTAL_VOL)
            inverse_s = 1.0 / total_vol
            inverse_k = 1.0 / k
            scaled = log_quotient(f, k, inverse_k) * inverse_s
            buffer[ROOT + i] = root
            buffer[INVERSE_S + i] = inverse_s
            buffer[D1 + i] = fma(0.5, total_vol, scaled)
            buffer[D2 + i] = fma(-0.5, total_vol, scaled)
            buffer[DENSITY_2 + i] = f * inverse_k
            buffer[INVERSE_F + i] = 1.0 / f
        for i in range(BLOCK):
            # N(-|d1|) and N(-|d2|) come from erfcx; one reciprocal serves both series variables
            a1 = fma(abs(buffer[D1 + i]), INVERSE_SQRT_2, 4.5)
            a2 = fma(abs(buffer[D2 + i]), INVERSE_SQRT_2, 4.5)
            inverse_product = reciprocal(a1 * a2)
            buffer[TAIL_1 + i] = a2 * inverse_product
            buffer[TAIL_2 + i] = a1 * inverse_product
        for i in range(BLOCK):
            d1 = buffer[D1 + i]
            density = exp(-0.5 * d1 * d1)
            buffer[DENSITY_1 + i] = density
            buffer[DENSITY_2 + i] *= density  # n(d2) = n(d1) F / K
        for i in range(BLOCK):
            inverse1 = buffer[TAIL_1 + i]
            inverse2 = buffer[TAIL_2 + i]
            p1 = erfcx_series(fma(-7.0, inverse1, 1.0))
            p2 = erfcx_series(fma(-7.0, inverse2, 1.0))
            buffer[TAIL_1 + i] = 0.5 * p1 * inverse1 * buffer[DENSITY_1 + i]
            buffer[TAIL_2 + i] = 0.5 * p2 * inverse2 * buffer[DENSITY_2 + i]
        for i in range(BLOCK):
            f = buffer[FORWARD + i]
            k = buffer[STRIKE + i]
            years = buffer[YEARS + i]
            sigma = buffer[VOL + i]
            sign = buffer[SIGN + i]
            d1 = buffer[D1 + i]
            d2 = buffer[D2 + i]
            tail1 = buffer[TAIL_1 + i]
            tail2 = buffer[TAIL_2 + i]
            valid = (f > 0.0) & (k > 0.0) & (years >= 0.0) & (sigma >= 0.0)
            valid &= (f < math.inf) & (k < math.inf) & (years < math.inf) & (sigma < math.inf)
            nan_if_bad = 0.0 if valid else math.nan
            n = INVERSE_SQRT_2PI * buffer[DENSITY_1 + i]
            at_the_kink = math.nan if f == k else 0.0
            n = n if sigma * buffer[ROOT + i] >= DEGENERATE_TOTAL_VOL else at_the_kink
            n += nan_if_bad
            cdf1 = (tail1 if sign * d1 < 0.0 else 1.0 - tail1) + nan_if_bad
            cdf2 = (tail2 if sign * d2 < 0.0 else 1.0 - tail2) + nan_if_bad
            buffer[i] = sign * cdf1
            buffer[13 * BLOCK + i] = -sign * cdf2
            buffer[4 * BLOCK + i] = k * years * sign * cdf2
            buffer[DENSITY_1 + i] = n
        for i in range(BLOCK):
            sigma = buffer[VOL + i]
            d1 = buffer[D1 + i]
            d2 = buffer[D2 + i]
            n = buffer[DENSITY_1 + i]
            inverse_f = buffer[INVERSE_F + i]
            inverse_s = buffer[INVERSE_S + i]
            root = buffer[ROOT + i]
            inverse_sigma = root * inverse_s
            inverse_root = sigma * inverse_s
            half_inverse_years = 0.5 * inverse_root * inverse_root
            product = d1 * d2
            gamma = n * inverse_f * inverse_s
            value_density = buffer[FORWARD + i] * n
            vega = value_density * root
            squares = fma(d1, d1, d2 * d2)
            buffer[BLOCK + i] = gamma
            buffer[2 * BLOCK + i] = vega
            buffer[3 * BLOCK + i] = -0.5 * value_density * sigma * inverse_root
            buffer[5 * BLOCK + i] = -n * d2 * inverse_sigma
            buffer[6 * BLOCK + i] = vega * product * inverse_sigma
            buffer[7 * BLOCK + i] = n * d2 * half_inverse_years
            buffer[8 * BLOCK + i] = -vega * (1.0 + product) * half_inverse_years
            buffer[9 * BLOCK + i] = -gamma * inverse_f * fma(d1, inverse_s, 1.0)
            buffer[10 * BLOCK + i] = gamma * (product - 1.0) * inverse_sigma
            buffer[11 * BLOCK + i] = gamma * (1.0 - product) * half_inverse_years
            curvature = fma(product, 1.0 - product, squares)
            buffer[12 * BLOCK + i] = -vega * (inverse_sigma * inverse_sigma) * curvature
        for j in range(GREEK_COUNT):
            store_block(buffer, j * BLOCK, out[j], start, count)
