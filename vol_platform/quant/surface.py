"""The volatility surface: calibrate it from a board, ask it for volatilities.

::

    board = Board.from_frame(quotes)
    surface = calibrate(board)
    surface.iv(expiry, strike)

The default model is raw SVI per expiry with a small residual spline, fitted jointly over all
expiries to bid **and** ask, and free of butterfly, calendar and wing arbitrage by exact checks
(see `docs/method.md`).  Nothing about a board makes `calibrate` raise: an expiry that cannot be
fitted is refused with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vol_platform.quant._board import Board, FitQuotes
from vol_platform.quant._fit.chain import ChainFit, fit_chain
from vol_platform.quant._fit.config import SurfaceConfig
from vol_platform.quant._fit.report import ExpiryReport, build_report
from vol_platform.quant._in_time import Timeline, forward_at
from vol_platform.quant._slices import ROW
from vol_platform.quant._slices import total_variance as row_total_variance
from vol_platform.quant.errors import QuantError
from vol_platform.quant.smiles import Smiles

if TYPE_CHECKING:
    import polars as pl  # not loaded to fit a surface: that takes a third of a second

__all__ = [
    "Board",
    "ExpiryReport",
    "FitQuotes",
    "Surface",
    "SurfaceConfig",
    "calibrate",
    "surfaces_from_frame",
    "surfaces_to_frame",
]

FloatArray = npt.NDArray[np.float64]
Expiry = datetime | float

_SECONDS_PER_YEAR = 365.0 * 86_400.0


@dataclass(frozen=True, eq=False)
class Surface:
    """A fitted surface; immutable.

    Attributes
    ----------
    currency, snapshot_ts
        Of the board.
    expiry_ts, expiry_years, forward
        All expiries of the board, fitted or refused; forward NaN where unknown.
    active
        Indices of the fitted expiries, increasing.
    rows
        One slice row per fitted expiry (see `vol_platform.quant._slices`).
    config
        How it was fitted.
    """

    currency: str
    snapshot_ts: datetime | None
    expiry_ts: tuple[datetime, ...] = field(repr=False)
    expiry_years: FloatArray = field(repr=False)
    forward_usd: FloatArray = field(repr=False)
    active: npt.NDArray[np.int64]
    rows: FloatArray = field(repr=False)
    config: SurfaceConfig = field(default_factory=SurfaceConfig)
    fit: ChainFit | None = field(default=None, repr=False)
    board: Board | None = field(default=None, repr=False)
    stored: tuple[pl.DataFrame, FloatArray] | None = field(default=None, repr=False)

    # -- evaluation ---------------------------------------------------------------------------

    def iv(self, expiry: Expiry, strike: npt.ArrayLike) -> FloatArray:
        """Implied volatility, decimal.

        Parameters
        ----------
        expiry
            Delivery as a datetime (UTC), or ACT/365 years as a float; any maturity > 0.
        strike
            USD, any shape; a strike that is not positive gives NaN.

        Returns
        -------
        ndarray
            Shape of `strike`; NaN when the surface has no fitted expiry.
        """
        years = self.years_to(expiry)
        K = np.asarray(strike, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            k = np.log(np.where(K > 0, K, np.nan) / self.forward(expiry))
        return np.asarray(np.sqrt(self.total_variance(k, years) / years), dtype=np.float64)

    def total_variance(self, k: npt.ArrayLike, expiry_years: npt.ArrayLike) -> FloatArray:
        """Total variance ``w = vol^2 T`` at log-moneyness ``k = ln(strike / forward)``.

        At a listed expiry this is the slice.  Between two it is linear in event time at fixed k;
        before the first the first slice scaled down with event time (which keeps it free of
        butterfly arbitrage: g is concave in the scale and non-negative at both ends); after the
        last the last slice moved up by the last forward variance at the money.

        Parameters
        ----------
        k, expiry_years
            Broadcast against each other; `expiry_years` > 0 in ACT/365 years.

        Returns
        -------
        ndarray
            The broadcast shape; NaN when the surface has no fitted expiry.

        Raises
        ------
        QuantError
            A maturity is not positive.
        """
        points, years = np.broadcast_arrays(
            np.asarray(k, dtype=np.float64), np.asarray(expiry_years, dtype=np.float64)
        )
        if years.size and not (years > 0).all():
            raise QuantError(f"expiry_years must be > 0, was {float(years[~(years > 0)][0]):g}")
        if not self.active.size:
            return np.full(points.shape, np.nan)
        maturities, which = np.unique(years, return_inverse=True)
        return self.smiles(maturities).total_variance(points, which.reshape(points.shape))

    def smiles(self, expiry_years: npt.ArrayLike) -> Smiles:
        """Smiles at any maturities, to be evaluated together.

        Parameters
        ----------
        expiry_years
            ACT/365 years, > 0; shape (n,).

        Raises
        ------
        QuantError
            The surface has no fitted expiry.
        """
        if not self.active.size:
            msg = f"the surface of {self.currency or 'this board'} has no fitted expiry to read"
            raise QuantError(msg)
        years = np.asarray(expiry_years, dtype=np.float64)
        if not years.size:
            return Smiles.concatenate([])
        placed = map(self._timeline.placed, years.tolist())
        near, far, scale, share, shift = zip(*placed, strict=True)
        return Smiles(
            years,
            self._forward_at(years),
            self.rows[list(near)],
            self.rows[list(far)],
            np.array(scale),
            np.array(share),
            np.array(shift),
        )

    @cached_property
    def _timeline(self) -> Timeline:
        at_money = [float(row_total_variance(row, np.zeros(1))[0]) for row in self.rows[-2:]]
        return Timeline(
            self.snapshot_ts,
            self.expiry_years[self.active].tolist(),
            at_money,
            self.config.weekend_weight,
        )

    def years_to(self, expiry: Expiry) -> float:
        """ACT/365 years from the snapshot to `expiry`.

        Raises
        ------
        QuantError
            The expiry is no datetime or number, not in the future, or a datetime although the
            surface has no snapshot.
        """
        if isinstance(expiry, datetime):
            wanted = expiry if expiry.tzinfo is not None else expiry.replace(tzinfo=UTC)
            for at, listed in enumerate(self.expiry_ts):
                if listed == wanted:
                    return float(self.expiry_years[at])
            if self.snapshot_ts is None:
                msg = (
                    f"the surface has no snapshot time; give years instead of {expiry.isoformat()}"
                )
                raise QuantError(msg)
            years = (wanted - self.snapshot_ts).total_seconds() / _SECONDS_PER_YEAR
        elif isinstance(expiry, (int, float, np.number)):
            years = float(expiry)
        else:
            raise QuantError(f"expiry must be a datetime or years as a number, was {expiry!r}")
        if not years > 0:
            msg = f"expiry must lie after the snapshot, was {years:g} years; ask for a later one"
            raise QuantError(msg)
        return years

    def forward(self, expiry: Expiry) -> float:
        """Forward in USD: log-linear in time between expiries, flat beyond; NaN when unknown.

        Parameters
        ----------
        expiry
            As in `iv`.
        """
        return float(self._forward_at(np.array([self.years_to(expiry)]))[0])

    def _forward_at(self, years: FloatArray) -> FloatArray:
        return forward_at(years, self.expiry_years, self.forward_usd)

    def delta_strike(
        self, expiry: Expiry, delta: npt.ArrayLike, *, premium_adjusted: bool = False
    ) -> FloatArray:
        """Strike in USD at which the option with the surface's volatility has this delta.

        Parameters
        ----------
        expiry
            As in `iv`.
        delta
            Forward Black delta: calls in (0, 1), puts in (-1, 0).
        premium_adjusted
            Use the coin delta ``delta - price/forward`` instead; for calls the solution at the
            larger strike.

        Returns
        -------
        ndarray
            NaN where no strike has that delta.
        """
        years = self.years_to(expiry)
        wanted = np.asarray(delta, dtype=np.float64)
        if not self.active.size:
            return np.full(wanted.shape, np.nan)
        smile = self.smiles(np.array([years]))
        k = smile.delta_log_moneyness(wanted.ravel(), premium_adjusted=premium_adjusted)
        return np.asarray(smile.forward[0] * np.exp(k.reshape(wanted.shape)), dtype=np.float64)

    def atm_vol(self, expiry: Expiry) -> float:
        """Volatility at ``k = 0`` (strike equal to the forward), decimal; `expiry` as in `iv`."""
        years = self.years_to(expiry)
        return float(np.sqrt(self.total_variance(0.0, years) / years))

    # -- what was fitted ----------------------------------------------------------------------

    @cached_property
    def report(self) -> tuple[ExpiryReport, ...]:
        """One entry per expiry of the board, refused ones included."""
        if self.stored is not None:
            from vol_platform.quant import _surface_frame

            return _surface_frame.reports_of(*self.stored)
        if self.board is None or self.fit is None:
            return ()
        return build_report(self.board, self.fit, self.config.model)

    @property
    def reasons(self) -> dict[int, str]:
        """Why an expiry of the board has no fit, by its index."""
        return {i: item.reason for i, item in enumerate(self.report) if item.row is None}

    def to_frame(self) -> pl.DataFrame:
        """Rows of table `surfaces`, without code_version and parameters_hash."""
        return surfaces_to_frame([self])

    @classmethod
    def from_frame(cls, frame: pl.DataFrame, config: SurfaceConfig | None = None) -> Surface:
        """Rebuild a surface from rows of `surfaces` (one snapshot, one currency).

        Raises
        ------
        QuantError
            Columns are missing or several snapshots are mixed.
        """
        from vol_platform.quant import _surface_frame

        _surface_frame.check_columns(frame)
        _surface_frame.check_one(frame)
        if frame.is_empty():
            nothing = np.empty(0)
            return cls("", None, (), nothing, nothing, np.empty(0, np.int64), np.empty((0, ROW)))
        return surfaces_from_frame(frame, config)[0]


def surfaces_to_frame(surfaces: Iterable[Surface]) -> pl.DataFrame:
    """Rows of table `surfaces` of many surfaces, without code_version and parameters_hash."""
    from vol_platform.quant import _surface_frame

    return _surface_frame.to_frame((one.currency, one.snapshot_ts, one.report) for one in surfaces)


def surfaces_from_frame(frame: pl.DataFrame, config: SurfaceConfig | None = None) -> list[Surface]:
    """Rebuild all surfaces of a frame, by snapshot and currency.

    Parameters
    ----------
    frame
        Rows of `surfaces`, any number of snapshots and currencies in any order.
    config
        Model and settings that they were fitted with.

    Raises
    ------
    QuantError
        Columns are missing.
    """
    import polars as pl

    from vol_platform.quant import _surface_frame

    _surface_frame.check_columns(frame)
    frame = frame.sort("snapshot_ts", "currency", "expiry_ts")
    rows = _surface_frame.slice_rows(frame)
    expiry_ts = _surface_frame.instants(frame["expiry_ts"])
    expiry_years, forward = (
        frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        for name in ("expiry_years", "forward")
    )
    runs = frame.select(pl.struct("snapshot_ts", "currency").rle().struct.field("len"))
    ends = np.cumsum(runs.to_series().to_numpy())
    surfaces = []
    for begin, end in pairwise([0, *ends.tolist()]):
        mine = frame[begin:end]
        fitted = np.flatnonzero(np.isfinite(rows[begin:end, 0]))
        surfaces.append(
            Surface(
                currency=str(mine["currency"][0]),
                snapshot_ts=_surface_frame.instants(mine["snapshot_ts"][:1])[0],
                expiry_ts=tuple(expiry_ts[begin:end]),
                expiry_years=expiry_years[begin:end],
                forward_usd=forward[begin:end],
                active=fitted.astype(np.int64),
                rows=rows[begin:end][fitted],
                config=config or SurfaceConfig(),
                stored=(mine, rows[begin:end]),
            )
        )
    return surfaces


def calibrate(
    board: Board, previous: Surface | None = None, config: SurfaceConfig | None = None
) -> Surface:
    """Fit a surface to a board.

    Parameters
    ----------
    board
        The quotes.
    previous
        An earlier surface of the same currency: its slices are the starting point, and slices
        whose quotes did not change are taken over.
    config
        Model and settings.

    Returns
    -------
    Surface
        Free of butterfly, calendar and wing arbitrage.  Expiries without usable quotes or without
        a forward are refused, with the reason in `Surface.report`.

    Raises
    ------
    QuantError
        `board` is no `Board`.
    """
    config = config or SurfaceConfig()
    fit = fit_chain(board, previous, config)
    return Surface(
        currency=board.currency,
        snapshot_ts=board.snapshot_ts,
        expiry_ts=board.expiry_ts,
        expiry_years=board.expiry_years,
        forward_usd=board.forward,
        active=fit.active,
        rows=fit.rows,
        config=config,
        fit=fit,
        board=board,
    )
