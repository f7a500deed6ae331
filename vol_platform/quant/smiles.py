"""Smiles of any number of surfaces and maturities, evaluated together.

A surface answers one question at a time; whoever has an hour of surfaces to read asks for all
their smiles first and then evaluates them in one pass::

    smiles = Smiles.concatenate([surface.smiles(years) for surface in surfaces])
    smiles.total_variance(k)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from vol_platform.quant._kernels.compile import kernel
from vol_platform.quant._slices import ROW, derivatives
from vol_platform.quant._smile_points import delta_log_moneyness

__all__ = ["Smiles"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Smiles:
    """Total variance as a function of log-moneyness, at one maturity each.

    ``w(k) = scale * near(k) + share * (far(k) - near(k)) + shift``, where `near` and `far` are
    slices of the surface that the smile was taken from (see `Surface.smiles`).

    Attributes
    ----------
    expiry_years
        ACT/365; shape (n,).
    forward
        USD; NaN where unknown; shape (n,).
    near, far
        Slice rows (see `vol_platform.quant._slices`); shape (n, ROW).
    scale, share, shift
        Shape (n,).
    """

    expiry_years: FloatArray
    forward: FloatArray
    near: FloatArray
    far: FloatArray
    scale: FloatArray
    share: FloatArray
    shift: FloatArray

    def __len__(self) -> int:
        """How many smiles there are."""
        return self.expiry_years.size

    @classmethod
    def concatenate(cls, parts: Sequence[Smiles]) -> Smiles:
        """Put smiles behind each other."""
        if not parts:
            parts = [_NO_SMILES]
        return cls(
            *(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls))
        )

    def total_variance(self, k: npt.ArrayLike, which: IntArray | None = None) -> FloatArray:
        """Total variance ``vol^2 T`` at log-moneyness `k`.

        Parameters
        ----------
        k
            Shape (n, points), a row per smile; with `which` any shape.
        which
            Number of the smile of each point, in the shape of `k`.
        """
        points = np.asarray(k, dtype=np.float64)
        if which is None:
            which = np.repeat(np.arange(points.shape[0]), points.shape[1])
        out = np.empty(points.size)
        _evaluate(
            self.near, self.far, self.scale, self.share, self.shift,
            np.ravel(which), np.ravel(points), out,
        )  # fmt: skip
        return out.reshape(points.shape)

    def delta_log_moneyness(
        self, delta: npt.ArrayLike, *, premium_adjusted: bool = False
    ) -> FloatArray:
        """Log-moneyness of the options with these deltas, shape (n, deltas); NaN where none has.

        Parameters
        ----------
        delta
            Forward Black delta: calls in (0, 1), puts in (-1, 0); shape (deltas,).
        premium_adjusted
            Use delta less the premium in units of the forward.
        """
        wanted = np.asarray(delta, dtype=np.float64)
        return delta_log_moneyness(self.total_variance, len(self), wanted, premium_adjusted)


_NO_SMILES = Smiles(
    *(np.empty(0), np.empty(0)),
    *(np.empty((0, ROW)), np.empty((0, ROW))),
    *(np.empty(0), np.empty(0), np.empty(0)),
)


@kernel
def _evaluate(
    near: FloatArray, far: FloatArray, scale: FloatArray, share: FloatArray, shift: FloatArray,
    which: IntArray, k: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    for p in range(k.size):
        i = which[p]
        w = derivatives(near[i], k[p])[0]
        value = scale[i] * w
        if share[i] != 0.0:
            value += share[i] * (derivatives(far[i], k[p])[0] - w)
        out[p] = value + shift[i]
