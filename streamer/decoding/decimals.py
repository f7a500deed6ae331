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
import pyarrow as pa

__all__ = [
    "MAXIMUM_EXACT",
    "Scaled",
    "as_doubles",
    "long_number_offsets",
    "scale_exactly",
    "scale_one",
]

MAXIMUM_EXACT = 2.0**53
_INT64_MAXIMUM = 2**63 - 1
_CONTEXT = Context(prec=400, rounding=ROUND_HALF_EVEN)
_MANY_DIGITS = 17  # characters: 16 digits and a point
_STRIDE = 4
_SHORTEST = b"1e-300"
_MINUS, _EXPONENT = ord("-"), ord("e")
_LOWER_CASE = np.uint8(0x20)


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


def as_doubles(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    """Return doubles with NaN for None; twice as fast as numpy does it by itself."""
    array: npt.NDArray[np.float64] = pa.array(values, pa.float64()).to_numpy(zero_copy_only=False)
    return array


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
    doubles = as_doubles(values)
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
        Sorted offsets inside runs of at least 17 digits and points, and of negative exponents of
        three digits or more (doubles run out at -308).  There may be false alarms, never a miss.
    """
    if len(buffer) < len(_SHORTEST):
        return []
    octets = np.frombuffer(buffer, dtype=np.uint8)
    return sorted([*_tiny_numbers(octets).tolist(), *_long_runs(octets).tolist()])


def _tiny_numbers(octets: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """Return where a negative exponent of three digits or more stands."""
    minus = np.flatnonzero(octets[1:-3] == _MINUS) + 1
    minus = minus[(octets[minus - 1] | _LOWER_CASE) == _EXPONENT]
    followed = _is_digit(octets[minus[:, np.newaxis] + np.arange(1, 4)]).all(axis=1)
    found: npt.NDArray[np.intp] = minus[followed] - 1
    return found


def _long_runs(octets: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """Return where a run of at least 17 digits and points holds an index that four divides."""
    # Such a run covers four of every fourth byte, one after another; few places do.
    sampled = _is_digit(octets[::_STRIDE])
    pairs = sampled[:-1] & sampled[1:]
    places = np.flatnonzero(pairs[:-2] & pairs[2:]) * _STRIDE
    if not len(places):
        return places
    # Between the four, and behind or before them, must be digits as well.
    inner = _is_digit(octets[places[:, np.newaxis] + np.arange(1, 3 * _STRIDE)])
    places = places[inner.all(axis=1)]
    outer = np.array([-4, -3, -2, -1, 13, 14, 15, 16])
    around = places[:, np.newaxis] + outer
    is_inside = (around >= 0) & (around < len(octets))
    digits = _is_digit(octets[np.clip(around, 0, len(octets) - 1)]) & is_inside
    before = np.cumprod(digits[:, 3::-1], axis=1).sum(axis=1)
    behind = np.cumprod(digits[:, 4:], axis=1).sum(axis=1)
    found: npt.NDArray[np.intp] = places[before + behind + 3 * _STRIDE + 1 >= _MANY_DIGITS]
    return found


def _is_digit(octets: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    # '.', '/' and the digits are neighbours in ASCII.
    return (octets - np.uint8(46)) <= np.uint8(11)
