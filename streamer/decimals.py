"""Exact scaled decimals from the wire's numbers, thousands at a time.

A JSON number of at most 15 significant digits is told apart by the double nearest to it.  If ``N``
is an integer below 2**53 and ``N / 10**scale`` (one correctly rounded division) gives that double
back, the number on the wire was exactly ``N * 10**-scale``.  Only numbers that fail the test, and
numbers written with more digits than a double holds, take the slow way through `decimal.Decimal`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MAXIMUM_EXACT", "Scaled", "long_number_offsets", "scale_exactly", "scale_one"]

MAXIMUM_EXACT = 2.0**53
_INT64_MAXIMUM = 2**63 - 1
_CONTEXT = Context(prec=400, rounding=ROUND_HALF_EVEN)
_MANY_DIGITS = 17  # characters: 16 digits and a point
_TINY_EXPONENTS = (b"e-3", b"E-3")  # 1e-300 and below, where doubles run out


@dataclass(frozen=True, slots=True)
class Scaled:
    """A column of scaled integers.

    Attributes
    ----------
    numbers
        int64, ``value * 10**scale``; 0 where the value is absent or refused.
    present
        False where the value is absent.
    rounded
        Indices whose wire value had more digits than the scale.
    refused
        Indices whose value does not fit into the column, with the value in words.
    """

    numbers: npt.NDArray[np.int64]
    present: npt.NDArray[np.bool_]
    rounded: tuple[int, ...]
    refused: tuple[tuple[int, str], ...]


def scale_one(value: Decimal, scale: int, limit: int) -> tuple[int | None, bool]:
    """Scale one number.

    Parameters
    ----------
    value
        The number as written.
    scale
        Digits after the point that the column keeps.
    limit
        Largest scaled magnitude that the column holds.

    Returns
    -------
    (scaled, is_rounded)
        ``scaled`` is None when the number does not fit.
    """
    try:
        moved = value.scaleb(scale, _CONTEXT)
        whole = moved.to_integral_value(ROUND_HALF_EVEN)
        if abs(whole) > limit:
            return None, False
        return int(whole), whole.scaleb(-scale, _CONTEXT) != value
    except ArithmeticError:  # an exponent beyond anything
        return None, False


def scale_exactly(
    values: Sequence[float | None],
    scale: int,
    limit: int = _INT64_MAXIMUM,
    written: Mapping[int, Any] | None = None,
) -> Scaled:
    """Turn doubles into scaled integers and say which were not exact.

    Parameters
    ----------
    values
        Doubles as decoded; None where absent.
    scale
        Digits after the point that the column keeps.
    limit
        Largest scaled magnitude that the column holds.
    written
        For indices whose text has more digits than a double holds: the number as written.

    Returns
    -------
    Scaled
    """
    doubles = np.array(values, dtype=np.float64)
    present = ~np.isnan(doubles)
    power = 10.0**scale
    with np.errstate(over="ignore"):  # an infinity is not exact; it is looked at by itself
        nearest = np.rint(np.where(present, doubles, 0.0) * power)
    exact = (nearest / power == doubles) & (np.abs(nearest) < min(MAXIMUM_EXACT, float(limit)))
    unsure = set(np.flatnonzero(present & ~exact).tolist())
    if written:
        unsure |= {index for index in written if present[index]}
    nearest[list(unsure)] = 0.0
    numbers = nearest.astype(np.int64)
    rounded: list[int] = []
    refused: list[tuple[int, str]] = []
    for index in sorted(unsure):
        value = doubles[index]
        text = (written or {}).get(index)
        decimal = text if isinstance(text, Decimal) else Decimal(repr(float(value)))
        number, is_rounded = scale_one(decimal, scale, limit)
        if number is None:
            refused.append((index, str(decimal)))
            continue
        numbers[index] = number
        if is_rounded:
            rounded.append(index)
    return Scaled(numbers, present, tuple(rounded), tuple(refused))


def long_number_offsets(buffer: bytes) -> list[int]:
    """Find where a buffer may hold numbers with more digits than a double keeps.

    Parameters
    ----------
    buffer
        Any number of frames, one after another.

    Returns
    -------
    list of int
        Sorted offsets of runs of at least 17 digits and points, and of exponents of -300 and
        below.  There may be false alarms, never a miss.
    """
    found: list[int] = []
    for needle in _TINY_EXPONENTS:
        position = buffer.find(needle)
        while position >= 0:
            found.append(position)
            position = buffer.find(needle, position + 1)
    if len(buffer) >= _MANY_DIGITS:
        octets = np.frombuffer(buffer, dtype=np.uint8)
        # '.', '/' and the digits are neighbours in ASCII.
        runs = (octets - np.uint8(46)) <= np.uint8(11)
        for step in (1, 2, 4, 8):  # after these a True stands for a run of 16
            runs = runs[:-step] & runs[step:]
        runs = runs[:-1] & runs[1:]
        found.extend(np.flatnonzero(runs).tolist())
    return sorted(found)
