"""Volatility models behind one interface: a smile by name, and a surface by name.

==========  ================================================================================
``svi``     raw SVI; as a surface our default: joint, with residual, free of arbitrage
``essvi``   eSSVI; as a surface one global fit in Mingone's box, free of arbitrage
``ssvi``    SSVI with the power law; likewise
``sabr``    lognormal SABR (Hagan, with Obloj's leading order); expiry by expiry
``spline``  smoothing cubic spline of total variance; expiry by expiry
==========  ================================================================================

::

    smile = fit_smile("sabr", k, bid_vol, ask_vol, expiry_years)
    surface = fit_surface(board, "sabr")
    term_structure.atm(surface)

Sources: the modules `svi`, `ssvi`, `sabr` and `spline`.  What the last two claim about arbitrage is
nothing; `comparison` judges all five alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vol_platform.quant import sabr, spline, ssvi, svi
from vol_platform.quant._columns import quoted_smile
from vol_platform.quant._in_time import Timeline, forward_at
from vol_platform.quant.errors import QuantError
from vol_platform.quant.surface import Board, Surface, SurfaceConfig, calibrate

__all__ = [
    "MODELS",
    "Essvi",
    "ModelSurface",
    "SliceSurface",
    "SmileFit",
    "fit_smile",
    "fit_surface",
]

FloatArray = npt.NDArray[np.float64]

_JOINT = ("svi", "essvi", "ssvi")
MODELS = (*_JOINT, "sabr", "spline")
"""Names of the models."""


class Essvi(NamedTuple):
    """Parameters of one (e)SSVI slice.

    Attributes
    ----------
    theta, rho, phi
        Total variance at the money, skew in (-1, 1), curvature (1 over log-moneyness).
    """

    theta: float
    rho: float
    phi: float


Parameters = svi.Raw | Essvi | sabr.Sabr | spline.VarianceSpline


@dataclass(frozen=True, slots=True)
class SmileFit:
    """A smile of any model at one maturity.

    Attributes
    ----------
    model
        One of `MODELS`.
    expiry_years
        ACT/365.
    parameters
        `svi.Raw`, `Essvi`, `sabr.Sabr` or `spline.VarianceSpline`, by model.
    """

    model: str
    expiry_years: float
    parameters: Parameters

    def total_variance(self, k: npt.ArrayLike) -> FloatArray:
        """``vol^2 T`` at log-moneyness `k`, in the shape of `k`."""
        match self.parameters:
            case svi.Raw() as raw:
                return svi.total_variance(k, *raw)
            case Essvi() as slice_:
                return ssvi.total_variance(k, *slice_)
            case sabr.Sabr() as parameters:
                return sabr.total_variance(k, self.expiry_years, parameters)
            case spline.VarianceSpline() as nodes:
                return nodes.total_variance(k)

    def vol(self, k: npt.ArrayLike) -> FloatArray:
        """Implied volatility at log-moneyness `k`, decimal, in the shape of `k`."""
        return np.asarray(np.sqrt(self.total_variance(k) / self.expiry_years))


def _fit_chain_of_one(
    k: npt.ArrayLike,
    bid_vol: npt.ArrayLike,
    ask_vol: npt.ArrayLike,
    expiry_years: float,
    *,
    model: str,
) -> Essvi:
    x, bid, ask = quoted_smile(k, bid_vol, ask_vol, expiry_years)
    if x.size < 3:
        raise QuantError(
            f"three usable points are needed for three parameters, there were {x.size}"
        )
    chain = ssvi.fit(
        [0, x.size], x, 0.5 * (bid + ask), 0.5 * (ask - bid), [expiry_years], model=model
    )
    theta, rho, psi = float(chain.theta[0]), float(chain.rho[0]), float(chain.psi[0])
    return Essvi(theta, rho, psi / theta)


_FITS: dict[str, Callable[[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, float], Parameters]] = {
    "svi": svi.fit,
    "essvi": partial(_fit_chain_of_one, model="essvi"),
    "ssvi": partial(_fit_chain_of_one, model="ssvi"),
    "sabr": sabr.fit,
    "spline": spline.fit,
}


def _known(model: str) -> None:
    if model not in MODELS:
        raise QuantError(f"model must be one of {', '.join(MODELS)}, was {model!r}")


def fit_smile(
    model: str,
    k: npt.ArrayLike,
    bid_vol: npt.ArrayLike,
    ask_vol: npt.ArrayLike,
    expiry_years: float,
) -> SmileFit:
    """Fit one smile of a model to bid and ask volatilities.

    Parameters
    ----------
    model
        One of `MODELS`.
    k
        Log-moneyness ``ln(strike / forward)``, shape (n,).
    bid_vol, ask_vol
        Decimals, shape (n,); equal for a fit to points.  Rows with NaN or a crossed pair are left
        out.
    expiry_years
        ACT/365, > 0.

    Returns
    -------
    SmileFit

    Raises
    ------
    QuantError
        Unknown model, shapes differ, too few usable points (five for SVI, else three), or
        `expiry_years` is not positive.

    Examples
    --------
    >>> k = np.linspace(-0.3, 0.3, 9)
    >>> vol = 0.5 + 0.3 * k**2
    >>> for model in MODELS:
    ...     smile = fit_smile(model, k, vol - 0.01, vol + 0.01, 0.25)
    ...     assert abs(float(smile.vol(0.0)) - 0.5) < 0.01
    """
    _known(model)
    return SmileFit(model, float(expiry_years), _FITS[model](k, bid_vol, ask_vol, expiry_years))


class ModelSurface(Protocol):
    """What a surface of any model offers; `term_structure` and `variance_swap` take it."""

    @property
    def expiry_ts(self) -> tuple[datetime, ...]:
        """All expiries of the board, fitted or not."""

    @property
    def expiry_years(self) -> FloatArray:
        """Their ACT/365 years."""

    @property
    def active(self) -> npt.NDArray[np.int64]:
        """Indices of the fitted ones, increasing."""

    @property
    def reasons(self) -> dict[int, str]:
        """Why an expiry has no fit, by index."""

    def total_variance(self, k: npt.ArrayLike, expiry_years: npt.ArrayLike) -> FloatArray:
        """``vol^2 T``, as in `surface.Surface.total_variance`."""


@dataclass(frozen=True, eq=False)
class SliceSurface:
    """Smiles fitted expiry by expiry, and what lies between them in time.

    Attributes
    ----------
    model
        ``sabr`` or ``spline`` (or any other of `MODELS` that was fitted slice by slice).
    currency, snapshot_ts
        Of the board.
    expiry_ts, expiry_years, forward_usd
        All expiries of the board.
    slices
        One fit per fitted expiry.
    active, reasons
        Indices of the fitted expiries; why the others have none, by index.
    weekend_weight
        For event time between expiries.
    """

    model: str
    currency: str
    snapshot_ts: datetime | None
    expiry_ts: tuple[datetime, ...]
    expiry_years: FloatArray
    forward_usd: FloatArray
    slices: tuple[SmileFit, ...]
    active: npt.NDArray[np.int64]
    reasons: dict[int, str]
    weekend_weight: float

    @cached_property
    def _timeline(self) -> Timeline:
        return Timeline(
            self.snapshot_ts,
            [smile.expiry_years for smile in self.slices],
            [float(smile.total_variance(0.0)) for smile in self.slices[-2:]],
            self.weekend_weight,
        )

    def total_variance(self, k: npt.ArrayLike, expiry_years: npt.ArrayLike) -> FloatArray:
        """``vol^2 T`` at log-moneyness `k`, in time as `surface.Surface.total_variance`.

        Parameters
        ----------
        k, expiry_years
            Broadcast against each other; `expiry_years` > 0 in ACT/365 years.

        Returns
        -------
        ndarray
            NaN when no expiry was fitted.

        Raises
        ------
        QuantError
            A maturity is not positive.
        """
        points, years = np.broadcast_arrays(
            np.asarray(k, dtype=np.float64), np.asarray(expiry_years, dtype=np.float64)
        )
        if years.size and not (years > 0).all():
            raise QuantError(f"expiry_years must be > 0, was {float(np.nanmin(years)):g}")
        out = np.full(points.shape, np.nan)
        if self.slices:
            for value in np.unique(years):
                at = years == value
                near, far, scale, share, shift = self._timeline.placed(float(value))
                w = self.slices[near].total_variance(points[at])
                between = self.slices[far].total_variance(points[at]) - w if share else 0.0
                out[at] = scale * w + share * between + shift
        return out

    def iv(self, expiry_years: float, strike: npt.ArrayLike) -> FloatArray:
        """Implied volatility, decimal, at strikes in USD; NaN where a strike is not positive.

        Parameters
        ----------
        expiry_years
            ACT/365, > 0.
        strike
            USD, any shape.

        Returns
        -------
        ndarray
            Shape of `strike`.

        Raises
        ------
        QuantError
            The maturity is not positive.
        """
        K = np.asarray(strike, dtype=np.float64)
        forward = forward_at(np.array([expiry_years]), self.expiry_years, self.forward_usd)[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            k = np.log(np.where(K > 0, K, np.nan) / forward)
        return np.asarray(np.sqrt(self.total_variance(k, expiry_years) / expiry_years))


def fit_surface(
    board: Board, model: str = "svi", config: SurfaceConfig | None = None
) -> Surface | SliceSurface:
    """Fit a surface of a model to a board.

    Parameters
    ----------
    board
        The quotes; two-sided out-of-the-money ones are used.
    model
        One of `MODELS`.
    config
        Settings; its own `model` is not looked at.

    Returns
    -------
    Surface or SliceSurface
        Both are `ModelSurface`.  The first three models are free of arbitrage; the others are
        fitted expiry by expiry and may not be.

    Raises
    ------
    QuantError
        Unknown model.
    """
    _known(model)
    config = config or SurfaceConfig()
    if model in _JOINT:
        return calibrate(board, config=replace(config, model=model))
    quotes = board.fit_quotes
    smiles: list[SmileFit] = []
    active: list[int] = []
    reasons: dict[int, str] = {}
    for i, years in enumerate(board.expiry_years.tolist()):
        used = quotes.two_sided(i)
        try:
            smiles.append(
                fit_smile(model, quotes.k[used], quotes.bid_vol[used], quotes.ask_vol[used], years)
            )
            active.append(i)
        except QuantError as error:
            reasons[i] = str(error)
    return SliceSurface(
        model=model,
        currency=board.currency,
        snapshot_ts=board.snapshot_ts,
        expiry_ts=board.expiry_ts,
        expiry_years=board.expiry_years,
        forward_usd=board.forward,
        slices=tuple(smiles),
        active=np.array(active, dtype=np.int64),
        reasons=reasons,
        weekend_weight=config.weekend_weight,
    )
