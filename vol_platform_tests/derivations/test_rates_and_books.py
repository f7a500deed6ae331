"""Interest rates, portfolios, sums by expiry, the grid of greeks and our volatility index."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from vol_platform.derivations.contracts import POSITIONS_COLUMNS, DerivationContext
from vol_platform.derivations.greeks.portfolio import portfolio_greeks
from vol_platform.derivations.metrics.variance import variance_index
from vol_platform.derivations.rates.curve import interest_rates
from vol_platform.derivations.registry import derive_all
from vol_platform.quant.surface import Surface
from vol_platform_tests.derivations.boards import EXPIRIES, MOMENT, raw_frames

CONTEXT = DerivationContext()


@pytest.fixture(scope="module")
def derived() -> dict[str, pl.DataFrame]:
    """Give everything that is derived from one board."""
    return derive_all(raw_frames(), CONTEXT)


def curve(kind: str, rate: float, day: date = date(2026, 2, 3)) -> pl.DataFrame:
    return pl.DataFrame(
        {"curve_date": [day], "maturity_years": [0.5], "quote": [rate], "kind": [kind]}
    )


def test_without_a_curve_the_rate_is_zero(derived: dict[str, pl.DataFrame]) -> None:
    found = interest_rates(derived | {"rates": derived["rates"].clear()}, CONTEXT)
    assert found["zero_rate"].to_list() == [0.0] * len(EXPIRIES)
    assert found["discount_factor"].to_list() == [1.0] * len(EXPIRIES)
    assert found["rate_source"].unique().to_list() == ["default"]
    assert found["curve_date"].null_count() == found.height


def test_a_curve_is_known_from_the_day_after_its_date(derived: dict[str, pl.DataFrame]) -> None:
    today = curve("zero", 0.05, MOMENT.date())
    yesterday = curve("zero", 0.03, MOMENT.date() - timedelta(days=1))
    found = interest_rates(derived | {"rates": pl.concat([today, yesterday])}, CONTEXT)
    assert np.allclose(found["zero_rate"], 0.03)
    assert np.allclose(found["discount_factor"], np.exp(-0.03 * found["expiry_years"].to_numpy()))


def test_a_curve_made_by_hand_is_preferred(derived: dict[str, pl.DataFrame]) -> None:
    both = pl.concat([curve("treasury", 0.04), curve("zero", 0.01), curve("sofr", 0.05)])
    found = interest_rates(derived | {"rates": both}, CONTEXT)
    assert found["rate_source"].unique().to_list() == ["zero"]
    par = interest_rates(derived | {"rates": curve("treasury", 0.04)}, CONTEXT)
    assert np.allclose(par["zero_rate"], 2 * np.log(1.02))  # half a year, one coupon


def test_a_book_is_the_sum_of_its_options(derived: dict[str, pl.DataFrame]) -> None:
    book = derived["portfolio_greeks"].row(0, named=True)
    names = derived["positions"]["instrument_name"]
    held = derived["options_greeks"].filter(pl.col("instrument_name").is_in(names.implode()))
    assert book["held"] == held.height == 2
    assert book["vega"] == pytest.approx(-2.0 * held["vega"].sum())
    assert book["value_usd"] == pytest.approx(-2.0 * held["price_usd"].sum())


def test_a_new_file_replaces_the_portfolio_from_its_instant_on(
    derived: dict[str, pl.DataFrame],
) -> None:
    name = derived["chain"]["instrument_name"][0]
    rows = [
        ("book", MOMENT - timedelta(hours=1), name, 5.0),
        ("book", MOMENT, "", 0.0),
        ("other", MOMENT + timedelta(minutes=1), name, 1.0),
    ]
    positions = pl.DataFrame(rows, schema=dict(POSITIONS_COLUMNS), orient="row")
    assert portfolio_greeks(derived | {"positions": positions}, CONTEXT).is_empty()
    before = portfolio_greeks(derived | {"positions": positions.head(1)}, CONTEXT)
    assert before["quantity"].to_list() == [5.0]


def test_open_interest_weights_the_greeks_of_an_expiry(derived: dict[str, pl.DataFrame]) -> None:
    row = derived["greeks_by_expiry"].row(1, named=True)
    options = derived["options_greeks"].filter(pl.col("expiry_ts") == row["expiry_ts"])
    assert row["gamma"] == pytest.approx((options["open_interest"] * options["gamma"]).sum())
    assert row["call_open_interest"] == row["put_open_interest"] == 230.0
    assert row["gamma_usd_per_percent"] == pytest.approx(row["gamma"] * row["forward"] ** 2 / 100)


def test_the_grid_of_greeks_has_the_deltas_of_its_axis(derived: dict[str, pl.DataFrame]) -> None:
    grid = derived["greeks_grid"]
    assert grid["days"].unique().sort().to_list() == [7, 14, 30, 60, 90]
    at = grid.filter(pl.col("axis") == "delta", pl.col("days") == 30)
    assert np.allclose(at["delta"], at["coordinate"], atol=1e-7)
    assert (at["is_call"] == (at["coordinate"] > 0)).all()


def test_the_index_is_above_the_money_when_the_smile_is_curved(
    derived: dict[str, pl.DataFrame],
) -> None:
    found = variance_index(derived, CONTEXT).row(0, named=True)
    surface = Surface.from_frame(derived["surfaces"])
    at_money = float(surface.iv(30 / 365, surface.forward(30 / 365)))
    assert at_money < found["vol"] < 1.3 * at_money
    assert found["near_expiry_years"] < 30 / 365 < found["far_expiry_years"]
    assert not found["is_extrapolated"]
