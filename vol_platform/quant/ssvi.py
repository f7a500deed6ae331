"""SSVI and eSSVI: whole surfaces in three numbers an expiry, free of arbitrage by construction.

    w(k) = theta/2 (1 + rho phi k + sqrt((phi k + rho)^2 + 1 - rho^2)),   psi = theta phi

SSVI (Gatheral and Jacquier 2014) has one ``rho`` and a function ``phi(theta)``, here the power law
``phi = eta / (theta^gamma (1 + theta)^(1 - gamma))``.  eSSVI (Hendriks and Martini 2019) lets
``rho`` change with the expiry.  The global fit of Mingone (2022) writes every arbitrage-free eSSVI
chain as a point of a box, so that an unconstrained least squares stays inside.

The calendar conditions between two eSSVI slices used here (``theta`` and ``psi`` grow,
``|rho2 psi2 - rho1 psi1| <= psi2 - psi1``, ``phi`` does not grow) are sufficient and survive
Pasquazzi's correction (2023) of the published crossing proposition, which concerned the necessary
part; whether two given slices cross is decided exactly by `vol_platform.quant.arbitrage`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vol_platform.quant._fit.essvi_chain import (
    MINGONE,
    POWER_LAW,
    chain_of,
    largest_psi,
    least_growth,
    solve_chain,
)
from vol_platform.quant._slices import ROW
from vol_platform.quant.errors import QuantError

__all__ = [
    "EssviChain",
    "butterfly_free",
    "calendar_free",
    "fit",
    "power_law_phi",
    "power_law_ssvi_free",
    "to_raw_rows",
    "total_variance",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class EssviChain:
    """Parameters of a chain of slices, one entry per expiry.

    Attributes
    ----------
    theta
        Total variance at the money.
    rho
        Skew, in (-1, 1).
    psi
        ``theta phi``: the sum of the wing slopes.
    """

    theta: FloatArray
    rho: FloatArray
    psi: FloatArray


def total_variance(
    k: npt.ArrayLike, theta: npt.ArrayLike, rho: npt.ArrayLike, phi: npt.ArrayLike
) -> FloatArray:
    """Total variance of an (e)SSVI slice (Gatheral and Jacquier 2014, equation 4.1).

    Parameters
    ----------
    k
        Log-moneyness.
    theta, rho, phi
        Total variance at the money, skew, curvature (1/k).  All arguments broadcast.

    Returns
    -------
    ndarray
        The broadcast shape.
    """
    x, level, skew, curve = (np.asarray(v, dtype=np.float64) for v in (k, theta, rho, phi))
    y = curve * x
    root = np.sqrt((y + skew) ** 2 + 1.0 - skew**2)
    return np.asarray(0.5 * level * (1.0 + skew * y + root))


def power_law_phi(theta: npt.ArrayLike, eta: float, gamma: float) -> FloatArray:
    """``eta / (theta^gamma (1 + theta)^(1 - gamma))`` (Gatheral and Jacquier 2014, Remark 4.4).

    Parameters
    ----------
    theta
        Total variance at the money, > 0, any shape.
    eta, gamma
        Level of the curvature, and its decay in theta.

    Returns
    -------
    ndarray
        Shape of `theta`.
    """
    level = np.asarray(theta, dtype=np.float64)
    return np.asarray(eta / (level**gamma * (1.0 + level) ** (1.0 - gamma)))


def power_law_ssvi_free(rho: float, eta: float, gamma: float) -> bool:
    """Whether power-law SSVI is butterfly-free at every theta: eta (1 + |rho|) <= 2.

    Parameters
    ----------
    rho, eta, gamma
        Skew; level of the curvature and its decay, in (0, 1/2] (Gatheral and Jacquier 2014,
        Remark 4.4).
    """
    return 0.0 < gamma <= 0.5 and eta * (1.0 + abs(rho)) <= 2.0


def butterfly_free(
    theta: npt.ArrayLike, rho: npt.ArrayLike, phi: npt.ArrayLike
) -> npt.NDArray[np.bool_]:
    """Sufficient condition of Gatheral and Jacquier (2014, Theorem 4.2), element by element.

    ``theta phi (1 + |rho|) < 4`` and ``theta phi^2 (1 + |rho|) <= 4``.

    Parameters
    ----------
    theta, rho, phi
        Total variance at the money, skew, curvature (1/k); they broadcast.

    Returns
    -------
    ndarray of bool
        The broadcast shape.
    """
    level, skew, curve = (np.asarray(v, dtype=np.float64) for v in (theta, rho, phi))
    wing = 1.0 + np.abs(skew)
    return np.asarray((level * curve * wing < 4.0) & (level * curve**2 * wing <= 4.0))


def calendar_free(chain: EssviChain) -> npt.NDArray[np.bool_]:
    """Sufficient condition for each neighbouring pair of a chain not to cross; shape (n - 1,)."""
    theta, rho, psi = chain.theta, chain.rho, chain.psi
    growth = np.diff(psi)
    phi = psi / theta
    return np.asarray(
        (np.diff(theta) >= 0)
        & (growth >= 0)
        & (np.abs(np.diff(rho * psi)) <= growth + 1e-15)
        & (np.diff(phi) <= 1e-12 * phi[:-1])
    )


def to_raw_rows(chain: EssviChain) -> FloatArray:
    """Slice rows (see `_slices`) of a chain, shape (n, ROW): eSSVI slices are raw SVI slices."""
    theta, rho, psi = chain.theta, chain.rho, chain.psi
    phi = psi / theta
    rows = np.zeros((theta.size, ROW))
    rows[:, 0] = 0.5 * theta * (1.0 - rho * rho)
    rows[:, 1] = 0.5 * psi * (1.0 - rho)
    rows[:, 2] = 0.5 * psi * (1.0 + rho)
    rows[:, 3] = -rho / phi
    rows[:, 4] = np.sqrt(1.0 - rho * rho) / phi
    return rows


def _mingone_of(chain: EssviChain) -> FloatArray:
    """Parameters in Mingone's box of a chain near the given one, away from flat ends of the box."""
    theta, rho, psi = chain.theta, chain.rho, chain.psi
    growth = least_growth(rho)
    cap = largest_psi(theta, rho, growth)
    increment = np.diff(theta, prepend=0.0)
    increment[1:] = theta[1:] - theta[:-1] * growth[1:]
    low = np.concatenate([[0.0], psi[:-1] * growth[1:]])
    high = np.concatenate([cap[:1], np.minimum(psi[:-1] * theta[1:] / theta[:-1], cap[1:])])
    position = np.clip((psi - low) / np.maximum(high - low, 1e-12), 0.25, 0.75)
    return np.concatenate(
        [
            np.arctanh(np.clip(rho / 0.98, -0.999999, 0.999999)),
            np.log(np.maximum(increment, 1e-12)),
            np.log(position / (1.0 - position)),
        ]
    )


