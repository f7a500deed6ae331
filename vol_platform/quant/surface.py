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

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from vol_platform.quant import _surface_frame
from vol_platform.quant._board import Board, FitQuotes, synthetic_board
from vol_platform.quant._config import SurfaceConfig
from vol_platform.quant._event_time import event_years
from vol_platform.quant._fit_chain import ChainFit, fit_chain
from vol_platform.quant._report import ExpiryReport, build_report
from vol_platform.quant._slices import total_variance as row_total_variance
from vol_platform.quant._smile_points import delta_log_moneyness
from vol_platform.quant.errors import QuantError

__all__ = [
    "Board",
    "ExpiryReport",
    "FitQuotes",
    "Surface",
    "SurfaceConfig",
    "calibrate",
    "warm_up",
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
    expiry_ts: tuple[datetime, ...]
    expiry_years: FloatArray
    forward_usd: FloatArray
    active: npt.NDArray[np.int64]
    rows: FloatArray
    config: SurfaceConfig = field(default_factory=SurfaceConfig)
    fit: ChainFit | None = field(default=None, repr=False)
    board: Board | None = field(default=None, repr=False)
    stored_report: tuple[ExpiryReport, ...] | None = field(default=None, repr=False)

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

        Raises
        ------
        QuantError
            A maturity is not positive.
        """
        points, years = np.broadcast_arrays(
            np.asarray(k, dtype=np.float64), np.asarray(expiry_years, dtype=np.float64)
        )
        if years.size and not (years > 0).all():
            msg = f"expiry_years must be > 0, was {float(np.nanmin(years)):g}"
            raise QuantError(msg)
        out = np.full(points.shape, np.nan)
        if self.active.size:
            for value in np.unique(years):
                at = years == value
                out[at] = self._variance_at(np.ascontiguousarray(points[at]), float(value))
        return out

    def _variance_at(self, k: FloatArray, years: float) -> FloatArray:
        listed = self.expiry_years[self.active]
        after = int(np.searchsorted(listed, years))
        for at in (after - 1, after):
            if 0 <= at < listed.size and abs(listed[at] - years) <= 1e-9:
                return _variance(self.rows[at], k)
        clock = self._event_clock
        tau = event_years(self.snapshot_ts, years, self.config.weekend_weight)
        if after == 0:
            return _variance(self.rows[0], k) * float(tau / clock[0])
        if after == listed.size:
            last = _variance(self.rows[-1], k)
            return last + self._last_forward_variance * float(tau - clock[-1])
        share = float((tau - clock[after - 1]) / (clock[after] - clock[after - 1]))
        near = _variance(self.rows[after - 1], k)
        far = _variance(self.rows[after], k)
        return near + share * (far - near)

    @cached_property
    def _event_clock(self) -> FloatArray:
        return np.array(
            [
                event_years(self.snapshot_ts, float(years), self.config.weekend_weight)
                for years in self.expiry_years[self.active]
            ]
        )

    @cached_property
    def _last_forward_variance(self) -> float:
        """Variance per event year between the last two expiries, at the money."""
        at_money = np.array([_variance(row, np.zeros(1))[0] for row in self.rows[-2:]])
        clock = self._event_clock[-2:]
        if at_money.size == 1:
            return float(at_money[0] / clock[0])
        return float((at_money[1] - at_money[0]) / (clock[1] - clock[0]))

    def years_to(self, expiry: Expiry) -> float:
        """ACT/365 years from the snapshot to `expiry`.

        Raises
        ------
        QuantError
            The expiry is not in the future, or a datetime was given to a surface without snapshot.
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
        else:
            years = float(expiry)
        if not years > 0:
            msg = f"expiry must lie after the snapshot, was {years:g} years; ask for a later one"
            raise QuantError(msg)
        return years

    def forward(self, expiry: Expiry) -> float:
        """Forward in USD: log-linear in time between expiries, flat beyond both ends.

        NaN when no forward is known.
        """
        years = self.years_to(expiry)
        known = np.isfinite(self.forward_usd) & (self.forward_usd > 0)
        if not known.any():
            return math.nan
        logs = np.log(self.forward_usd[known])
        listed = self.expiry_years[known]
        at = int(np.argmin(np.abs(listed - years)))
        if abs(listed[at] - years) <= 1e-9:
            return float(self.forward_usd[known][at])
        return float(np.exp(np.interp(years, listed, logs)))

    def delta_strike(
        self,
        expiry: Expiry,
        delta: npt.ArrayLike,
        *,
        premium_adjusted: bool = False,
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
        k = delta_log_moneyness(
            lambda points: self.total_variance(points, years), wanted, premium_adjusted
        )
        return np.asarray(self.forward(expiry) * np.exp(k), dtype=np.float64)

    def atm_vol(self, expiry: Expiry) -> float:
        """Volatility at ``k = 0`` (strike equal to the forward), decimal."""
        years = self.years_to(expiry)
        return float(np.sqrt(self.total_variance(0.0, years) / years))

    # -- what was fitted ----------------------------------------------------------------------

    @cached_property
    def report(self) -> tuple[ExpiryReport, ...]:
        """One entry per expiry of the board, refused ones included."""
        if self.stored_report is not None:
            return self.stored_report
        if self.board is None or self.fit is None:
            return ()
        return build_report(self.board, self.fit, self.config.model)

    def to_frame(self) -> pl.DataFrame:
        """Rows of table `surfaces`, without code_version and parameters_hash."""
        return _surface_frame.to_frame(self.currency, self.snapshot_ts, self.report)

    @classmethod
    def from_frame(cls, frame: pl.DataFrame, config: SurfaceConfig | None = None) -> Surface:
        """Rebuild a surface from rows of `surfaces` (one snapshot, one currency).

        Raises
        ------
        QuantError
            Columns are missing or several snapshots are mixed.
        """
        currency, snapshot_ts, reports = _surface_frame.from_frame(frame)
        active = [at for at, item in enumerate(reports) if item.row is not None]
        return cls(
            currency=currency,
            snapshot_ts=snapshot_ts,
            expiry_ts=tuple(item.expiry_ts for item in reports),
            expiry_years=np.array([item.expiry_years for item in reports]),
            forward_usd=np.array([item.forward for item in reports]),
            active=np.array(active, dtype=np.int64),
            rows=_surface_frame.stack_rows([reports[at].row for at in active]),
            config=config or SurfaceConfig(),
            stored_report=reports,
        )


def _variance(row: FloatArray, k: FloatArray) -> FloatArray:
    return np.asarray(row_total_variance(row, k), dtype=np.float64)


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


def warm_up() -> None:
    """Compile or load all kernels by fitting a small synthetic board."""
    calibrate(synthetic_board())
