"""The weight of a weekend: read back from surfaces that were made with it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest

from vol_platform.quant.errors import QuantError
from vol_platform.quant.event_time import estimate_weekend_weight, event_years

FRIDAY = datetime(2026, 4, 10, 9, 0, tzinfo=UTC)


class Weighted:
    """A surface whose variance flows evenly in event time."""

    def __init__(self, start: datetime | None, weight: float, days: tuple[int, ...]) -> None:
        self.snapshot_ts, self.weight = start, weight
        self.expiry_years = (np.array(days) - 1 / 24) / 365
        self.active = np.arange(len(days))

    def total_variance(
        self, k: npt.ArrayLike, expiry_years: npt.ArrayLike
    ) -> npt.NDArray[np.float64]:
        years = np.atleast_1d(np.asarray(expiry_years, dtype=np.float64)).tolist()
        clock = [event_years(self.snapshot_ts, T, self.weight) for T in years]
        return 0.25 * np.array(clock) + 0.0 * np.asarray(k)


@pytest.mark.parametrize("weight", [0.2, 0.45, 0.85, 1.0])
def test_daily_expiries_give_the_weight_back(weight: float) -> None:
    surfaces = [Weighted(FRIDAY + timedelta(hours=h), weight, (1, 2, 3, 4)) for h in (0, 5, 11)]
    estimate = estimate_weekend_weight(surfaces)
    assert estimate.surfaces == 3
    assert tuple(estimate[:3]) == pytest.approx((weight,) * 3)


def test_surfaces_that_cannot_tell_are_not_asked() -> None:
    weekly = Weighted(FRIDAY, 0.5, (7, 14, 21, 28))
    few = Weighted(FRIDAY, 0.5, (1, 2))
    midweek = Weighted(FRIDAY + timedelta(days=3), 0.5, (1, 2, 3))
    undated = Weighted(None, 0.5, (1, 2, 3, 4))
    estimate = estimate_weekend_weight([weekly, few, midweek, undated], horizon_days=30.0)
    assert estimate.surfaces == 0
    assert math.isnan(estimate.weight)


def test_variance_that_falls_everywhere_gives_no_weight() -> None:
    class Falling(Weighted):
        def total_variance(
            self, k: npt.ArrayLike, expiry_years: npt.ArrayLike
        ) -> npt.NDArray[np.float64]:
            return -super().total_variance(k, expiry_years)

    assert estimate_weekend_weight([Falling(FRIDAY, 0.5, (1, 2, 3, 4))]).surfaces == 0


def test_a_horizon_in_the_past_is_an_error() -> None:
    with pytest.raises(QuantError, match="horizon_days must be > 0, was -1"):
        estimate_weekend_weight([], horizon_days=-1.0)
