"""From what a caller passes to what a kernel reads: flat, contiguous, equally long columns."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vol_platform.quant.errors import QuantError

__all__ = ["Columns", "call_flags", "columns", "float_array", "quoted_smile"]

FLOAT64 = np.dtype(np.float64)
BOOL = np.dtype(np.bool_)

Columns = tuple[list[NDArray[np.float64]], NDArray[np.bool_], tuple[int, ...], int]


def float_array(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """`value` as a C-contiguous, writable float array, or QuantError naming the argument."""
    if type(value) is np.ndarray and value.dtype is FLOAT64:
        if value.flags.carray:
            return value
        return np.array(value, order="C")
    try:
        array = np.asarray(value)
        if array.dtype.kind in "fiubO":  # O: a list with None, which becomes NaN
            return np.array(array, dtype=np.float64, order="C")
    except (TypeError, ValueError):
        pass
    text = f"{name} must be a number or an array of numbers, was {reprlib.repr(value)}"
    raise QuantError(text)


def quoted_smile(
    k: ArrayLike, bid_vol: ArrayLike, ask_vol: ArrayLike, expiry_years: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """`k`, bid and ask volatility of the usable points: no NaN, no crossed pair; or QuantError."""
    points, bid, ask = (
        np.atleast_1d(float_array(name, value))
        for name, value in zip(("k", "bid_vol", "ask_vol"), (k, bid_vol, ask_vol), strict=True)
    )
    if not points.shape == bid.shape == ask.shape or points.ndim != 1:
        raise QuantError(
            "k, bid_vol and ask_vol must have one length, were "
            f"{points.shape}, {bid.shape}, {ask.shape}"
        )
    if not expiry_years > 0.0:
        raise QuantError(f"expiry_years must be > 0, was {expiry_years:g}")
    usable = np.isfinite(points) & (bid > 0.0) & (ask >= bid) & np.isfinite(ask)
    return points[usable], bid[usable], ask[usable]


def call_flags(value: ArrayLike) -> NDArray[np.bool_]:
    """`is_call` as a C-contiguous, writable boolean array; whole numbers 0 and 1 are accepted."""
    if type(value) is np.ndarray and value.dtype is BOOL:
        return value if value.flags.carray else np.array(value, order="C")
    array = np.asarray(value)
    if array.dtype.kind in "iuf" and bool(np.all((array == 0) | (array == 1))):
        array = array.astype(np.bool_)
    if array.dtype != np.bool_:
        raise QuantError(f"is_call must be True (call) or False (put), was {reprlib.repr(value)}")
    return np.array(array, order="C")


def columns(names: Sequence[str], values: Sequence[ArrayLike], is_call: ArrayLike) -> Columns:
    """Broadcast arguments against each other without copying what need not be copied.

    Returns
    -------
    arrays, flags, shape, size
        One-dimensional arrays of length `size` or 1 (a kernel repeats the single value), the call
        flags likewise, and the broadcast shape of the result.

    Raises
    ------
    QuantError
        If an argument is not numeric or the shapes do not broadcast.
    """
    shape: tuple[int, ...]
    # the common case by far, and its overhead counts at a thousand options: equal 1-d arrays
    if type(is_call) is np.ndarray and is_call.ndim == 1 and is_call.dtype is BOOL:
        shape = is_call.shape
        for value in values:
            if (
                type(value) is not np.ndarray
                or value.dtype is not FLOAT64
                or value.shape != shape
                or not value.flags.carray
            ):
                break
        else:
            if is_call.flags.carray:
                return list(values), is_call, shape, shape[0]  # type: ignore[arg-type]  # checked

    arrays = [float_array(name, value) for name, value in zip(names, values, strict=True)]
    flags = call_flags(is_call)
    try:
        shape = np.broadcast_shapes(flags.shape, *(array.shape for array in arrays))
    except ValueError:
        shapes = ", ".join(
            f"{name} {array.shape}"
            for name, array in zip([*names, "is_call"], [*arrays, flags], strict=True)
        )
        raise QuantError(f"shapes must broadcast against each other, were {shapes}") from None

    def spread(array: NDArray[Any]) -> NDArray[Any]:
        if array.size == 1 or array.shape == shape:
            return array.reshape(-1)
        return np.array(np.broadcast_to(array, shape), order="C").reshape(-1)

    return [spread(array) for array in arrays], spread(flags), shape, math.prod(shape)
