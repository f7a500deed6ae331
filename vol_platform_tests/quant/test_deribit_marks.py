"""Deribit's marks are Black-76 prices of the displayed volatility, to the printed digits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

from vol_platform.quant import black76
from vol_platform.quant.deribit_display import displayed_years
from vol_platform_tests.quant.recorded import (
    option_of,
    recorded_book_summaries,
    recorded_tickers,
)

MARK_IV_DIGIT = 0.51e-4  # decimal: the wire rounds to 0.01 %
COIN_DIGIT = 0.51e-6
USD_DIGIT = 0.51e-4


def explain(frame: dict[str, Any]) -> str:
    """Say how far the underlying must move for the mark to be the price of the volatility.

    `exact`: not at all, the volatility being anywhere inside the rounding of mark_iv.  Else the
    smallest of 0.1, 1 and 5 basis points that does: the fields are of slightly different instants.
    """
    seconds, strike, is_call, inverse = option_of(frame)
    if seconds <= 0.0:
        return "expired"
    underlying, vol, mark = frame["underlying_price"], frame["mark_iv"] / 100, frame["mark_price"]
    digit = COIN_DIGIT if inverse else USD_DIGIT
    for verdict, move in (("exact", 0.0), ("0.1 bp", 1e-5), ("1 bp", 1e-4), ("5 bp", 5e-4)):
        # the clock of the exchange is cut to the minute; on the border it may be either
        for years in displayed_years([seconds, seconds - 60.0]):
            prices = []
            for shift, error in product((-move, move), (-MARK_IV_DIGIT, MARK_IV_DIGIT)):
                forward = underlying * (1.0 + shift)
                value = float(black76.price(forward, strike, years, vol + error, is_call))
                prices.append(value / forward if inverse else value)
            if min(prices) - digit <= mark <= max(prices) + digit:
                return verdict
    return "unexplained"


def counted(frames: Iterable[dict[str, Any]]) -> Counter[str]:
    counts = Counter(explain(frame) for frame in frames)
    print(dict(counts))  # noqa: T201 - the figure of docs/method.md
    return counts


def test_every_recorded_frame_shows_the_mark_we_compute(real_data: Path) -> None:
    counts = counted(recorded_tickers(real_data))
    assert sum(counts.values()) > 180
    assert counts["unexplained"] == 0
    assert counts["exact"] >= 120
    assert counts["5 bp"] <= 2


def test_every_mark_of_a_simultaneous_board_is_ours(real_data: Path) -> None:
    counts = counted(recorded_book_summaries(real_data))
    assert sum(counts.values()) == 746
    assert set(counts) <= {"exact", "0.1 bp", "1 bp"}
    assert counts["exact"] >= 560
