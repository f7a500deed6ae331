"""Least squares over whole (e)SSVI chains: compiled, robust, free of arbitrage at every point.

A chain is a function of unconstrained parameters (`_mingone`, `_power_law`), so no step of the fit
needs to be checked.  A quote costs ``sqrt(1 + r^2) - 1`` with ``r`` its distance from mid in units;
the Gauss-Newton matrix weighs it by ``1 / sqrt(1 + r^2)``.  Derivatives of the volatilities in
``(theta, rho, psi)`` of their slice are analytic and 3 x 3 blocks of them are all that is summed
over quotes; how a chain moves with its parameters is found by differences, which costs no quotes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._kernels.compile import kernel

__all__ = ["MINGONE", "POWER_LAW", "chain_of", "largest_psi", "least_growth", "solve_chain"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

POWER_LAW, MINGONE = 0, 1
"""How parameters make a chain: SSVI with the power law, or Mingone's box of eSSVI chains."""

_INSIDE = 0.995
"""Every cap is used up to this part only, so that rounding cannot cross it."""
_APART = 1.00001
"""Slices grow by more than the least, so that exact checks, which allow for rounding, pass."""

_FLATTEST = 9.0
_STEPS, _TRIALS = 80, 10
_TOLERANCE = 1e-8
"""A step that lowers the cost by less than this part is the last."""
_DIFFERENCE = 1e-6


@kernel
def _logistic(x: float) -> float:
    """Map to (0, 1), both ends kept off: without any curvature a slice has no place for its m."""
    return 1.0 / (1.0 + math.exp(-min(max(x, -_FLATTEST), _FLATTEST)))


@kernel
def _increment(x: float) -> float:
    return math.exp(min(max(x, -40.0), 10.0))


@kernel
def least_growth(rho: FloatArray) -> FloatArray:
    """Least growth of theta and of psi from each slice to the next; 1 for the first."""
    growth = np.ones(rho.size)
    for i in range(1, rho.size):
        before, here = rho[i - 1], rho[i]
        growth[i] = _APART * max((1.0 + before) / (1.0 + here), (1.0 - before) / (1.0 - here))
    return growth


@kernel
def largest_psi(theta: FloatArray, rho: FloatArray, growth: FloatArray) -> FloatArray:
    """Cap of each psi: its own, and every later one pulled back through the growth between."""
    n = theta.size
    cap = np.empty(n)
    for i in range(n - 1, -1, -1):
        wing = 1.0 + abs(rho[i])
        cap[i] = _INSIDE * min(4.0 / wing, math.sqrt(4.0 * theta[i] / wing))
        if i + 1 < n:
            cap[i] = min(cap[i], _INSIDE * cap[i + 1] / growth[i + 1])
    return cap


@kernel
def _mingone(p: FloatArray, n: int, chain: FloatArray) -> None:
    """Map n skews, n variance increments (log) and n position variables to an eSSVI chain."""
    theta, rho = np.empty(n), np.empty(n)
    for i in range(n):
        rho[i] = 0.98 * math.tanh(p[i])
    growth = least_growth(rho)
    theta[0] = _increment(p[n])
    for i in range(1, n):
        theta[i] = theta[i - 1] * growth[i] + _increment(p[n + i])
    cap = largest_psi(theta, rho, growth)
    for i in range(n):
        low, high = 0.0, cap[0]
        if i > 0:
            low = chain[i - 1, 2] * growth[i]
            high = min(chain[i - 1, 2] * theta[i] / theta[i - 1], cap[i])
        chain[i, 0] = theta[i]
        chain[i, 1] = rho[i]
        chain[i, 2] = low + _logistic(p[2 * n + i]) * max(high - low, 0.0)


@kernel
def _power_law(p: FloatArray, n: int, chain: FloatArray) -> None:
    """Map n variance increments (log), rho, eta and gamma to an SSVI chain."""
    rho = 0.98 * math.tanh(p[n])
    eta = _INSIDE * 2.0 / (1.0 + abs(rho)) * _logistic(p[n + 1])
    gamma = 0.5 * _logistic(p[n + 2])
    theta = 0.0
    for i in range(n):
        theta += _increment(p[i])
        chain[i, 0] = theta
        chain[i, 1] = rho
        chain[i, 2] = eta * (theta / (1.0 + theta)) ** (1.0 - gamma)


@kernel
def chain_of(family: int, parameters: FloatArray, n: int) -> FloatArray:
    """Chain of n slices: one row (theta, rho, psi) for each."""
    chain = np.empty((n, 3))
    if family == MINGONE:
        _mingone(parameters, n, chain)
    else:
        _power_law(parameters, n, chain)
    return chain


