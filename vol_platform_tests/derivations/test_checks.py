"""Every check passes on a good board and fails on one that was made wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import polars as pl
import pytest

from vol_platform.derivations.contracts import Check, DerivationContext
from vol_platform.derivations.registry import REGISTRY, derive_all
from vol_platform_tests.derivations.boards import MOMENT, raw_frames

CONTEXT = DerivationContext()
MOMENTS = [MOMENT + timedelta(minutes=minute) for minute in range(3)]
Spoil = Callable[[dict[str, pl.DataFrame]], dict[str, pl.DataFrame]]


def replaced(name: str, **columns: pl.Expr) -> Spoil:
    """Give a spoiler that overwrites columns of a frame."""
    return lambda frames: frames | {name: frames[name].with_columns(**columns)}


def cut(name: str) -> Spoil:
    """Give a spoiler that drops the last row of a frame."""
    return lambda frames: frames | {name: frames[name].head(-1)}


def doubled_at(
    minute: int, *columns: str, only: pl.Expr | None = None, times: float = 2
) -> dict[str, pl.Expr]:
    """Give expressions that double columns (or more) at one minute of the board."""
    chosen = pl.col("snapshot_ts") == MOMENTS[minute]
    if only is not None:
        chosen &= only
    return {name: pl.when(chosen).then(pl.col(name) * times).otherwise(name) for name in columns}


def rejected_row(frame: pl.DataFrame, reason: str) -> pl.DataFrame:
    """Give one row for the rejected quotes."""
    row = dict.fromkeys(frame.columns) | {
        "snapshot_ts": MOMENTS[0],
        "currency": "BTC",
        "instrument_name": "BTC-1JAN27-1-C",
        "reason": reason,
        "detail": "",
    }
    return pl.DataFrame([row], schema=frame.schema)


SPOILED: dict[str, Spoil] = {
    "bid_not_above_ask": replaced("quotes_clean", bid_price=pl.col("ask_price") * 2),
    "every_row_accounted_for": cut("quotes_clean"),
    "every_quote_has_forward_and_index": cut("index"),
    "exchange_forward_within_parity": replaced("forward_curve", status=pl.lit("alarm")),
    "every_expiry_answered": cut("surfaces"),
    "butterfly_free": replaced("surfaces", butterfly_free=pl.lit(value=False)),
    "calendar_free": replaced("surfaces", calendar_free=pl.lit(value=False)),
    "wings_free": replaced("surfaces", wings_free=pl.lit(value=False)),
    "fit_error": replaced("surfaces", rmse=pl.lit(0.2)),
    "within_spread": replaced("surfaces", in_spread_share=pl.lit(0.5)),
    "grid_variance_increases": replaced(
        "surface_grid", total_variance=1 / pl.col("total_variance")
    ),
    "greeks_within_bounds": replaced("options_greeks", delta=pl.col("delta") * 3),
    "every_listed_option_priced": cut("options_greeks"),
    "atm_variance_increases": replaced(
        "term_structure", atm_total_variance=1 / pl.col("atm_total_variance")
    ),
    "agrees_with_term_structure": cut("term_structure"),
    "rates_plausible": replaced("interest_rates", zero_rate=pl.lit(4.3)),
    "grid_delta_is_its_axis": replaced("greeks_grid", delta=pl.col("delta") + 1e-3),
    "open_interest_adds_up": cut("options_greeks"),
    "positions_priced": replaced(
        "positions", instrument_name=pl.col("instrument_name") + "-EXPIRED"
    ),
    "extreme_volatility": replaced("quotes_clean", mark_iv=pl.lit(3.5)),
    "price_spikes": replaced("quotes_clean", **doubled_at(1, "bid_price", "ask_price", times=3)),
    "every_quote_has_instrument": lambda frames: (
        frames
        | {
            "quotes_rejected": frames["quotes_rejected"].vstack(
                rejected_row(frames["quotes_rejected"], "unknown_instrument")
            )
        }
    ),
    "put_call_parity": replaced(
        "quotes_clean", **doubled_at(0, "bid_price", "ask_price", only=pl.col("is_call"))
    ),
    "parameter_jumps": replaced("surfaces", **doubled_at(1, "atm_vol")),
    "enough_quotes_fresh": replaced("surfaces", completeness=pl.lit(0.3)),
    "index_between_expiries": replaced("variance_index", vol=pl.col("vol") * 2),
}

CHECKS = [check for derivation in REGISTRY for check in derivation.checks]


@pytest.fixture(scope="module")
def good() -> dict[str, pl.DataFrame]:
    """Give everything that is derived from three minutes of a good board."""
    return derive_all(raw_frames(MOMENTS), CONTEXT)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_good_board_passes(check: Check, good: dict[str, pl.DataFrame]) -> None:
    outcome = check.function({name: good[name] for name in check.inputs}, CONTEXT)
    assert outcome.passed, outcome
    assert outcome.examined > 0
    assert outcome.sample.is_empty()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_spoiled_board_fails_and_shows_a_sample(
    check: Check, good: dict[str, pl.DataFrame]
) -> None:
    spoiled = SPOILED[check.name](good)
    outcome = check.function({name: spoiled[name] for name in check.inputs}, CONTEXT)
    assert not outcome.passed
    assert outcome.failed > 0
    assert not outcome.sample.is_empty()


def test_the_names_of_checks_are_unique_and_described() -> None:
    names = [check.name for check in CHECKS]
    assert len(names) == len(set(names))
    assert all(check.description.endswith(".") for check in CHECKS)
