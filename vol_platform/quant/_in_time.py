"""Between, before and after listed expiries: total variance in event time, forwards log-linear."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt

from vol_platform.quant.event_time import event_years

__all__ = ["Timeline", "forward_at"]

FloatArray = npt.NDArray[np.float64]

_SAME_EXPIRY_YEARS = 1e-9
"""Maturities closer than this, some 30 milliseconds, are one."""


class Timeline:
    """Listed expiries in event time: says of which of them a maturity is made.

    Parameters
    ----------
    snapshot_ts
        UTC; None makes event time calendar time.
    listed_years
        ACT/365, increasing, at least one.
    last_variances
        Total variance at the money of the last two expiries (or of the only one).
    weekend_weight
        See `event_time.event_years`.
    """

    def __init__(
        self,
        snapshot_ts: datetime | None,
        listed_years: Sequence[float],
        last_variances: Sequence[float],
        weekend_weight: float,
    ) -> None:
        self._start, self._weight = snapshot_ts, weekend_weight
        self._listed = listed_years
        self._clock = [event_years(snapshot_ts, years, weekend_weight) for years in listed_years]
        begin = self._clock[-2] if len(self._clock) > 1 else 0.0
        before = last_variances[-2] if len(last_variances) > 1 else 0.0
        self._last_forward_variance = (last_variances[-1] - before) / (self._clock[-1] - begin)

    def placed(self, years: float) -> tuple[int, int, float, float, float]:
        """Place a maturity: numbers of two expiries, scale, share and shift.

        Its variance is ``scale * near + share * (far - near) + shift``: linear in event time
        between two expiries, the first one scaled down before it, and after the last one that one
        moved up by the last forward variance at the money.
        """
        after = bisect_left(self._listed, years)
        for at in (after - 1, after):
            same = 0 <= at < len(self._listed)
            if same and abs(self._listed[at] - years) <= _SAME_EXPIRY_YEARS:
                return at, at, 1.0, 0.0, 0.0
        clock = self._clock
        tau = event_years(self._start, years, self._weight)
        if after == 0:
            return 0, 0, tau / clock[0], 0.0, 0.0
        if after == len(clock):
            return after - 1, after - 1, 1.0, 0.0, self._last_forward_variance * (tau - clock[-1])
        share = (tau - clock[after - 1]) / (clock[after] - clock[after - 1])
        return after - 1, after, 1.0, share, 0.0


def forward_at(years: FloatArray, expiry_years: FloatArray, forward_usd: FloatArray) -> FloatArray:
    """Forward in USD at any maturities: log-linear between known ones, flat beyond; else NaN."""
    known = np.isfinite(forward_usd) & (forward_usd > 0)
    if not known.any():
        return np.full(years.shape, np.nan)
    listed, forward = expiry_years[known], forward_usd[known]
    between = np.exp(np.interp(years, listed, np.log(forward)))
    distance = np.abs(listed - years[:, None])
    nearest = distance.argmin(axis=1)
    is_listed = distance.min(axis=1) <= _SAME_EXPIRY_YEARS
    return np.where(is_listed, forward[nearest], between)
