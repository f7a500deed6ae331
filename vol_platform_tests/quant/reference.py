"""Ground truth in 60-digit arithmetic for prices, volatilities and greeks, and the hard grid.

Everything takes Python floats as exact numbers and returns mpmath numbers, so that what is measured
is the code's own rounding and nothing else.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
from numpy.typing import NDArray

mp.mp.dps = 60

HARD_TIMES = (1 / 8760, 6 / 8760, 1 / 365, 7 / 365, 30 / 365, 90 / 365, 1.0, 2.0)
HARD_VOLS = (
    0.05,
    0.08,
    0.12,
    0.2,
    0.3,
    0.4,
    0.5,
    0.65,
    0.8,
    1.0,
    1.25,
    1.5,
    2.0,
    2.5,
    3.0,
    4.0,
    5.0,
)
HARD_SCORES = (0.0, 0.001, 0.05, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0)


@dataclass(frozen=True)
class Grid:
    """Options of the hard grid; `price` is the exact price rounded once to double."""

    forward: NDArray[np.float64]
    strike: NDArray[np.float64]
    expiry_years: NDArray[np.float64]
    vol: NDArray[np.float64]
    is_call: NDArray[np.bool_]
    price: NDArray[np.float64]
    vega: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.forward)


def normal_cdf(x: Any) -> Any:
    """N(x) through erfc, exact in the lower tail."""
    return mp.erfc(-x / mp.sqrt(2)) / 2


def normal_density(x: Any) -> Any:
    """n(x)."""
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def price(forward: Any, strike: Any, expiry_years: Any, vol: Any, is_call: bool) -> Any:
    """Undiscounted Black-76 value."""
    f, k, t, v = (mp.mpf(x) for x in (forward, strike, expiry_years, vol))
    s = v * mp.sqrt(t)
    d1 = mp.log(f / k) / s + s / 2
    d2 = d1 - s
    q = 1 if is_call else -1
    return q * (f * normal_cdf(q * d1) - k * normal_cdf(q * d2))


def greeks(forward: Any, strike: Any, expiry_years: Any, vol: Any, is_call: bool) -> list[Any]:
    """Give the fourteen greeks in the order of `greeks.Greeks`, by their formulas."""
    f, k, t, v = (mp.mpf(x) for x in (forward, strike, expiry_years, vol))
    root = mp.sqrt(t)
    s = v * root
    d1 = mp.log(f / k) / s + s / 2
    d2 = d1 - s
    q = 1 if is_call else -1
    n = normal_density(d1)
    gamma = n / (f * s)
    vega = f * n * root
    return [
        q * normal_cdf(q * d1),
        gamma,
        vega,
        -f * n * v / (2 * root),
        q * k * t * normal_cdf(q * d2),
        -n * d2 / v,
        vega * d1 * d2 / v,
        n * d2 / (2 * t),
        -vega * (1 + d1 * d2) / (2 * t),
        -gamma / f * (1 + d1 / s),
        gamma * (d1 * d2 - 1) / v,
        gamma * (1 - d1 * d2) / (2 * t),
        -vega / v**2 * (d1 * d2 * (1 - d1 * d2) + d1**2 + d2**2),
        -q * normal_cdf(q * d2),
    ]


@functools.cache
def hard_grid(scores: tuple[float, ...] = HARD_SCORES) -> Grid:
    """Out-of-the-money options from one hour to two years, 5 to 500 % volatility, |z| <= 12."""
    rows = []
    for years in HARD_TIMES:
        for vol in HARD_VOLS:
            for score in scores:
                for sign in (-1.0, 1.0):
                    forward = 61_803.39
                    strike = float(forward * np.exp(sign * score * vol * np.sqrt(years)))
                    is_call = strike > forward or (strike == forward and sign > 0)
                    exact = price(forward, strike, years, vol, is_call)
                    s = mp.mpf(vol) * mp.sqrt(mp.mpf(years))
                    d1 = mp.log(mp.mpf(forward) / mp.mpf(strike)) / s + s / 2
                    vega = mp.mpf(forward) * normal_density(d1) * mp.sqrt(mp.mpf(years))
                    rows.append((forward, strike, years, vol, is_call, float(exact), float(vega)))
    columns = list(zip(*rows, strict=True))
    numbers = [np.array(column, dtype=np.float64) for column in columns]
    return Grid(
        numbers[0], numbers[1], numbers[2], numbers[3], np.array(columns[4]), numbers[5], numbers[6]
    )
