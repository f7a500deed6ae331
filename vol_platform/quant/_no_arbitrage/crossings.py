"""Where two hyperbolas meet: the real roots of a quartic, listed beside the exact checks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vol_platform.quant._slices import derivatives

__all__ = ["hyperbola_crossings"]

FloatArray = npt.NDArray[np.float64]


def hyperbola_crossings(near: FloatArray, far: FloatArray) -> FloatArray:
    """All k at which the hyperbolas of two rows have the same total variance, increasing.

    Squaring ``w_near = w_far`` twice gives a quartic in k (Gatheral and Jacquier 2014, section 3);
    its real roots are kept when they solve the unsquared equation.
    """
    tilt_n, mean_n = 0.5 * (near[2] - near[1]), 0.5 * (near[2] + near[1])
    tilt_f, mean_f = 0.5 * (far[2] - far[1]), 0.5 * (far[2] + far[1])
    # L(k) = mean_f sqrt(f) - mean_n sqrt(n), L linear, f and n quadratic.
    linear = np.array([tilt_n - tilt_f, near[0] - far[0] - tilt_n * near[3] + tilt_f * far[3]])
    square_n = mean_n**2 * np.array([1.0, -2.0 * near[3], near[3] ** 2 + near[4] ** 2])
    square_f = mean_f**2 * np.array([1.0, -2.0 * far[3], far[3] ** 2 + far[4] ** 2])
    # (L^2 - f - n)^2 = 4 f n
    inner = np.polysub(np.polymul(linear, linear), np.polyadd(square_f, square_n))
    quartic = np.polysub(np.polymul(inner, inner), 4.0 * np.polymul(square_f, square_n))
    scale = float(np.abs(quartic).max())
    if scale == 0.0:
        return np.empty(0)
    quartic = np.trim_zeros(np.where(np.abs(quartic) < 1e-15 * scale, 0.0, quartic), "f")
    roots = np.roots(quartic)
    real = np.sort(roots.real[np.abs(roots.imag) <= 1e-7 * (1.0 + np.abs(roots.real))])
    near_only, far_only = near.copy(), far.copy()
    near_only[6] = far_only[6] = 0.0
    gap = np.array([derivatives(far_only, k)[0] - derivatives(near_only, k)[0] for k in real])
    size = np.array([abs(derivatives(near_only, k)[0]) for k in real])
    return np.asarray(real[np.abs(gap) <= 1e-6 * (size + 1e-12)], dtype=np.float64)