def fit(
    offsets: npt.ArrayLike,
    k: npt.ArrayLike,
    mid_vol: npt.ArrayLike,
    half_spread: npt.ArrayLike,
    expiry_years: npt.ArrayLike,
    *,
    model: str = "essvi",
) -> EssviChain:
    """Fit a whole chain by global least squares, arbitrage-free by construction.

    Parameters
    ----------
    offsets
        Quotes of expiry i are ``offsets[i] .. offsets[i+1]-1``; shape (n + 1,).
    k, mid_vol, half_spread
        Log-moneyness, volatility and half of its spread (decimals), flat; an error is measured in
        half spreads, and large ones count linearly.
    expiry_years
        ACT/365, increasing, shape (n,).
    model
        ``essvi`` (Mingone's box) or ``ssvi`` (one rho, power law).

    Returns
    -------
    EssviChain
        Satisfies `butterfly_free` and `calendar_free`.

    Raises
    ------
    QuantError
        Unknown model, no expiry, an expiry without quotes, columns of different length, a value
        that is not finite, or years that are not positive and increasing.
    """
    bounds = np.asarray(offsets, dtype=np.int64)
    x, vol, half = (np.asarray(v, dtype=np.float64) for v in (k, mid_vol, half_spread))
    years = np.asarray(expiry_years, dtype=np.float64)
    n = years.size
    counts = np.diff(bounds)
    if model not in ("essvi", "ssvi"):
        msg = f"model must be essvi or ssvi, was {model!r}"
        raise QuantError(msg)
    if n == 0 or counts.size != n or (counts < 1).any():
        msg = f"every expiry needs at least one quote; counts were {counts.tolist()}"
        raise QuantError(msg)
    sizes = (x.size, vol.size, half.size)
    if bounds[0] != 0 or sizes != (bounds[-1],) * 3:
        msg = f"offsets end at {bounds[-1]}; k, mid_vol and half_spread have {sizes} values"
        raise QuantError(msg)
    if not all(np.isfinite(values).all() for values in (x, vol, half)) or not (vol > 0.0).all():
        raise QuantError(
            "k, mid_vol and half_spread must be finite and mid_vol > 0; leave bad rows out"
        )
    if not (np.diff(years, prepend=0.0) > 0.0).all():
        msg = f"expiry_years must be > 0 and increasing, were {years.tolist()}"
        raise QuantError(msg)
    at_money = np.array(
        [vol[first + int(np.argmin(np.abs(x[first:last])))] for first, last in pairwise(bounds)]
    )
    theta = np.maximum.accumulate(at_money**2 * years)
    increment = np.log(np.maximum(np.diff(theta, prepend=0.0), 1e-3 * theta))
    quotes = bounds, x, vol, np.maximum(half, 1e-3), years
    start = np.concatenate([increment, [-0.1, 0.0, 2.0]])
    parameters = solve_chain(POWER_LAW, start, *quotes)
    chain = EssviChain(*chain_of(POWER_LAW, parameters, n).T)
    if model == "essvi":
        # From a start without skew or term structure the box has poor local minima.
        parameters = solve_chain(MINGONE, _mingone_of(chain), *quotes)
        chain = EssviChain(*chain_of(MINGONE, parameters, n).T)
    return chain
