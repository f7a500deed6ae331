"""A second look at slices that miss their quotes although every check has passed.

The escalation of the joint fit stops at the first surface without arbitrage.  On the way there a
slice can be pushed into a poor local minimum by constraints that its neighbours no longer need.
Such slices begin again from their own quotes, first they alone and then with both neighbours, and
what they tie together is fitted again under weights that start low.  The new surface is taken only
when it passes every check and misses less.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._fit.calibrate import COLD, KEEP, Calibration
from vol_platform.quant._fit.problem import Problem
from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._slices import derivatives

__all__ = ["look_again", "mean_miss"]

FloatArray = npt.NDArray[np.float64]

_MISS = 0.05
"""Mean distance outside bid and ask, in units of the quotes, from which a slice is looked at."""
_WARM_MISS = 0.5
"""The same for a slice that began from an earlier one: it was good a moment ago."""
_LARGEST_MISS = 10.0
"""A quote counts at most this much: one wild quote is no reason."""


@kernel
def mean_miss(rows: FloatArray, problem: Problem) -> FloatArray:
    """Mean distance of each slice outside its two-sided quotes, in their units; shape (n,)."""
    misses = np.zeros(len(rows))
    for i in range(len(rows)):
        row = rows[i]
        count = 0
        for q in range(problem.offsets[i], problem.offsets[i + 1]):
            if problem.kind[q] != 0:
                continue
            w = derivatives(row, problem.k[q])[0]
            vol = math.sqrt(max(w, 0.0) / problem.years[i])
            outside = max(abs(vol - problem.mid[q]) - problem.half[q], 0.0)
            misses[i] += min(outside / problem.unit[q], _LARGEST_MISS)
            count += 1
        if count > 0:
            misses[i] /= count
    return misses


def look_again(found: Calibration) -> Calibration:
    """Fit slices that miss their quotes once more, where that helps.

    Parameters
    ----------
    found
        After a `run` that returned True.

    Returns
    -------
    Calibration
        `found` itself, or one that misses less; every check has passed in both.
    """
    best = found
    for with_neighbours in (True, False):
        before = mean_miss(best.rows, best.problem)
        allowed = np.where(found.start == COLD, _MISS, _WARM_MISS)
        poor = (before > allowed) & (found.start != KEEP)
        if not poor.any():
            break
        if with_neighbours:
            poor = poor | np.append(poor[1:], [False]) | np.append([False], poor[:-1])
        other = best.begin_again(poor)
        if other is not None and mean_miss(other.rows, other.problem).sum() < before.sum():
            best = other
    return best
