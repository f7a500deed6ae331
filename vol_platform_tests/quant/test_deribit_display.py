"""Deribit's displayed greeks, reproduced on every recorded ticker frame."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from vol_platform.quant.deribit_display import displayed_greeks, displayed_years
from vol_platform_tests.quant.recorded import option_of, recorded_order_books, recorded_tickers

COLUMNS = ("delta", "gamma", "vega", "theta", "rho")
HALF_DIGIT = 0.51e-5
MARK_IV_DIGIT = 0.51e-4  # of the decimal volatility: the wire rounds to 0.01 %
PREMIUM_DIGIT = 0.51e-6  # of the mark, in coin; older frames carry two digits more


def explain(frame: dict[str, Any]) -> str:
    """Say how the displayed greeks of one frame are reproduced.

    `exact`: five numbers to the printed digits with a volatility inside the rounding of mark_iv.
    `moved`: the same after moving the underlying by less than one basis point and mark_iv by less
    than 0.05 points, the fields being of slightly different instants.  `cap`: likewise but for
    theta, which is a mark of another instant.  `unexplained` otherwise.
    """
    seconds, strike, is_call, inverse = option_of(frame)
    if seconds <= 0.0:
        return "expired"
    underlying, mark_iv = frame["underlying_price"], frame["mark_iv"] / 100.0
    mark = frame["mark_price"] * (underlying if inverse else 1.0)
    shown = np.array([frame["greeks"][name] for name in COLUMNS])

    def misses(years: float, vol: float, move: float = 0.0) -> np.ndarray:
        ours = displayed_greeks(
            underlying * (1.0 + 1e-4 * move), strike, years, vol, is_call, mark, decimals=None
        )
        allowed = np.full(5, HALF_DIGIT)
        digit = PREMIUM_DIGIT * underlying if inverse else HALF_DIGIT
        if -float(ours.theta) >= mark - digit:  # capped by a mark that is itself rounded
            allowed[3] += digit
        return (np.array([float(value) for value in ours]) - shown) / allowed

    def best(years: float, use: list[int], unknowns: int) -> float:
        """Worst miss left after fitting the volatility, or volatility and underlying."""

        def free(p: np.ndarray) -> np.ndarray:
            move = p[1] if unknowns == 2 else 0.0
            return misses(years, mark_iv + p[0] * MARK_IV_DIGIT, move)[use]

        found = least_squares(free, np.zeros(unknowns), x_scale=0.1, method="lm").x
        clipped = np.clip(found, *(((-1.0,), (1.0,)) if unknowns == 1 else ((-10, -1), (10, 1))))
        return float(np.max(np.abs(free(clipped))))

    # the clock of the display is cut to the minute; a frame on the border may carry either
    minutes = (displayed_years(seconds), displayed_years(seconds - 60.0))
    everything, not_theta = [0, 1, 2, 3, 4], [0, 1, 2, 4]
    for verdict, use, unknowns in (
        ("exact", everything, 1), ("moved", everything, 2), ("cap", not_theta, 2),
    ):  # fmt: skip
        for years in minutes:
            if best(float(years), use, unknowns) <= (1.0 if unknowns == 1 else 1.25):
                if verdict == "cap" and abs(-shown[3] / mark - 1.0) > 0.01:
                    continue
                return verdict
    return "unexplained"


def test_every_recorded_frame_shows_the_greeks_we_compute(real_data: Path) -> None:
    counts: Counter[str] = Counter()
    unexplained = []
    for frame in recorded_tickers(real_data):
        verdict = explain(frame)
        counts[verdict] += 1
        if verdict == "unexplained":
            unexplained.append((frame["instrument_name"], frame["timestamp"], frame["greeks"]))
    print(dict(counts))  # noqa: T201 - the figure of docs/method.md
    assert sum(counts.values()) > 180
    assert counts["exact"] >= 0.85 * sum(counts.values())
    assert not unexplained


@pytest.mark.slow
def test_a_board_of_order_books_shows_the_greeks_we_compute(real_data: Path) -> None:
    counts = Counter(explain(frame) for frame in recorded_order_books(real_data))
    print(dict(counts))  # noqa: T201 - the figure of docs/method.md
    assert sum(counts.values()) == 326
    assert counts["exact"] >= 290
    assert counts["unexplained"] <= 1


def test_the_time_of_the_display_is_in_whole_minutes() -> None:
    assert displayed_years([3_600.0, 3_599.0, 3_541.0, 3_540.0]) * 525_600.0 == pytest.approx(
        [60, 60, 60, 59]
    )


def test_theta_is_one_day_or_the_life_left_and_never_more_than_the_mark() -> None:
    far = displayed_greeks(60_000.0, 60_000.0, 30 / 365, 0.5, True, decimals=None)
    near = displayed_greeks(60_000.0, 60_000.0, 0.25 / 365, 0.5, True, decimals=None)
    wing = displayed_greeks(60_000.0, 62_000.0, 0.25 / 365, 0.5, True, 3.21, decimals=None)
    assert float(far.theta) == pytest.approx(
        -60_000 * 0.3975 * 0.5 / 2 / (30 / 365) ** 0.5 / 365, rel=1e-2
    )
    day_rate = 60_000 * 0.3989 * 0.5 / 2 / (0.25 / 365) ** 0.5 / 365
    assert float(near.theta) == pytest.approx(-0.25 * day_rate, rel=1e-2)
    assert float(wing.theta) == -3.21


def test_values_are_rounded_as_on_the_wire() -> None:
    shown = displayed_greeks(60_000.0, 200_000.0, 1 / 365, 0.4, True)
    assert [float(value) for value in shown[:3]] == [0.0, 0.0, 0.0]
    assert float(displayed_greeks(60_000.0, 61_000.0, 0.1, 0.5, True).delta * 1e5).is_integer()
