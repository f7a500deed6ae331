"""The guarantee: blend towards an arbitrage-free eSSVI chain until every exact check passes.

The target is the board's own eSSVI fit, which satisfies the sufficient conditions slice by slice
and pair by pair.  A slice at blend 1 is its eSSVI slice, so the search ends with a free chain.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vol_platform.quant._fit.calibrate import BUTTERFLY_ACCEPT, CALENDAR_ACCEPT
from vol_platform.quant._fit.problem import Problem
from vol_platform.quant._no_arbitrage.exact import butterfly_minimum, calendar_minimum
from vol_platform.quant._slices import derivatives
from vol_platform.quant.ssvi import fit, to_raw_rows

__all__ = ["check_rows", "essvi_target", "guarantee"]

FloatArray = npt.NDArray[np.float64]

_LADDER = (0.0, 0.01, 0.03, 0.08, 0.15, 0.3, 0.5, 0.75, 1.0)


def essvi_target(problem: Problem, model: str = "essvi") -> FloatArray:
    """Slice rows of the (e)SSVI fit to the two-sided quotes of a problem."""
    two_sided = problem.kind == 0
    expiry = np.repeat(np.arange(problem.years.size), np.diff(problem.offsets))[two_sided]
    offsets = np.searchsorted(expiry, np.arange(problem.years.size + 1))
    chain = fit(
        offsets, problem.k[two_sided], problem.mid[two_sided], problem.unit[two_sided],
        problem.years, model=model,
    )  # fmt: skip
    return to_raw_rows(chain)


def check_rows(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Smallest g of each slice, and gap to the next less its allowance (inf for the last)."""
    g = np.array([butterfly_minimum(row)[1] for row in rows])
    gap = np.full(len(rows), np.inf)
    for i in range(len(rows) - 1):
        allowance = CALENDAR_ACCEPT * abs(derivatives(rows[i], 0.0)[0])
        gap[i] = calendar_minimum(rows[i], rows[i + 1])[1] - allowance
    return g, gap


def guarantee(
    fitted: FloatArray, target: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return (rows, blend, smallest g, smallest gap) with every check passed."""
    rows = fitted.copy()
    level = np.zeros(len(rows), dtype=np.int64)
    g, gap = check_rows(rows)
    while True:
        bad = g < BUTTERFLY_ACCEPT
        crossing = gap < 0
        bad[:-1] |= crossing[:-1]
        bad[1:] |= crossing[:-1]
        bad &= level < len(_LADDER) - 1
        if not bad.any():
            return rows, np.array([_LADDER[at] for at in level]), g, gap
        level[bad] += 1
        for i in np.flatnonzero(bad):
            share = _LADDER[level[i]]
            rows[i, :5] = (1 - share) * fitted[i, :5] + share * target[i, :5]
            rows[i, 7:] = (1 - share) * fitted[i, 7:]
        g, gap = check_rows(rows)
