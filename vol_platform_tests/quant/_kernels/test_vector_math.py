"""The compiled elementary functions against 60-digit arithmetic."""

from __future__ import annotations

import re
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest

from vol_platform.quant._kernels import vector_math
from vol_platform_tests.quant import generate_coefficients

UNIT = 2.0**-53


def worst(function, exact, arguments) -> float:
    """Largest relative error over argument tuples."""
    return max(
        abs(float((mp.mpf(function(*a)) - exact(*a)) / exact(*a)))
        for a in (tuple(float(x) for x in row) for row in arguments)
    )


def exact_erfcx(x: float):
    return mp.exp(mp.mpf(x) ** 2) * mp.erfc(mp.mpf(x))


@pytest.mark.parametrize(
    ("series", "first_constant"),
    [
        (generate_coefficients.erfcx_series, 28),
        (generate_coefficients.exp_remainder, 10),
        (generate_coefficients.log_remainder, 7),
    ],
)
def test_every_coefficient_in_the_code_is_the_derived_one(series, first_constant) -> None:
    source = Path(vector_math.__file__).read_text()
    literals = {float(number) for number in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", source)}
    derived = [float(value) for value in series()]
    assert len(derived) == first_constant
    assert [value for value in derived if value not in literals] == []


def test_exp_is_correct_to_two_units_in_the_last_place() -> None:
    points = np.random.default_rng(1).uniform(-700.0, 1.0, 400)
    assert worst(vector_math.exp, lambda x: mp.exp(mp.mpf(x)), points[:, None]) < 2 * UNIT


def test_exp_underflows_to_zero_and_does_not_wrap() -> None:
    assert vector_math.exp(-800.0) == 0.0
    assert vector_math.exp(-1e300) == 0.0
    assert vector_math.exp(0.0) == 1.0


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1e-3, 0.1, 2.0, 40.0])
def test_log_of_a_quotient_keeps_its_relative_accuracy_next_to_one(scale: float) -> None:
    generator = np.random.default_rng(2)
    denominator = generator.uniform(1e4, 2e5, 200)
    numerator = denominator * np.exp(generator.uniform(-1, 1, 200) * scale)

    def quotient(a: float, b: float) -> float:
        return vector_math.log_quotient(a, b, vector_math.reciprocal(b))

    def exact(a: float, b: float):
        return mp.log(mp.mpf(a) / mp.mpf(b))

    assert worst(quotient, exact, np.stack([numerator, denominator], axis=1)) < 4 * UNIT


def test_reciprocal_and_inverse_square_root_are_correct_to_the_last_places() -> None:
    points = 10.0 ** np.random.default_rng(3).uniform(-100, 100, 400)
    assert worst(vector_math.reciprocal, lambda x: 1 / mp.mpf(x), points[:, None]) < 2 * UNIT
    assert (
        worst(vector_math.inverse_sqrt, lambda x: 1 / mp.sqrt(mp.mpf(x)), points[:, None])
        < 4 * UNIT
    )

    def root(x: float) -> float:
        return vector_math.sqrt_from_inverse(x, vector_math.inverse_sqrt(x))

    assert worst(root, lambda x: mp.sqrt(mp.mpf(x)), points[:, None]) < 2 * UNIT
    assert vector_math.sqrt_from_inverse(0.0, vector_math.inverse_sqrt(0.0)) == 0.0


def test_erfcx_is_accurate_from_minus_one_upwards() -> None:
    points = np.concatenate(
        [np.random.default_rng(4).uniform(-1.0, 3.0, 300), np.linspace(3.0, 24.0, 100)]
    )
    assert worst(vector_math.erfcx, exact_erfcx, points[:, None]) < 20 * UNIT


@pytest.mark.parametrize("distance", [1e-8, 1e-5, 1e-2, 1.0])
def test_the_difference_quotient_of_erfcx_does_not_cancel(distance: float) -> None:
    first = np.random.default_rng(5).uniform(-1.0, 9.0, 150)
    pairs = np.stack([first, first + distance], axis=1)

    def exact(a: float, b: float):
        return (exact_erfcx(a) - exact_erfcx(b)) / (mp.mpf(b) - mp.mpf(a))

    assert worst(vector_math.erfcx_difference_quotient, exact, pairs) < 40 * UNIT
