"""How the numeric kernels are compiled and where the compiled code is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["kernel"]


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel on first call and keep the machine code on disk.

    Numba stores it in ``__pycache__`` beside the module, or in the user's cache folder when the
    package is read-only, or in ``NUMBA_CACHE_DIR`` when set. Where none can be written (a container
    without a home) the kernel still works, compiled anew in each process.

    Division follows IEEE 754 (a zero divisor gives inf or NaN instead of raising), which is what
    lets loops vectorise. No other liberty is taken with floating point.
    """
    try:
        return njit(cache=True, error_model="numpy", nogil=True)(function)
    except RuntimeError:
        return njit(cache=False, error_model="numpy", nogil=True)(function)
