"""What is drawn is the surface itself and the quotes it was fitted to."""

import numpy as np
import polars as pl

from vol_platform.plots.labels import delta_label, expiry_label, headline
from vol_platform.plots.slices import DELTAS, quote_bars, slices
from vol_platform.quant.surface import Surface
from vol_platform_tests.plots.conftest import FORWARD, SNAPSHOT


def test_a_slice_gives_the_volatilities_of_the_surface(drawn):
    surface = Surface.from_frame(drawn.surface)
    fitted = [part for part in slices(drawn.surface) if part.is_fitted]
    assert len(fitted) == 3
    for part in fitted:
        strikes = FORWARD * np.exp(np.array([-0.2, 0.0, 0.3]))
        expected = surface.iv(part.expiry_ts, strikes)
        np.testing.assert_allclose(part.vol(np.log(strikes / FORWARD)), expected, rtol=1e-12)


def test_an_expiry_without_fit_has_no_volatility_and_keeps_its_reason(drawn):
    (refused,) = [part for part in slices(drawn.surface) if not part.is_fitted]
    assert refused.reason
    assert np.isnan(refused.vol(np.zeros(3))).all()
    assert np.isnan(refused.vol_at_deltas(DELTAS)).all()


def test_columns_of_the_heat_map_run_from_puts_over_the_money_to_calls(drawn):
    part = slices(drawn.surface)[0]
    vols = part.vol_at_deltas(DELTAS)
    assert np.isfinite(vols).all()
    middle = DELTAS.index(0.5)
    assert abs(vols[middle] - part.atm_vol) < 1e-12
    assert (np.diff(vols[: middle + 1]) < 0).all(), "a symmetric smile falls towards the money"
    assert (np.diff(vols[middle:]) > 0).all()


def test_bars_are_the_volatilities_of_out_of_the_money_bids_and_asks(drawn):
    part = slices(drawn.surface)[0]
    bars = quote_bars(drawn.quotes, part)
    assert (np.diff(bars.k) > 0).all(), "one quote a strike, in order"
    true = 0.4 + 0.3 * bars.k**2
    np.testing.assert_allclose(bars.bid_vol, true - 0.005, atol=1e-9)
    np.testing.assert_allclose(bars.ask_vol, true + 0.005, atol=1e-9)


def test_prices_in_usd_and_in_coin_give_the_same_bars(drawn):
    linear = drawn.quotes.with_columns(
        bid_price=pl.col("bid_price") * FORWARD,
        ask_price=pl.col("ask_price") * FORWARD,
        is_inverse=pl.lit(value=False),
    )
    part = slices(drawn.surface)[0]
    ours, theirs = quote_bars(drawn.quotes, part), quote_bars(linear, part)
    np.testing.assert_allclose(ours.bid_vol, theirs.bid_vol, rtol=1e-9)


def test_without_quotes_there_are_no_bars(drawn):
    part = slices(drawn.surface)[0]
    assert quote_bars(None, part).k.size == 0


def test_labels_are_those_of_the_exchange_and_of_traders():
    assert expiry_label(SNAPSHOT.replace(day=5)) == "5JUN26"
    assert [delta_label(delta) for delta in DELTAS[3:7]] == ["25P", "35P", "ATM", "35C"]
    assert headline("smiles", "BTC", SNAPSHOT) == "BTC smiles · 2026-06-02 08:03:00 UTC"
