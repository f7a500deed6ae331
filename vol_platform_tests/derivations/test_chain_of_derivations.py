"""From a board of a known smile to forwards, surfaces, grid and greeks."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from vol_platform.derivations.contracts import INSTANT, DerivationContext, conform
from vol_platform.derivations.registry import RAW_FRAMES, REGISTRY, by_name, derive_all
from vol_platform.errors import DerivationError
from vol_platform.quant.surface import Surface
from vol_platform_tests.derivations.boards import (
    EXPIRIES,
    INDEX_PRICE,
    MOMENT,
    chain,
    forward_of,
    raw_frames,
    smile,
)

CONTEXT = DerivationContext()
SETTLING = MOMENT + timedelta(minutes=20)


@pytest.fixture(scope="module")
def derived() -> dict[str, pl.DataFrame]:
    """Give everything that is derived from one board."""
    return derive_all(raw_frames(), CONTEXT)


def test_every_derivation_follows_its_inputs() -> None:
    known = set(RAW_FRAMES)
    for derivation in REGISTRY:
        assert set(derivation.inputs) <= known
        known.add(derivation.name)


def test_forwards_are_recovered_from_parity_and_prior(derived: dict[str, pl.DataFrame]) -> None:
    curve = derived["forward_curve"]
    assert curve["expiry_ts"].to_list() == list(EXPIRIES)
    wanted = [forward_of(expiry) for expiry in EXPIRIES]
    assert np.allclose(curve["forward"].to_numpy(), wanted, rtol=1e-5)
    assert np.allclose(curve["basis_annualised"].to_numpy(), 0.05, atol=1e-3)
    assert (curve["pairs"] > 10).all()


def test_a_forward_needs_no_exchange_price_when_calls_and_puts_are_quoted() -> None:
    frames = raw_frames()
    frames["chain"] = frames["chain"].with_columns(underlying_price=pl.lit(None, pl.Float64))
    curve = derive_all(frames, CONTEXT, ["quotes_clean", "forward_curve"])["forward_curve"]
    wanted = [forward_of(expiry) for expiry in EXPIRIES]
    assert np.allclose(curve["forward"].to_numpy(), wanted, rtol=2e-3)


def test_the_surface_gives_back_the_smile_that_was_quoted(
    derived: dict[str, pl.DataFrame],
) -> None:
    surface = Surface.from_frame(derived["surfaces"])
    for expiry in EXPIRIES:
        years = (expiry - MOMENT) / timedelta(days=365)
        k = np.linspace(-1.5, 1.5, 21) * 0.45 * np.sqrt(years)
        found = surface.iv(expiry, forward_of(expiry) * np.exp(k))
        assert np.abs(found - smile(k, years)).max() < 0.005
    assert (derived["surfaces"]["status"] == "ok").all()
    assert (derived["surfaces"]["completeness"] == 1.0).all()


def test_every_listed_option_has_greeks_that_respect_parity(
    derived: dict[str, pl.DataFrame],
) -> None:
    greeks = derived["options_greeks"]
    assert greeks.height == derived["chain"].height
    assert (greeks["vol_source"] == "surface").all()
    key = ["expiry_ts", "strike"]
    pairs = greeks.filter("is_call").join(greeks.filter(~pl.col("is_call")), on=key)
    parity = pairs["price_usd"] - pairs["price_usd_right"] - (pairs["forward"] - pairs["strike"])
    assert parity.abs().max() < 1e-6  # type: ignore[operator]
    assert np.allclose(pairs["delta"] - pairs["delta_right"], 1.0)


def test_an_option_without_a_quote_is_priced_off_the_surface() -> None:
    frames = raw_frames()
    silent = pl.int_range(pl.len()) == 4
    quote = ["bid_price", "ask_price", "mark_price", "mark_iv", "exchange_ts", "age_seconds"]
    frames["chain"] = frames["chain"].with_columns(
        pl.when(silent).then(None).otherwise(name).alias(name) for name in quote
    )
    greeks = derive_all(frames, CONTEXT)["options_greeks"]
    name = frames["chain"]["instrument_name"][4]
    row = greeks.filter(instrument_name=name).row(0, named=True)
    assert row["vol_source"] == "surface"
    assert row["delta"] is not None


def test_the_grid_agrees_with_the_surface_and_stays_between_first_and_last_expiry(
    derived: dict[str, pl.DataFrame],
) -> None:
    grid = derived["surface_grid"]
    constant = grid.filter("is_constant_maturity")["expiry_years"].unique().sort() * 365
    assert constant.round(6).to_list() == [7, 14, 30, 60, 90]
    surface = Surface.from_frame(derived["surfaces"])
    for row in grid.filter(axis="delta").sample(8, seed=11).iter_rows(named=True):
        years = row["expiry_years"]
        assert surface.iv(years, row["strike"]) == pytest.approx(row["vol"], rel=1e-9)


def test_the_term_structure_is_the_smile_at_the_money(derived: dict[str, pl.DataFrame]) -> None:
    listed = derived["term_structure"].filter(~pl.col("is_constant_maturity"))
    wanted = [smile(np.zeros(1), (expiry - MOMENT) / timedelta(days=365))[0] for expiry in EXPIRIES]
    assert np.abs(listed["atm_vol"].to_numpy() - wanted).max() < 0.003
    variance = listed["atm_total_variance"].to_numpy()
    years = listed["expiry_years"].to_numpy()
    steps = np.sqrt(np.diff(variance, prepend=0.0) / np.diff(years, prepend=0.0))
    assert np.allclose(listed["forward_vol"].to_numpy(), steps)


def test_puts_dearer_than_calls_give_a_negative_risk_reversal(
    derived: dict[str, pl.DataFrame],
) -> None:
    skew = derived["skew_metrics"]
    assert skew.height == derived["term_structure"].height
    assert (skew["risk_reversal_25"] < 0).all()
    assert (skew["butterfly_25"] > 0).all()
    assert (skew["skew_slope"] < 0).all()
    grid = derived["surface_grid"].filter(axis="delta")
    for row in skew.iter_rows(named=True):
        at = grid.filter(pl.col("expiry_years") == row["expiry_years"])
        call, put = (at.filter(coordinate=delta)["vol"][0] for delta in (0.25, -0.25))
        assert row["risk_reversal_25"] == pytest.approx(call - put, abs=1e-9)


def test_an_expiry_in_its_settlement_window_leaves_the_surface_and_has_no_greeks() -> None:
    frames = derive_all(raw_frames(expiries=(SETTLING, *EXPIRIES)), CONTEXT)
    refused = frames["surfaces"].filter(status="refused").row(0, named=True)
    assert refused["expiry_ts"] == SETTLING
    assert "settlement: 1200 s to delivery" in refused["reason"]
    settling = frames["options_greeks"].filter(expiry_ts=SETTLING)
    assert settling.height > 0
    assert settling["delta"].null_count() == settling.height
    assert (settling["vol_source"] == "none").all()
    assert frames["quotes_rejected"]["reason"].unique().to_list() == ["settlement"]


def test_an_expiry_nobody_quotes_is_refused_and_priced_with_the_exchange_mark() -> None:
    frames = raw_frames()
    dark = pl.col("expiry_ts") == EXPIRIES[1]
    frames["chain"] = frames["chain"].with_columns(
        pl.when(dark).then(None).otherwise(name).alias(name) for name in ("bid_price", "ask_price")
    )
    derived = derive_all(frames, CONTEXT)
    refused = derived["surfaces"].filter(dark).row(0, named=True)
    assert (refused["status"], refused["reason"]) == ("refused", "no usable quote")
    assert (derived["options_greeks"].filter(dark)["vol_source"] == "exchange").all()


def test_an_empty_hour_gives_empty_frames_of_the_right_shape() -> None:
    empty = {name: frame.clear() for name, frame in raw_frames().items()}
    derived = derive_all(empty, CONTEXT)
    for derivation in REGISTRY:
        assert derived[derivation.name].is_empty()
        assert derived[derivation.name].schema == pl.Schema(derivation.columns)


def test_hours_give_the_same_rows_alone_and_together() -> None:
    first = [MOMENT + timedelta(minutes=minute) for minute in (57, 58, 59)]
    second = [MOMENT + timedelta(hours=1, minutes=minute) for minute in (0, 1)]

    raw = raw_frames(first + second, move=0.001)

    def derive(moments: list[datetime]) -> dict[str, pl.DataFrame]:
        chosen = pl.col("snapshot_ts").is_in(pl.Series(moments, dtype=INSTANT).implode())
        timed = {
            name: frame.filter(chosen) if "snapshot_ts" in frame.columns else frame
            for name, frame in raw.items()
        }
        return derive_all(timed, CONTEXT)

    together, apart = derive(first + second), [derive(first), derive(second)]
    for derivation in REGISTRY:
        name = derivation.name
        joined = conform(
            pl.concat([part[name] for part in apart]), derivation.columns, derivation.key
        )
        assert together[name].equals(joined), name


def test_deriving_twice_gives_equal_frames(derived: dict[str, pl.DataFrame]) -> None:
    again = derive_all(raw_frames(), CONTEXT)
    assert all(derived[one.name].equals(again[one.name]) for one in REGISTRY)


def test_a_live_caller_may_start_from_the_surface_before() -> None:
    cold = derive_all(raw_frames(), CONTEXT)
    previous = {"BTC": Surface.from_frame(cold["surfaces"])}
    later = [MOMENT + timedelta(minutes=1)]
    warm = derive_all(raw_frames(later), DerivationContext(previous_surfaces=previous))
    difference = (warm["surfaces"]["atm_vol"] - cold["surfaces"]["atm_vol"]).abs().max()
    assert difference < 0.005  # type: ignore[operator]


def test_markets_do_not_mix() -> None:
    frames = raw_frames()
    other = chain(currency="ETH", width_vol=0.02)
    frames["chain"] = pl.concat([frames["chain"], other])
    both = derive_all(frames, CONTEXT)
    alone = derive_all(raw_frames(), CONTEXT)
    bitcoin = both["surfaces"].filter(currency="BTC")
    assert bitcoin.equals(alone["surfaces"])
    assert both["forward_curve"].filter(currency="ETH")["index_price"].null_count() == 3


def test_a_missing_input_is_named() -> None:
    with pytest.raises(DerivationError, match=r"forward_curve needs the frames \['quotes_clean'\]"):
        by_name("forward_curve").derive(raw_frames(), CONTEXT)


def test_a_key_twice_is_refused(derived: dict[str, pl.DataFrame]) -> None:
    frames = raw_frames()
    frames["chain"] = pl.concat([frames["chain"], frames["chain"].head(1)])
    with pytest.raises(DerivationError, match="quotes_clean returned the key"):
        derive_all(frames, CONTEXT)


def test_an_unknown_derivation_is_named_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="no derivation 'quotes'; there are"):
        by_name("quotes")


def test_the_index_price_is_on_the_curve(derived: dict[str, pl.DataFrame]) -> None:
    assert (derived["forward_curve"]["index_price"] == INDEX_PRICE).all()
