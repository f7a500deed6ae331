"""Model-free implied variance and our own 30-day volatility index.

The fair variance of a swap to ``T`` is a strip of out-of-the-money options (Demeterfi, Derman,
Kamal and Zou 1999; Neuberger 1994), with ``c`` the undiscounted price over the forward::

    σ² T = 2 ∫ c(k) exp(-k) dk,       k = ln(strike / forward)

On the fitted surface it is an integral rather than a sum over listed strikes.  What lies between
the first and the last quoted strike is the market's word; what lies beyond is the model's.  Both
are in the index, and the share of the second is published beside it (`tail_share`): on Deribit
boards leaving the tails out lowers the volatility by one to five points.

Deribit does not publish DVOL's formula in full; this index is ours, tracks DVOL, and is not it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vol_platform.quant.black76 import price
from vol_platform.quant.errors import QuantError
from vol_platform.quant.smiles import Smiles
from vol_platform.quant.term_structure import SmileSurface, expiries

__all__ = ["ExpiryVariance", "VarianceIndex", "expiry_variance", "index"]

DAYS_PER_YEAR = 365.0
TAIL_DEVIATIONS = 8.0  # the integral beyond is below 1e-14 of the variance
LONGEST_TAIL = 200.0  # of log-moneyness; wings at Lee's bound never die
PANELS = 6
_BEFORE_TAIL = 2  # cuts that are always made, whatever the smile
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)


class ExpiryVariance(NamedTuple):
    """Model-free variance to one expiry."""

    expiry_years: float
    total_variance: float
    """σ² T with tails."""
    quoted_total_variance: float
    """σ² T between the first and the last quoted strike only."""

    @property
    def vol(self) -> float:
        """Volatility with tails, decimal."""
        return math.sqrt(self.total_variance / self.expiry_years)

    @property
    def quoted_vol(self) -> float:
        """Volatility of the quoted strip alone, decimal."""
        return math.sqrt(self.quoted_total_variance / self.expiry_years)

    @property
    def tail_share(self) -> float:
        """Share of the variance that lies beyond the quoted strikes."""
        return 1.0 - self.quoted_total_variance / self.total_variance


class VarianceIndex(NamedTuple):
    """A constant-maturity volatility index."""

    days: float
    vol: float
    """Decimal, with tails; NaN when the surface has no expiry."""
    quoted_vol: float
    """The same from the quoted strips alone."""
    tail_share: float
    """Share of the interpolated variance beyond the quoted strikes."""
    expiries: tuple[ExpiryVariance, ...]
    """The one or two expiries it is interpolated from."""
    is_extrapolated: bool
    """Whether the maturity lies outside the listed expiries (the nearest volatility is used)."""


@runtime_checkable
class _BoardLike(Protocol):
    """A board, told from a surface by its quotes."""

    @property
    def fit_quotes(self) -> object: ...


@runtime_checkable
class _HasSmiles(Protocol):
    """A surface that gives a smile to be asked many times."""

    def smiles(self, expiry_years: NDArray[np.float64]) -> Smiles: ...


Variance = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _strips(variance: Variance, cuts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integrate 2 c(k) exp(-k) dk between each two neighbours of `cuts`, of which one is 0."""
    edges = np.linspace(cuts[:-1], cuts[1:], PANELS + 1, axis=1)
    half = 0.5 * np.diff(edges)[:, :, None]
    k = edges[:, :-1, None] + half * (NODES + 1.0)
    flat = k.ravel()
    vol = np.sqrt(np.maximum(variance(flat), 0.0))
    value = 2.0 * price(1.0, np.exp(flat), 1.0, vol, flat > 0.0) * np.exp(-flat)
    weighted = value.reshape(k.shape) * (half * WEIGHTS)
    return np.asarray(weighted.reshape(cuts.size - 1, -1).sum(axis=1))


def expiry_variance(
    surface: SmileSurface,
    expiry_years: float,
    quoted: tuple[float, float] | None = None,
) -> ExpiryVariance:
    """Model-free variance to one maturity.

    Parameters
    ----------
    surface : SmileSurface
    expiry_years : float
        Years, > 0.
    quoted : (float, float), optional
        Log-moneyness of the first and last quoted strike; taken from the surface's report when
        left out, and the whole integral if the report has none for this maturity.

    Returns
    -------
    ExpiryVariance

    Raises
    ------
    QuantError
        `expiry_years` is not positive.

    Examples
    --------
    >>> class Flat:
    ...     expiry_years = np.array([0.25])
    ...     def total_variance(self, k, expiry_years):
    ...         return 0.36 * np.broadcast_to(expiry_years, np.shape(k))
    >>> round(expiry_variance(Flat(), 0.25).vol, 12)
    0.6
    """
    if not expiry_years > 0.0:
        raise QuantError(f"expiry_years must be > 0, was {expiry_years:g}")
    low, high = quoted if quoted is not None else _quoted_range(surface, expiry_years)
    variance = _smile(surface, expiry_years)
    deviation = float(np.sqrt(variance(np.zeros(1))[0]))
    if not deviation > 0.0:
        return ExpiryVariance(expiry_years, math.nan, math.nan)
    reach = [_reach(variance, deviation, sign) for sign in (-1.0, 1.0)]
    cuts = np.unique(np.concatenate((-reach[0], [0.0], reach[1], (low, high))))
    cuts = cuts[np.isfinite(cuts)]
    strips = _strips(variance, cuts)
    quoted_strips = strips[(cuts[:-1] >= low) & (cuts[1:] <= high)]
    return ExpiryVariance(expiry_years, float(strips.sum()), float(quoted_strips.sum()))


