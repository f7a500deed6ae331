"""The market is a pure function of seed and time."""

import numpy as np
import pytest

from vol_platform.errors import SettingsError
from vol_platform.simulator import Market
from vol_platform_tests.simulator.conftest import START_MS

_DAY_MS = 86_400_000


def test_the_market_at_a_moment_does_not_depend_on_how_it_was_asked() -> None:
    times = START_MS + np.arange(0, 5_000_000, 37_003, dtype=np.int64)
    together = Market(7).index_price(times)
    alone = [float(Market(7).index_price(int(moment))[0]) for moment in times[::-1]]
    assert alone[::-1] == together.tolist()
    surface = Market(7).surface(times)
    late = Market(7).surface(int(times[-1]))
    np.testing.assert_allclose(late.rho, surface.rho[-1:], rtol=1e-12)


def test_seeds_and_currencies_are_different_markets() -> None:
    times = START_MS + np.arange(100, dtype=np.int64) * 60_000
    paths = [Market(1).index_price(times), Market(2).index_price(times)]
    paths.append(Market(1, "ETH").index_price(times))
    returns = [np.diff(np.log(path)) for path in paths]
    assert np.abs(np.corrcoef(returns) - np.eye(3)).max() < 0.5
    assert not np.array_equal(paths[0], paths[1])


def test_the_index_moves_like_its_volatility_and_does_not_run_away() -> None:
    hours = START_MS + np.arange(-10_000, 10_000, dtype=np.int64) * 3_600_000
    market = Market(7)
    price = market.index_price(hours)
    realised = np.median(np.abs(np.diff(np.log(price)))) / 0.6745 * np.sqrt(24 * 365)
    assert 0.3 < realised < 0.6
    anchor = market.specification.anchor_price
    assert price.min() > 0.4 * anchor
    assert price.max() < 2.5 * anchor


def test_jumps_are_rare_and_lift_short_volatility() -> None:
    minutes = START_MS + np.arange(0, 40_000, dtype=np.int64) * 60_000
    market = Market(7)
    moves = np.abs(np.diff(np.log(market.index_price(minutes))))
    jumps = np.flatnonzero(moves > 0.01)
    assert 1 <= jumps.size <= 30
    short = np.sqrt(market.surface(minutes).short_variance)
    largest = int(np.argmax(moves))
    assert short[largest + 1] > 1.02 * short[largest]


def test_true_volatility_is_the_surface_at_the_options_moneyness_and_time() -> None:
    market = Market(7)
    expiry_ms = START_MS + 30 * _DAY_MS
    forward, strike = 80_000.0, np.array([60_000.0, 80_000.0, 110_000.0])
    truth = market.true_volatility(START_MS, forward, strike, expiry_ms)
    surface = market.surface(START_MS)
    np.testing.assert_allclose(truth, surface.volatility(np.log(strike / forward), 30 / 365))
    at_the_money = np.sqrt(surface.atm_total_variance(30 / 365) / (30 / 365))
    assert truth[1] == pytest.approx(float(at_the_money[0]), rel=1e-12)


def test_the_estimated_delivery_price_becomes_the_average_of_the_last_half_hour() -> None:
    market = Market(7)
    expiry_ms = START_MS - START_MS % _DAY_MS + 8 * 3_600_000
    window = expiry_ms - 1_800_000 + 10_000 * np.arange(180)
    index = market.index_price(window)
    final = market.settlement_average(expiry_ms, expiry_ms)
    assert final == pytest.approx(index.mean(), abs=0.011)
    before = market.settlement_average(expiry_ms, expiry_ms - 1_800_000)
    assert before == index[0]
    midway = market.settlement_average(expiry_ms, expiry_ms - 900_000)
    now = float(market.index_price(expiry_ms - 900_000)[0])
    assert midway == pytest.approx((index[:90].sum() + 90 * now) / 180, abs=0.011)


def test_an_unknown_currency_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="BTC, ETH, BTC_USDC, SOL_USDC, was 'DOGE'"):
        Market(7, "DOGE")
