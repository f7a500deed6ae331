"""Static arbitrage: exact checks of a surface, and of the quotes themselves.

*Butterfly*: Durrleman's ``g(k) >= 0`` on the whole line, proved by branch and bound (`exact`);
for a plain SVI slice also by its place in Martini and Mingone's domain, which never evaluates g.
*Calendar*: ``w_far - w_near >= 0`` at every k likewise, with the crossings of the hyperbolas as
roots of a quartic beside it.  *Wings*: Lee's bound on both slopes, and their order in time.
*Quotes*: put-call parity at quoted prices, and the smallest repair of the quotes, of an expiry or
of the board, that a linear programme can find without any model.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vol_platform.quant._no_arbitrage.crossings import hyperbola_crossings
from vol_platform.quant._no_arbitrage.exact import butterfly_minimum, calendar_minimum
from vol_platform.quant._no_arbitrage.quotes import (
    BoardRepair,
    ParityBreach,
    QuoteRepair,
    board_repair,
    parity_breaches,
    quote_repairs,
)
from vol_platform.quant._no_arbitrage.svi_domain import ButterflyDomain, butterfly_domain
from vol_platform.quant._slices import butterfly as row_butterfly
from vol_platform.quant._slices import raw_to_row

if TYPE_CHECKING:
    from vol_platform.quant.surface import Surface

__all__ = [
    "ArbitrageReport",
    "BoardRepair",
    "ButterflyDomain",
    "PairCheck",
    "ParityBreach",
    "QuoteRepair",
    "SliceCheck",
    "board_repair",
    "butterfly",
    "butterfly_domain",
    "check",
    "parity_breaches",
    "quote_repairs",
    "slice_minimum",
]

FloatArray = npt.NDArray[np.float64]

_LEE = 2.0


@dataclass(frozen=True, slots=True)
class SliceCheck:
    """Butterfly and wings of one expiry.

    Attributes
    ----------
    expiry_ts
        Which expiry.
    g_minimum, k_at_minimum
        Smallest value of Durrleman's function on the whole line and where.
    left_slope, right_slope
        Asymptotic ``|dw/dk|`` of the put and the call wing; Lee allows up to 2.
    butterfly_free, wings_free
        The verdicts.
    """

    expiry_ts: datetime
    g_minimum: float
    k_at_minimum: float
    left_slope: float
    right_slope: float
    butterfly_free: bool
    wings_free: bool


@dataclass(frozen=True, slots=True)
class PairCheck:
    """Calendar order of two neighbouring expiries.

    Attributes
    ----------
    near_ts, far_ts
        The expiries.
    gap_minimum, k_at_minimum
        Smallest ``w_far - w_near`` and where; minus infinity when the wings are in the wrong order.
    crossings
        Every k at which the two hyperbolas (without residuals) cross: real roots of a quartic.
    calendar_free
        The verdict.
    """

    near_ts: datetime
    far_ts: datetime
    gap_minimum: float
    k_at_minimum: float
    crossings: tuple[float, ...]
    calendar_free: bool


@dataclass(frozen=True, slots=True)
class ArbitrageReport:
    """All checks of a surface."""

    slices: tuple[SliceCheck, ...]
    pairs: tuple[PairCheck, ...]

    @property
    def butterfly_violations(self) -> int:
        """Number of slices with butterfly arbitrage."""
        return sum(not item.butterfly_free for item in self.slices)

    @property
    def calendar_violations(self) -> int:
        """Number of neighbouring pairs with calendar arbitrage."""
        return sum(not item.calendar_free for item in self.pairs)

    @property
    def wing_violations(self) -> int:
        """Number of slices whose wings break Lee's bound."""
        return sum(not item.wings_free for item in self.slices)

    @property
    def is_free(self) -> bool:
        """No violation of any kind."""
        return not (self.butterfly_violations or self.calendar_violations or self.wing_violations)


def check(surface: Surface) -> ArbitrageReport:
    """Check every slice and every neighbouring pair of a surface on the whole line.

    Parameters
    ----------
    surface
        A calibrated or rebuilt surface.

    Returns
    -------
    ArbitrageReport
        Exact: no grid decides a verdict.
    """
    expiries = [surface.expiry_ts[int(i)] for i in surface.active]
    slices = tuple(
        _check_slice(expiry, row) for expiry, row in zip(expiries, surface.rows, strict=True)
    )
    pairs = tuple(
        _check_pair(expiries[i], expiries[i + 1], surface.rows[i], surface.rows[i + 1])
        for i in range(len(expiries) - 1)
    )
    return ArbitrageReport(slices, pairs)


def _check_slice(expiry: datetime, row: FloatArray) -> SliceCheck:
    at, smallest = butterfly_minimum(row)
    left, right = float(row[1]), float(row[2])
    return SliceCheck(
        expiry_ts=expiry,
        g_minimum=float(smallest),
        k_at_minimum=float(at),
        left_slope=left,
        right_slope=right,
        butterfly_free=bool(smallest >= 0.0),
        wings_free=bool(0.0 <= left <= _LEE and 0.0 <= right <= _LEE),
    )


def _check_pair(
    near_ts: datetime, far_ts: datetime, near: FloatArray, far: FloatArray
) -> PairCheck:
    at, gap = calendar_minimum(near, far)
    return PairCheck(
        near_ts=near_ts,
        far_ts=far_ts,
        gap_minimum=float(gap),
        k_at_minimum=float(at),
        crossings=tuple(float(k) for k in hyperbola_crossings(near, far)),
        calendar_free=bool(gap >= 0.0),
    )


def butterfly(
    k: npt.ArrayLike, a: float, b: float, rho: float, m: float, sigma: float
) -> FloatArray:
    """Durrleman's g of a raw SVI slice: the density has its sign.

    Parameters
    ----------
    k
        Log-moneyness, any shape.
    a, b, rho, m, sigma
        Raw SVI.

    Returns
    -------
    ndarray
        ``(1 - k w'/(2w))^2 - w'^2/4 (1/w + 1/4) + w''/2``; -1 where the variance is not positive.

    Notes
    -----
    V. Durrleman (2003); J. Gatheral and A. Jacquier (2014), equation 2.1.
    """
    points = np.asarray(k, dtype=np.float64)
    values = row_butterfly(raw_to_row(a, b, rho, m, sigma), np.ascontiguousarray(points.ravel()))
    return np.asarray(values.reshape(points.shape), dtype=np.float64)


def slice_minimum(a: float, b: float, rho: float, m: float, sigma: float) -> tuple[float, float]:
    """Where g of a raw SVI slice is smallest on the whole line, and its value.

    Parameters
    ----------
    a, b, rho, m, sigma
        Raw SVI (total variance, its slope per unit of k, dimensionless, k, k).

    Returns
    -------
    k, g : float
        A value of 1e-4 or more is a proof that g is above 1e-4 everywhere; below it, g is that
        small at `k` (infinite when the limit of a wing is the smallest).
    """
    at, smallest = butterfly_minimum(raw_to_row(a, b, rho, m, sigma))
    return float(at), float(smallest)
