"""Random numbers that are a pure function of (seed, stream, counter).

Nothing here keeps state, so any moment of the simulated market can be asked for in any order: the
history writer, the live exchange and a test that asks for the truth all see the same path.

Counters go through the splitmix64 finaliser (Steele, Lea, Flood 2014).  Paths are sums of lattice
noise: octave ``j`` interpolates independent normals on a grid of ``2**j`` seconds (j >= -3) with
an amplitude that grows as the square root of the grid step.  Below the largest octave its
increments grow with the square root of time, as those of Brownian motion do; above it the path
stays bounded.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

__all__ = ["fractal", "normal", "step_normal", "step_uniform", "stream_of", "uniform"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_INVERSE_2_53 = 2.0**-53
_64_BITS = 0xFFFFFFFFFFFFFFFF
_INCREMENT_VARIANCE_GAIN = 4.03
"""Variance of a unit-amplitude path's increment over D seconds, divided by D (mean over D)."""


def stream_of(name: str) -> int:
    """Return the number of a named stream; the same on every machine and Python."""
    return zlib.crc32(name.encode())


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))


@lru_cache(maxsize=4096)
def _start_of_stream(seed: int, stream: int) -> np.uint64:
    """Return where one stream's counters begin."""
    state = np.array([stream & _64_BITS], dtype=np.uint64) * _GOLDEN + _root(seed)
    return np.uint64(_mix(state)[0])


@lru_cache(maxsize=16)
def _root(seed: int) -> np.uint64:
    return np.uint64(_mix(np.array([seed & _64_BITS], dtype=np.uint64) + _GOLDEN)[0])


def uniform(seed: int, stream: int | NDArray[np.int64], counter: ArrayLike) -> NDArray[np.float64]:
    """Return uniforms in (0, 1); `stream` and `counter` (integers) broadcast."""
    counters = np.asarray(counter, dtype=np.int64).astype(np.uint64)
    with np.errstate(over="ignore"):
        if isinstance(stream, int):
            start: NDArray[np.uint64] | np.uint64 = _start_of_stream(seed, stream)
        else:
            streams = np.asarray(stream, dtype=np.int64).astype(np.uint64)
            start = _mix(streams * _GOLDEN + _root(seed))
        mixed = _mix(np.asarray(counters * _GOLDEN + start))
    return np.asarray(((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * _INVERSE_2_53)


def normal(seed: int, stream: int | NDArray[np.int64], counter: ArrayLike) -> NDArray[np.float64]:
    """Return standard normals; `stream` and `counter` (integers) broadcast."""
    return np.asarray(ndtri(uniform(seed, stream, counter)), dtype=np.float64)


def step_uniform(
    seed: int, stream: int | NDArray[np.int64], time_ms: ArrayLike, period_ms: ArrayLike
) -> NDArray[np.float64]:
    """Return uniforms that stay constant for `period_ms`, each stream changing at its own phase."""
    streams = np.asarray(stream, dtype=np.int64)
    period = np.asarray(period_ms, dtype=np.int64)
    phase = (streams * 2_654_435_761) % period
    return uniform(seed, streams, (np.asarray(time_ms, dtype=np.int64) + phase) // period)


def step_normal(
    seed: int, stream: int | NDArray[np.int64], time_ms: ArrayLike, period_ms: ArrayLike
) -> NDArray[np.float64]:
    """Return standard normals that stay constant for `period_ms` (see `step_uniform`)."""
    return np.asarray(ndtri(step_uniform(seed, stream, time_ms, period_ms)), dtype=np.float64)


def fractal(
    seed: int, stream: int, time_ms: NDArray[np.int64], first_octave: int, last_octave: int
) -> NDArray[np.float64]:
    """Return a continuous random path, scaled so that increments have variance ≈ seconds elapsed.

    Parameters
    ----------
    seed, stream
        Which path.
    time_ms
        Moments, shape (n,), milliseconds since the epoch.
    first_octave, last_octave
        The path is smooth below ``2**first_octave`` seconds and bounded beyond ``2**last_octave``.
    """
    octaves = np.arange(first_octave, last_octave + 1)
    steps_ms = (1000 * 2.0**octaves).astype(np.int64)[:, None]
    streams = (stream * 64 + octaves + 3)[:, None]
    phases = (uniform(seed, streams, -1) * steps_ms).astype(np.int64)
    shifted = time_ms[None, :] + phases
    left = shifted // steps_ms
    fraction = (shifted - left * steps_ms) / steps_ms
    values = (1.0 - fraction) * normal(seed, streams, left) + fraction * normal(
        seed, streams, left + 1
    )
    amplitude = np.sqrt(2.0**octaves / _INCREMENT_VARIANCE_GAIN)
    return np.asarray(amplitude @ values, dtype=np.float64)