def _smile(surface: SmileSurface, expiry_years: float) -> Variance:
    """Return total variance by log-moneyness at one maturity, which is looked up once."""
    if isinstance(surface, _HasSmiles) and expiries(surface).size:
        smile = surface.smiles(np.array([expiry_years]))
        return lambda k: smile.total_variance(k[None, :])[0]
    return lambda k: surface.total_variance(k, expiry_years)


def _reach(variance: Variance, deviation: float, sign: float) -> NDArray[np.float64]:
    """Distances from the money that cut the integral into smooth pieces, to the end of the tail.

    A short-dated smile with steep wings reaches far: the tail ends where |k| is 8 times the
    deviation that the smile has *there*, not at the money.
    """
    cuts = [deviation, 3.0 * deviation, 6.0 * deviation]
    while cuts[-1] < LONGEST_TAIL:
        cuts.append(1.6 * cuts[-1])
    distance = np.array(cuts)
    there = np.sqrt(np.maximum(variance(sign * distance), 0.0))
    is_end = distance > TAIL_DEVIATIONS * there
    is_end[:_BEFORE_TAIL] = False
    last = int(is_end.argmax()) if is_end.any() else distance.size - 1
    return distance[: last + 1]


def _quoted_range(surface: SmileSurface, expiry_years: float) -> tuple[float, float]:
    for item in getattr(surface, "report", ()):
        same = abs(item.expiry_years - expiry_years) < 1e-9
        if same and math.isfinite(item.k_minimum) and math.isfinite(item.k_maximum):
            return item.k_minimum, item.k_maximum
    return -math.inf, math.inf


def index(board_or_surface: SmileSurface | _BoardLike, days: float = 30.0) -> VarianceIndex:
    """Constant-maturity model-free volatility, DVOL-like.

    The total variances of the expiries on both sides of the maturity are interpolated linearly in
    calendar time, as the VIX does.  Outside the listed expiries the nearest volatility is used and
    `is_extrapolated` is set.

    Parameters
    ----------
    board_or_surface
        A surface, or a board, which is then calibrated with the default settings.
    days : float
        Maturity in days, > 0.

    Returns
    -------
    VarianceIndex

    Raises
    ------
    QuantError
        `days` is not positive.
    """
    if not days > 0.0:
        raise QuantError(f"days must be > 0, was {days:g}")
    surface: SmileSurface
    if isinstance(board_or_surface, _BoardLike):
        from vol_platform.quant.surface import Board, calibrate

        if not isinstance(board_or_surface, Board):
            raise QuantError(f"expected a Board or a surface, was {type(board_or_surface)}")
        surface = calibrate(board_or_surface)
    else:
        surface = board_or_surface
    listed: NDArray[np.float64] = expiries(surface)
    if listed.size == 0:
        return VarianceIndex(days, math.nan, math.nan, math.nan, (), is_extrapolated=True)
    years = days / DAYS_PER_YEAR
    after = int(np.searchsorted(listed, years))
    outside = after == 0 and not math.isclose(listed[0], years)
    outside = outside or after == listed.size
    if outside or math.isclose(listed[after], years):
        near = far = expiry_variance(surface, float(listed[min(after, listed.size - 1)]))
        used: tuple[ExpiryVariance, ...] = (near,)
        share = 0.0
        scale = years / near.expiry_years
    else:
        near = expiry_variance(surface, float(listed[after - 1]))
        far = expiry_variance(surface, float(listed[after]))
        used = (near, far)
        share = (years - near.expiry_years) / (far.expiry_years - near.expiry_years)
        scale = 1.0
    total = scale * ((1.0 - share) * near.total_variance + share * far.total_variance)
    inner = scale * ((1.0 - share) * near.quoted_total_variance + share * far.quoted_total_variance)
    return VarianceIndex(
        days=days,
        vol=math.sqrt(total / years),
        quoted_vol=math.sqrt(inner / years),
        tail_share=1.0 - inner / total,
        expiries=used,
        is_extrapolated=outside,
    )
