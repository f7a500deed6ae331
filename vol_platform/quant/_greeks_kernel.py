"""Compiled kernel for the fourteen greeks; formulas in `vol_platform.quant.greeks`.

One logarithm, one exponential, two erfcx and one shared division by ``s = vol sqrt(T)`` serve all
outputs.  See `_black_kernels` for why the work goes through a scratch buffer in blocks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vol_platform.quant._compile import kernel
from vol_platform.quant._vector_math import (
    erfcx_series,
    exp,
    fma,
    log_quotient,
    prefer_wide_vectors,
)

__all__ = ["GREEK_COUNT", "greeks_kernel"]

GREEK_COUNT = 14
BLOCK = 128
INPUTS = GREEK_COUNT * BLOCK
INVERSE_SQRT_2 = 0.7071067811865476
INVERSE_SQRT_2PI = 0.3989422804014327
LARGEST_TOTAL_VOL = 90.0
DEGENERATE_TOTAL_VOL = (
    1e-30  # below it the option is its intrinsic value; powers of 1/s stay finite
)


@kernel
def greeks_kernel(
    forward: Any, strike: Any, expiry_years: Any, vol: Any, is_call: Any, out: Any
) -> None:
    """Greeks into `out`, 14 rows as in `Greeks`; an input has out.shape[1] elements or one."""
    prefer_wide_vectors()
    size = out.shape[1]
    f_step = 1 if forward.size == size else 0
    k_step = 1 if strike.size == size else 0
    t_step = 1 if expiry_years.size == size else 0
    v_step = 1 if vol.size == size else 0
    c_step = 1 if is_call.size == size else 0
    buffer = np.empty(INPUTS + 5 * BLOCK)
    for start in range(0, size, BLOCK):
        count = min(BLOCK, size - start)
        for i in range(count):
            buffer[INPUTS + i] = forward[(start + i) * f_step]
        for i in range(count):
            buffer[INPUTS + BLOCK + i] = strike[(start + i) * k_step]
        for i in range(count):
            buffer[INPUTS + 2 * BLOCK + i] = expiry_years[(start + i) * t_step]
        for i in range(count):
            buffer[INPUTS + 3 * BLOCK + i] = vol[(start + i) * v_step]
        for i in range(count):
            buffer[INPUTS + 4 * BLOCK + i] = 1.0 if is_call[(start + i) * c_step] else -1.0
        for i in range(count):
            f = buffer[INPUTS + i]
            k = buffer[INPUTS + BLOCK + i]
            years = buffer[INPUTS + 2 * BLOCK + i]
            sigma = buffer[INPUTS + 3 * BLOCK + i]
            sign = buffer[INPUTS + 4 * BLOCK + i]
            valid = (
                (f > 0.0) & (k > 0.0) & (years >= 0.0) & (sigma >= 0.0)
                & (f < math.inf) & (k < math.inf) & (years < math.inf) & (sigma < math.inf)
            )  # fmt: skip
            root_years = math.sqrt(years)
            raw_total_vol = sigma * root_years
            total_vol = min(max(raw_total_vol, DEGENERATE_TOTAL_VOL), LARGEST_TOTAL_VOL)
            inverse_s = 1.0 / total_vol
            log_moneyness = log_quotient(f, k)
            scaled = log_moneyness * inverse_s
            d1 = fma(0.5, total_vol, scaled)
            d2 = fma(-0.5, total_vol, scaled)

            # N(-|d1|) and N(-|d2|) through erfcx; one division serves both series variables
            a1 = fma(abs(d1), INVERSE_SQRT_2, 4.5)
            a2 = fma(abs(d2), INVERSE_SQRT_2, 4.5)
            inverse_product = 1.0 / (a1 * a2)
            inverse1 = a2 * inverse_product
            inverse2 = a1 * inverse_product
            density1 = exp(-0.5 * d1 * d1)
            density1 = density1 if valid else math.nan
            density2 = density1 * (f / k)
            tail1 = 0.5 * density1 * inverse1 * erfcx_series(fma(-7.0, inverse1, 1.0))
            tail2 = 0.5 * density2 * inverse2 * erfcx_series(fma(-7.0, inverse2, 1.0))
            cdf1 = tail1 if sign * d1 < 0.0 else 1.0 - tail1
            cdf2 = tail2 if sign * d2 < 0.0 else 1.0 - tail2

            n = INVERSE_SQRT_2PI * density1
            at_the_kink = math.nan if log_moneyness == 0.0 else 0.0
            n = n if raw_total_vol >= DEGENERATE_TOTAL_VOL else at_the_kink
            n = n if valid else math.nan
            inverse_f = 1.0 / f
            inverse_sigma = root_years * inverse_s
            inverse_root_years = sigma * inverse_s
            half_inverse_years = 0.5 * inverse_root_years * inverse_root_years
            product = d1 * d2
            gamma = n * inverse_f * inverse_s
            vega = f * n * root_years
            dual_delta = -sign * cdf2

            buffer[i] = sign * cdf1
            buffer[BLOCK + i] = gamma
            buffer[2 * BLOCK + i] = vega
            buffer[3 * BLOCK + i] = -0.5 * f * n * sigma * inverse_root_years
            buffer[4 * BLOCK + i] = -k * years * dual_delta
            buffer[5 * BLOCK + i] = -n * d2 * inverse_sigma
            buffer[6 * BLOCK + i] = vega * product * inverse_sigma
            buffer[7 * BLOCK + i] = n * d2 * half_inverse_years
            buffer[8 * BLOCK + i] = -vega * (1.0 + product) * half_inverse_years
            buffer[9 * BLOCK + i] = -gamma * inverse_f * fma(d1, inverse_s, 1.0)
            buffer[10 * BLOCK + i] = gamma * (product - 1.0) * inverse_sigma
            buffer[11 * BLOCK + i] = gamma * (1.0 - product) * half_inverse_years
            buffer[12 * BLOCK + i] = (
                -vega * (inverse_sigma * inverse_sigma)
                * (fma(product, 1.0 - product, d1 * d1) + d2 * d2)
            )  # fmt: skip
            buffer[13 * BLOCK + i] = dual_delta
        for j in range(GREEK_COUNT):
            for i in range(count):
                out[j, start + i] = buffer[j * BLOCK + i]
