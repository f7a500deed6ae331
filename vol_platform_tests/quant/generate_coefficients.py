"""Derive the coefficients of `vol_platform.quant._kernels.vector_math` in 60-digit arithmetic.

Run ``python -m vol_platform_tests.quant.generate_coefficients`` to print them; a test compares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp

mp.mp.dps = 60
Function = Callable[[Any], Any]


def chebyshev(function: Function, degree: int, samples: int) -> list[Any]:
    """Chebyshev coefficients of `function` on [-1, 1] up to `degree`."""
    angles = [mp.pi * (j + mp.mpf(1) / 2) / samples for j in range(samples)]
    values = [function(mp.cos(angle)) for angle in angles]
    return [
        (1 if k == 0 else 2)
        * mp.fsum(value * mp.cos(k * angle) for value, angle in zip(values, angles, strict=True))
        / samples
        for k in range(degree + 1)
    ]


def powers(coefficients: list[Any]) -> list[Any]:
    """Coefficients of u**0, u**1, … of a Chebyshev series in u."""
    previous, current = [mp.mpf(1)], [mp.mpf(0), mp.mpf(1)]
    total = [mp.mpf(0)] * len(coefficients)
    for k, coefficient in enumerate(coefficients):
        polynomial = previous if k == 0 else current
        for i, value in enumerate(polynomial):
            total[i] += coefficient * value
        if k > 0:
            following = [mp.mpf(0), *(2 * value for value in current)]
            for i, value in enumerate(previous):
                following[i] -= value
            previous, current = current, following
    return total


def on_interval(coefficients: list[Any], low: Any, high: Any) -> list[Any]:
    """Rewrite a polynomial in u on [-1, 1] as one in x on [low, high]."""
    scale, shift = 2 / (high - low), -(high + low) / (high - low)
    total = [mp.mpf(0)] * len(coefficients)
    power = [mp.mpf(1)]
    for coefficient in coefficients:
        for i, value in enumerate(power):
            total[i] += coefficient * value
        following = [mp.mpf(0)] * (len(power) + 1)
        for i, value in enumerate(power):
            following[i] += shift * value
            following[i + 1] += scale * value
        power = following
    return total


def erfcx_series(degree: int = 27) -> list[Any]:
    """P(u) = (y + 3.5) erfcx(y - 1) in u = (y - 3.5) / (y + 3.5)."""

    def scaled(u: Any) -> Any:
        y = mp.mpf("3.5") * (1 + u) / (1 - u)
        x = y - 1
        if x > 50:
            terms = [(-1) ** k * mp.fac2(2 * k - 1) / (2 * x * x) ** k for k in range(25)]
            return mp.fsum(terms) / (x * mp.sqrt(mp.pi)) * (y + mp.mpf("3.5"))
        return mp.exp(x * x) * mp.erfc(x) * (y + mp.mpf("3.5"))

    return powers(chebyshev(scaled, degree, 60))


def exp_remainder(degree: int = 9) -> list[Any]:
    """(e**r - 1 - r) / r**2 for |r| <= ln 2 / 2."""
    limit = mp.log(2) / 2 * mp.mpf("1.0001")

    def remainder(r: Any) -> Any:
        return mp.mpf("0.5") if abs(r) < mp.mpf("1e-15") else (mp.exp(r) - 1 - r) / r**2

    return on_interval(powers(chebyshev(lambda u: remainder(u * limit), degree, 60)), -limit, limit)


def log_remainder(degree: int = 6) -> list[Any]:
    """(2 artanh(s) / s - 2) / s**2 in z = s**2, for mantissas between sqrt(1/2) and sqrt(2)."""
    low = mp.mpf("1e-30")
    high = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2

    def remainder(u: Any) -> Any:
        z = low + (high - low) * (1 + u) / 2
        return (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z

    return on_interval(powers(chebyshev(remainder, degree, 60)), low, high)


if __name__ == "__main__":
    for name, series in (
        ("erfcx", erfcx_series()),
        ("exp", exp_remainder()),
        ("log", log_remainder()),
    ):
        print(name, *(repr(float(value)) for value in reversed(series)), sep="\n  ")  # noqa: T201 - this is its output
