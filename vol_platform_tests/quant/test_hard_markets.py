"""Markets that were not recorded: crashes, torn boards, other coins, minutes before settlement.

A few of each here; `vol_platform_tests.benchmarks.stress` runs thousands and gives the figures.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polars as pl
import pytest

from vol_platform.quant import arbitrage
from vol_platform.quant.surface import Board, Surface, calibrate
from vol_platform.quant.validation import BoardReport, pool, validate_board
from vol_platform_tests.quant.hard_markets import MARKETS, hard_frame, simulated_rows

CURRENCIES = ("BTC", "ETH", "BTC_USDC", "SOL_USDC")


@lru_cache(maxsize=4)
def rows_of(currency: str) -> pl.DataFrame:
    return simulated_rows(CURRENCIES.index(currency) + 11, currency)


def judged(market: str, currency: str, seed: int, previous: Surface | None = None) -> BoardReport:
    board = Board.from_frame(hard_frame(rows_of(currency), market, seed))
    surface = calibrate(board, previous=previous)
    report = validate_board(board, surface)
    assert report.violations == 0, f"{market} {currency} seed {seed}"
    assert np.isfinite(surface.rows).all()
    for item in surface.report:
        assert bool(item.reason) == (item.status != "ok")
        if item.row is not None:
            assert np.isfinite([*item.jw, item.atm_vol, item.vol_error]).all()
    return report


@pytest.mark.parametrize("currency", CURRENCIES)
@pytest.mark.parametrize("market", MARKETS)
def test_a_hard_market_has_a_free_surface_cold_and_warm(market: str, currency: str) -> None:
    judged(market, currency, seed=5)
    earlier = calibrate(Board.from_frame(hard_frame(rows_of(currency), "as_it_is", 0)))
    judged(market, currency, seed=6, previous=earlier)


@pytest.mark.parametrize(
    "market",
    ["as_it_is", "linear", "another_coin", "minutes_to_settlement", "one_sided"],
)
def test_what_is_still_a_market_is_met_as_well_as_the_recorded_ones(market: str) -> None:
    figures = pool([judged(market, currency, seed=7) for currency in CURRENCIES])
    assert figures["in_spread_pooled"] >= 0.97
    assert figures["retained_pooled"] >= 0.95
    assert figures["repaired_slices"] == 0


def test_a_crash_is_met_although_its_quotes_say_nothing_about_the_wings() -> None:
    reports = [judged("a_crash", currency, seed) for currency in CURRENCIES for seed in (7, 8)]
    figures = pool(reports)
    assert figures["in_spread_pooled"] >= 0.97
    assert figures["in_spread_worst"] >= 0.92
    assert figures["retained_pooled"] >= 0.95


def test_a_board_of_handfuls_is_met_by_the_shape_that_its_quotes_have_in_common() -> None:
    reports = [judged("a_handful_each", currency, s) for currency in CURRENCIES for s in range(4)]
    assert pool(reports)["in_spread_pooled"] >= 0.9


@pytest.mark.parametrize("factor", [1e-6, 0.013, 700.0])
@pytest.mark.parametrize("currency", ["BTC", "BTC_USDC"])
def test_a_surface_does_not_depend_on_what_a_coin_costs(currency: str, factor: float) -> None:
    frame = hard_frame(rows_of(currency), "as_it_is", 0)
    money = ["strike", "forward"]
    if not frame["is_inverse"][0]:
        money += ["bid_price", "ask_price", "tick_size"]
    scaled = frame.with_columns(pl.col(name) * factor for name in money)
    ours = calibrate(Board.from_frame(frame))
    theirs = calibrate(Board.from_frame(scaled))
    k, years = np.linspace(-0.3, 0.3, 13), ours.expiry_years[ours.active][:, None]
    expected = np.sqrt(ours.total_variance(k, years) / years)
    found = np.sqrt(theirs.total_variance(k, years) / years)
    assert found == pytest.approx(expected, rel=5e-3)
    assert arbitrage.check(theirs).is_free


def test_a_spread_may_be_as_wide_as_half_the_volatility_when_that_is_high() -> None:
    rows = rows_of("BTC")

    def retained(level: float, spread: float) -> float:
        from vol_platform.quant import black76

        frame = hard_frame(rows, "as_it_is", 0)
        at = [frame[name].to_numpy() for name in ("forward", "strike", "expiry_years", "is_call")]
        low, high = (
            black76.price_coin(*at[:3], level + side * spread / 2, at[3]) for side in (-1, 1)
        )
        frame = frame.with_columns(pl.Series("bid_price", low), pl.Series("ask_price", high))
        board = Board.from_frame(frame.with_columns(pl.lit("two_sided").alias("usage")))
        quotes = board.fit_quotes
        return float((quotes.kind == 0).sum() / quotes.eligible.sum())

    assert retained(2.0, 0.9) > 0.99
    assert retained(2.0, 1.1) == 0.0
    assert retained(0.6, 0.45) > 0.99
    assert retained(0.6, 0.55) == 0.0
