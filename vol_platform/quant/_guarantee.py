"""The guarantee: blend towards an arbitrage-free eSSVI chain until every exact check passes.

The target chain satisfies, slice by slice and pair by pair, the sufficient conditions of
Gatheral-Jacquier and Hendriks-Martini with a margin.  A slice at blend 1 is its eSSVI slice, so the
search always ends.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vol_platform.quant._calibrate import BUTTERFLY_ACCEPT, CALENDAR_ACCEPT
from vol_platform.quant._exact import butterfly_minimum, calendar_minimum
from vol_platform.quant._slices import ROW, derivatives

__all__ = ["essvi_rows", "guarantee"]

FloatArray = npt.NDArray[np.float64]

_LADDER = (0.0, 0.01, 0.03, 0.08, 0.15, 0.3, 0.5, 0.75, 1.0)


def essvi_rows(theta: FloatArray, rho: FloatArray, psi: FloatArray) -> FloatArray:
    """Slice rows of eSSVI slices (theta = w(0), psi = theta phi)."""
    phi = psi / theta
    rows = np.zeros((theta.size, ROW))
    bend = np.sqrt(1.0 - rho * rho)
    rows[:, 0] = 0.5 * theta * (1.0 - rho * rho)
    rows[:, 1] = 0.5 * psi * (1.0 - rho)
    rows[:, 2] = 0.5 * psi * (1.0 + rho)
    rows[:, 3] = -rho / phi
    rows[:, 4] = bend / phi
    return rows


def project_essvi(
    theta: FloatArray, rho: FloatArray, psi: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Move eSSVI parameters, first slice to last, into the arbitrage-free set (Mingone 2022).

    Between slices: ``theta`` and ``psi`` grow by at least ``p = max((1+rho0)/(1+rho1),
    (1-rho0)/(1-rho1))`` and ``phi`` does not; butterfly: ``psi (1+|rho|) < 4`` and
    ``psi^2 (1+|rho|) <= 4 theta``.
    """
    theta, rho, psi = theta.copy(), np.clip(rho, -0.95, 0.95), psi.copy()
    for i in range(theta.size):
        least_theta, least_psi, most_psi = 1e-8, 1e-8, np.inf
        if i:
            while True:
                p = max(
                    (1 + rho[i - 1]) / (1 + rho[i]), (1 - rho[i - 1]) / (1 - rho[i])
                ) * (1 + 1e-6)  # fmt: skip
                least_psi = psi[i - 1] * p
                cap = 0.98 * min(4 / (1 + abs(rho[i])), 2.0)
                if least_psi <= 0.9 * cap or abs(rho[i] - rho[i - 1]) < 1e-9:
                    break
                rho[i] = 0.5 * (rho[i] + rho[i - 1])
            least_theta = theta[i - 1] * p
        theta[i] = max(theta[i], least_theta * (1 + 1e-6))
        if i:
            most_psi = psi[i - 1] * theta[i] / theta[i - 1]
        wing = 1 + abs(rho[i])
        cap = min(0.98 * 4 / wing, np.sqrt(0.98 * 4 * theta[i] / wing))
        if least_psi > cap:
            # The butterfly cap is below the calendar floor: more variance makes room.
            theta[i] = max(theta[i], (least_psi**2) * wing / (0.97 * 4))
            most_psi = psi[i - 1] * theta[i] / theta[i - 1]
            cap = min(0.98 * 4 / wing, np.sqrt(0.98 * 4 * theta[i] / wing))
        psi[i] = min(max(psi[i], least_psi), cap, most_psi)
    return theta, rho, psi


def _target(rows: FloatArray) -> FloatArray:
    """Arbitrage-free eSSVI chain near the given rows: same level, skew and curvature first."""
    theta = np.array([max(derivatives(row, 0.0)[0], 1e-8) for row in rows])
    p, c = rows[:, 1], rows[:, 2]
    psi = np.clip(p + c, 1e-6, None)
    rho = np.clip((c - p) / psi, -0.9, 0.9)
    return essvi_rows(*project_essvi(theta, rho, psi))


def _status(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    g = np.array([butterfly_minimum(row)[1] for row in rows])
    gap = np.full(len(rows), np.inf)
    for i in range(len(rows) - 1):
        near = abs(derivatives(rows[i], 0.0)[0])
        gap[i] = calendar_minimum(rows[i], rows[i + 1])[1] - CALENDAR_ACCEPT * near
    return g, gap


def guarantee(
    rows: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return (rows, blend, smallest g, smallest gap) with every check passed."""
    n = len(rows)
    level = np.zeros(n, dtype=np.int64)
    g, gap = _status(rows)
    fitted, target = rows, None
    while True:
        bad = g < BUTTERFLY_ACCEPT
        crossing = gap < 0
        bad[:-1] |= crossing[:-1]
        bad[1:] |= crossing[:-1]
        bad &= level < len(_LADDER) - 1
        if not bad.any():
            break
        if target is None:
            target = _target(fitted)
            rows = fitted.copy()
        level[bad] += 1
        for i in np.flatnonzero(bad):
            share = _LADDER[level[i]]
            rows[i, :5] = (1 - share) * fitted[i, :5] + share * target[i, :5]
            rows[i, 7:] = (1 - share) * fitted[i, 7:]
        g, gap = _status(rows)
    return rows, np.array([_LADDER[at] for at in level]), g, gap