@kernel
def _sum_quotes(
    chain: FloatArray, offsets: IntArray, k: FloatArray, vol: FloatArray, unit: FloatArray,
    years: FloatArray, gradient: FloatArray, blocks: FloatArray,
) -> float:  # fmt: skip
    """Cost of a chain; its gradient and Gauss-Newton blocks in (theta, rho, psi) of each slice."""
    gradient[:] = 0.0
    blocks[:] = 0.0
    slope = np.empty(3)
    cost = 0.0
    for i in range(years.size):
        theta, rho, psi = chain[i]
        for q in range(offsets[i], offsets[i + 1]):
            y = psi * k[q]
            # Never below theta sqrt(1 - rho^2), but for rounding.
            root = math.sqrt(max(y * y + 2.0 * rho * theta * y + theta * theta, 1e-300))
            model = math.sqrt(max(0.5 * (theta + rho * y + root), 1e-300) / years[i])
            r = (model - vol[q]) / unit[q]
            far = math.sqrt(1.0 + r * r)
            cost += far - 1.0
            scale = 0.25 / (years[i] * model * unit[q])
            slope[0] = scale * (1.0 + (theta + rho * y) / root)
            slope[1] = scale * y * (1.0 + theta / root)
            slope[2] = scale * k[q] * (rho + (y + rho * theta) / root)
            for a in range(3):
                gradient[i, a] += slope[a] * r / far
                for b in range(3):
                    blocks[i, a, b] += slope[a] * slope[b] / far
    return cost


@kernel
def _moves(family: int, p: FloatArray, n: int) -> FloatArray:
    """How the chain moves with each parameter: shape (parameters, n, 3)."""
    moves = np.empty((p.size, n, 3))
    for j in range(p.size):
        kept = p[j]
        p[j] = kept + _DIFFERENCE
        up = chain_of(family, p, n)
        p[j] = kept - _DIFFERENCE
        moves[j] = (up - chain_of(family, p, n)) / (2.0 * _DIFFERENCE)
        p[j] = kept
    return moves


@kernel
def _normal_equations(
    moves: FloatArray, gradient: FloatArray, blocks: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Gradient and Gauss-Newton matrix in the parameters."""
    size, n = moves.shape[0], moves.shape[1]
    slope = np.zeros(size)
    matrix = np.zeros((size, size))
    half = np.empty((n, 3))
    for r in range(size):
        for i in range(n):
            for a in range(3):
                slope[r] += moves[r, i, a] * gradient[i, a]
                half[i, a] = 0.0
                for b in range(3):
                    half[i, a] += blocks[i, a, b] * moves[r, i, b]
        for c in range(r + 1):
            total = 0.0
            for i in range(n):
                for a in range(3):
                    total += half[i, a] * moves[c, i, a]
            matrix[r, c] = matrix[c, r] = total
    return slope, matrix


@kernel
def _damped_step(
    matrix: FloatArray, slope: FloatArray, damping: float, factor: FloatArray, step: FloatArray
) -> bool:
    """Solve (matrix + damping diag) step = slope by Cholesky; False if not definite."""
    size = slope.size
    for r in range(size):
        for c in range(r + 1):
            value = matrix[r, c]
            if r == c:
                # A parameter at a flat end of the box does not move the chain at all.
                value += damping * value + 1e-9
            for q in range(c):
                value -= factor[r, q] * factor[c, q]
            if r > c:
                factor[r, c] = value / factor[c, c]
            elif value > 0.0:
                factor[r, r] = math.sqrt(value)
            else:
                return False
    for r in range(size):
        value = slope[r]
        for q in range(r):
            value -= factor[r, q] * step[q]
        step[r] = value / factor[r, r]
    for r in range(size - 1, -1, -1):
        value = step[r]
        for q in range(r + 1, size):
            value -= factor[q, r] * step[q]
        step[r] = value / factor[r, r]
    return True


@kernel
def solve_chain(
    family: int, start: FloatArray, offsets: IntArray, k: FloatArray, vol: FloatArray,
    unit: FloatArray, years: FloatArray,
) -> FloatArray:  # fmt: skip
    """Parameters of the chain that fits best, by Levenberg and Marquardt from `start`.

    Parameters
    ----------
    family
        POWER_LAW or MINGONE.
    start
        Parameters to begin with.
    offsets, k, vol, unit, years
        Quotes by expiry; an error is measured in `unit`, decimals of volatility.

    Returns
    -------
    ndarray
        Shape of `start`.
    """
    n = years.size
    p, trial, step = start.copy(), start.copy(), np.empty(start.size)
    factor = np.empty((start.size, start.size))
    gradient, blocks = np.empty((n, 3)), np.empty((n, 3, 3))
    cost = _sum_quotes(chain_of(family, p, n), offsets, k, vol, unit, years, gradient, blocks)
    damping = 1e-2
    for _ in range(_STEPS):
        slope, matrix = _normal_equations(_moves(family, p, n), gradient, blocks)
        gained = -1.0
        for _ in range(_TRIALS):
            if _damped_step(matrix, slope, damping, factor, step):
                trial[:] = p - step
                chain = chain_of(family, trial, n)
                gained = cost - _sum_quotes(chain, offsets, k, vol, unit, years, gradient, blocks)
            if gained > 0.0:
                break
            damping *= 6.0
        if not gained > 0.0:
            break
        p[:] = trial
        cost -= gained
        damping = max(0.2 * damping, 1e-9)
        if gained < _TOLERANCE * cost:
            break
    return p
