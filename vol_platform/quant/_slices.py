"""One smile as a row of numbers, and its exact derivatives.

A row is ``[a, l, r, m, s, x0, h, c_0 .. c_{Q-1}]``: a raw-SVI hyperbola written with its wing
slopes ``l = b(1-rho)`` and ``r = b(1+rho)``,

    w_svi(k) = a + (r - l)/2 (k - m) + (r + l)/2 sqrt((k - m)^2 + s^2),

plus a residual spline ``sum_j c_j B((k - x0)/h - j)`` of uniform cubic B-splines.  The spline is
twice continuously differentiable and zero outside ``[x0, x0 + (Q + 3) h]``, so the wings are the
hyperbola's own and every statement about them is the classical one.

The slopes make Lee's bound and the order of the wings in time plain boxes, and the hyperbola linear
in three of its five parameters.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._kernels.compile import kernel

__all__ = [
    "KNOTS",
    "ROW",
    "butterfly",
    "derivatives",
    "move_knots",
    "raw_to_row",
    "row_to_raw",
    "total_variance",
]

FloatArray = npt.NDArray[np.float64]

KNOTS = 10
"""Number of residual B-splines of a slice."""
ROW = 7 + KNOTS
"""Length of a slice row."""


@kernel
def derivatives(row: FloatArray, k: float) -> tuple[float, float, float]:
    """Total variance of a row at log-moneyness `k` with its first and second derivative in k."""
    x = k - row[3]
    square = row[4] * row[4]
    root = math.sqrt(x * x + square)
    inverse = 1.0 / root
    mean = 0.5 * (row[2] + row[1])
    tilt = 0.5 * (row[2] - row[1])
    w = row[0] + tilt * x + mean * root
    w1 = tilt + mean * x * inverse
    w2 = mean * square * inverse * inverse * inverse
    h = row[6]
    if h > 0.0:
        inverse = 1.0 / h
        offset = (k - row[5]) * inverse
        if 0.0 < offset < KNOTS + 3.0:
            cell = int(offset)
            t = offset - cell
            u = 1.0 - t
            c0 = row[4 + cell] if cell >= 3 else 0.0
            c1 = row[5 + cell] if 2 <= cell < KNOTS + 2 else 0.0
            c2 = row[6 + cell] if 1 <= cell < KNOTS + 1 else 0.0
            c3 = row[7 + cell] if cell < KNOTS else 0.0
            v0 = c0 * u * u * u + c3 * t * t * t
            v0 += c1 * (3.0 * t * t * t - 6.0 * t * t + 4.0)
            v0 += c2 * (3.0 * u * u * u - 6.0 * u * u + 4.0)
            v1 = 0.5 * (c3 * t * t - c0 * u * u)
            v1 += c1 * (1.5 * t * t - 2.0 * t) + c2 * (2.0 * u - 1.5 * u * u)
            v2 = c0 * u + c1 * (3.0 * t - 2.0) + c2 * (3.0 * u - 2.0) + c3 * t
            w += v0 / 6.0
            w1 += v1 * inverse
            w2 += v2 * inverse * inverse
    return w, w1, w2


@kernel
def butterfly_value(w: float, w1: float, w2: float, k: float) -> float:
    """Durrleman's function g of one point; the density has the sign of g."""
    a = 1.0 - 0.5 * k * w1 / w
    return a * a - 0.25 * w1 * w1 * (1.0 / w + 0.25) + 0.5 * w2


@kernel
def total_variance(row: FloatArray, k: FloatArray) -> FloatArray:
    """Total variance of a row at an array of log-moneyness."""
    out = np.empty(k.size)
    for i in range(k.size):
        out[i] = derivatives(row, k[i])[0]
    return out


@kernel
def butterfly(row: FloatArray, k: FloatArray) -> FloatArray:
    """Durrleman's g of a row at an array of k; -1 where the variance is not positive."""
    out = np.empty(k.size)
    for i in range(k.size):
        w, w1, w2 = derivatives(row, k[i])
        out[i] = butterfly_value(w, w1, w2, k[i]) if w > 0.0 else -1.0
    return out


@kernel
def move_knots(row: FloatArray, start: float, step: float) -> None:
    """Put the residual of a row on other knots, in place.

    A coefficient becomes the old residual's value at the peak of its B-spline (Schoenberg's
    variation-diminishing approximation).
    """
    plain = row.copy()
    plain[6] = 0.0
    for j in range(KNOTS):
        peak = start + (j + 2) * step
        plain[7 + j] = derivatives(row, peak)[0] - derivatives(plain, peak)[0]
    for j in range(KNOTS):
        row[7 + j] = plain[7 + j]
    row[5] = start
    row[6] = step


def raw_to_row(a: float, b: float, rho: float, m: float, sigma: float) -> FloatArray:
    """Row of a raw SVI slice without residual."""
    row = np.zeros(ROW)
    row[:5] = a, b * (1.0 - rho), b * (1.0 + rho), m, sigma
    return row


def row_to_raw(row: FloatArray) -> tuple[float, float, float, float, float]:
    """Raw SVI parameters (a, b, rho, m, sigma) of the hyperbola of a row."""
    b = 0.5 * (row[1] + row[2])
    rho = (row[2] - row[1]) / (row[2] + row[1]) if b > 0 else 0.0
    return float(row[0]), float(b), float(rho), float(row[3]), float(row[4])
