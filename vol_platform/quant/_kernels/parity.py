"""Where the parity intervals of many expiries overlap most; see `vol_platform.quant.forwards`."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._kernels.compile import kernel

__all__ = ["deepest_regions"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@kernel
def deepest_regions(
    offsets: IntArray, lower: FloatArray, upper: FloatArray, prior: FloatArray
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Region covered by most intervals of each expiry, and by how many.

    Ties go to the region nearest the prior, or nearest the median of the intervals' centres where
    there is no prior.  An expiry without intervals has NaN and 0.
    """
    n = offsets.size - 1
    low = np.full(n, np.nan)
    high = np.full(n, np.nan)
    agreeing = np.zeros(n, dtype=np.int64)
    for i in range(n):
        begin, end = offsets[i], offsets[i + 1]
        if begin == end:
            continue
        centre = prior[i]
        if not (math.isfinite(centre) and centre > 0.0):
            centre = np.median(0.5 * (lower[begin:end] + upper[begin:end]))
        nearest = math.inf
        # A region of greatest depth begins where some interval begins.
        for at in range(begin, end):
            left = lower[at]
            right = math.inf
            depth = 0
            for other in range(begin, end):
                if lower[other] <= left <= upper[other]:
                    depth += 1
                    right = min(right, upper[other])
            distance = max(left - centre, centre - right, 0.0)
            if depth > agreeing[i] or (depth == agreeing[i] and distance < nearest):
                agreeing[i] = depth
                nearest = distance
                low[i] = left
                high[i] = right
    return low, high, agreeing
