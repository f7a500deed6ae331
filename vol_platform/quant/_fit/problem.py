"""The numbers of a joint fit, bundled: what is given, and the room it works in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._slices import KNOTS

__all__ = [
    "DIM",
    "GRID",
    "GRID_BASE",
    "GRID_ROWS",
    "POINT_ROWS",
    "QUOTE_ROWS",
    "WIDE",
    "Loss",
    "Problem",
    "Workspace",
    "copy_constraints",
    "fresh_constraints",
    "new_problem",
    "new_workspace",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DIM = 5 + KNOTS
"""Unknowns of a slice: five of the hyperbola, then the residual coefficients."""

GRID_INSIDE = 30
GRID_WING = 8
GRID_BASE = GRID_INSIDE + 2 * GRID_WING
GRID = GRID_BASE + 16
"""Constraint points of a slice: inside the quotes, in both wings, and room for cuts."""

WIDE = DIM + 1
"""Columns of the normal equations: the unknowns, and the right-hand side as the last."""

POINT_ROWS = 3 + KNOTS
QUOTE_ROWS = 14
GRID_ROWS = 6 + 2 * KNOTS
"""Rows of the tables of a slice, named in `tables`."""


class Loss(NamedTuple):
    """Shape of the loss of a two-sided quote, in units of its half spread.

    Attributes
    ----------
    inside_weight
        Weight of the quadratic that pulls to the mid everywhere.
    band
        Part of the half spread that is free of any other cost: the dead zone.
    huber
        Distance outside the band from which the cost grows linearly only.
    tolerance
        A single fit ends when a step gains less than this part of the cost.
    """

    inside_weight: float = 0.15
    band: float = 0.75
    huber: float = 0.3
    tolerance: float = 1e-3


class Problem(NamedTuple):
    """Quotes, priors and constraints of all slices.

    Quote arrays (`k` to `weight`) are flat with `offsets`; the others have one entry per slice;
    `grid` is (slices, GRID).  `calendar_weight[i]` ties slice i to slice i + 1.  `template` holds
    hyperbolas to begin thin slices from where no slice has quotes enough to lend its shape; zeros
    where there is none.
    """

    offsets: IntArray
    k: FloatArray
    mid: FloatArray
    half: FloatArray
    unit: FloatArray
    kind: IntArray
    weight: FloatArray
    years: FloatArray
    template: FloatArray
    prior: FloatArray
    precision: FloatArray
    roughness: FloatArray
    scale: FloatArray
    smallest_s: FloatArray
    floor: FloatArray
    grid: FloatArray
    grid_count: IntArray
    cuts: IntArray
    butterfly_weight: FloatArray
    calendar_weight: FloatArray
    loss: Loss


class Workspace(NamedTuple):
    """Room for a fit: tables of each slice (see `tables`), normal equations, Cholesky factors.

    `hessian` to `link` have `WIDE` columns: the last one holds right-hand sides.  `ready` says
    which tables of a slice are current: 0 none, 1 quotes and own constraint points, 2 the
    neighbours' constraint points as well.  `unknowns` and `jacobian` belong to one term.
    """

    points: FloatArray
    quotes: FloatArray
    grid: FloatArray
    ready: IntArray
    hessian: FloatArray
    coupling: FloatArray
    gradient: FloatArray
    step: FloatArray
    factor: FloatArray
    link: FloatArray
    unknowns: IntArray
    jacobian: FloatArray


def new_problem(
    offsets: IntArray,
    k: FloatArray,
    mid: FloatArray,
    half: FloatArray,
    unit: FloatArray,
    kind: IntArray,
    weight: FloatArray,
    years: FloatArray,
    loss: Loss,
) -> Problem:
    """Problem of the given quotes; everything else is filled in by the calibration."""
    n = years.size
    return Problem(
        offsets=offsets,
        k=k,
        mid=mid,
        half=half,
        unit=unit,
        kind=kind,
        weight=weight,
        years=years,
        template=np.zeros((n, 5)),
        prior=np.zeros((n, 5)),
        precision=np.zeros((n, 5)),
        roughness=np.zeros(n),
        scale=np.zeros(n),
        smallest_s=np.zeros(n),
        floor=np.ones((n, DIM)),
        grid=np.zeros((n, GRID)),
        grid_count=np.full(n, GRID_BASE, dtype=np.int64),
        cuts=np.zeros(n, dtype=np.int64),
        butterfly_weight=np.zeros(n),
        calendar_weight=np.zeros(n),
        loss=loss,
    )


def fresh_constraints(problem: Problem) -> Problem:
    """Return the same quotes with all weights and cuts forgotten."""
    fresh = new_problem(
        problem.offsets, problem.k, problem.mid, problem.half, problem.unit, problem.kind,
        problem.weight, problem.years, problem.loss,
    )  # fmt: skip
    return fresh._replace(template=problem.template)


def copy_constraints(problem: Problem) -> Problem:
    """Return the same quotes with a copy of everything that a calibration changes."""
    changed = (
        "prior", "precision", "roughness", "scale", "smallest_s", "floor", "grid", "grid_count",
        "cuts", "butterfly_weight", "calendar_weight",
    )  # fmt: skip
    return problem._replace(**{name: getattr(problem, name).copy() for name in changed})


@kernel
def new_workspace(slices: int, quotes: int) -> Workspace:
    """Room for `slices` slices of at most `quotes` quotes each."""
    return Workspace(
        np.empty((slices, POINT_ROWS, quotes + 3 * GRID)),
        np.empty((slices, QUOTE_ROWS, quotes)),
        np.empty((slices, GRID_ROWS, GRID)),
        np.zeros(slices, dtype=np.int64),
        np.zeros((slices, WIDE, WIDE)),
        np.zeros((slices, WIDE, WIDE)),
        np.zeros((slices, WIDE)),
        np.zeros((slices, WIDE)),
        np.zeros((slices, WIDE, WIDE)),
        np.zeros((slices, WIDE, WIDE)),
        np.empty((2, 9), dtype=np.int64),
        np.empty((7, 9)),
    )
