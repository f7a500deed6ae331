"""Realised volatility and regimes over a made-up history, and the checks on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from vol_platform.derivations.contracts import INSTANT, DerivationContext
from vol_platform.derivations.history.registry import HISTORY

CONTEXT = DerivationContext()
START = datetime(2026, 1, 1, tzinfo=UTC)
SEED = 20261122
SPOILED_HISTORY = {
    "realised_volatility": {"realised_vol": pl.lit(0.0)},
    "volatility_regimes": {"regime": pl.lit("low")},
}


def history(days: int = 40, vol: float = 0.5) -> dict[str, pl.DataFrame]:
    """Give five-minute bars of a random walk of known volatility, and rising implied volatility."""
    rng = np.random.default_rng(SEED)
    steps = rng.standard_normal(days * 288 * 4) * vol * np.sqrt(75 / (365 * 86400))
    price = 75_000 * np.exp(np.cumsum(steps)).reshape(-1, 4)
    opened = np.concatenate([[75_000.0], price[:-1, 3]])
    bars = pl.DataFrame(
        {
            "bar_ts": [START + timedelta(minutes=5 * at) for at in range(price.shape[0])],
            "open": opened,
            "high": np.maximum(price.max(axis=1), opened),
            "low": np.minimum(price.min(axis=1), opened),
            "close": price[:, 3],
        },
        schema_overrides={"bar_ts": INSTANT},
    ).with_columns(currency=pl.lit("BTC"))
    hours = [START + timedelta(hours=at) for at in range(days * 24)]
    implied = pl.DataFrame(
        {"snapshot_ts": hours, "atm_vol": np.linspace(0.4, 0.6, len(hours))},
        schema_overrides={"snapshot_ts": INSTANT},
    ).with_columns(currency=pl.lit("BTC"), days=pl.lit(30.0))
    return {"index_bars": bars, "atm_history": implied}


@pytest.fixture(scope="module")
def derived() -> dict[str, pl.DataFrame]:
    """Give the history and what is derived from it."""
    frames = history()
    return frames | {one.name: one.derive(frames, CONTEXT) for one in HISTORY}


def test_the_volatility_of_a_random_walk_is_found(derived: dict[str, pl.DataFrame]) -> None:
    month = derived["realised_volatility"].filter(pl.col("window_days") == 30)
    last = month.row(-1, named=True)
    assert last["realised_vol"] == pytest.approx(0.5, rel=0.03), SEED
    assert last["parkinson_vol"] == pytest.approx(0.5, rel=0.15), SEED
    assert last["garman_klass_vol"] == pytest.approx(0.5, rel=0.15), SEED
    assert last["atm_vol"] is None or 0.4 <= last["atm_vol"] <= 0.6
    assert (month["snapshot_ts"].dt.minute() == 0).all()


def test_a_window_with_a_hole_has_no_value() -> None:
    frames = history(days=4)
    hole = pl.col("bar_ts").is_between(START + timedelta(days=1), START + timedelta(days=1.5))
    frames["index_bars"] = frames["index_bars"].filter(~hole)
    found = HISTORY[0].derive(frames, CONTEXT).filter(pl.col("window_days") == 1)
    times = set(found["snapshot_ts"])
    assert START + timedelta(days=1) in times
    assert START + timedelta(days=1.5) not in times
    assert START + timedelta(days=2.5) in times


def test_a_rising_volatility_is_a_high_regime(derived: dict[str, pl.DataFrame]) -> None:
    rows = derived["volatility_regimes"].filter(pl.col("window_days") == 90)
    known = rows.filter(pl.col("regime") != "unknown")
    assert known["snapshot_ts"].min() == START + timedelta(days=30)
    assert known["regime"].unique().to_list() == ["high"]
    assert (known["iv_rank"] == 100.0).all()


def test_without_history_there_are_no_rows() -> None:
    empty = {name: frame.clear() for name, frame in history(days=1).items()}
    assert all(one.derive(empty, CONTEXT).is_empty() for one in HISTORY)


def test_each_check_passes_on_good_rows_and_fails_on_spoiled_ones(
    derived: dict[str, pl.DataFrame],
) -> None:
    for one in HISTORY:
        frames = derived | {one.name: derived[one.name].with_columns(**SPOILED_HISTORY[one.name])}
        for check in one.checks:
            assert check.function(derived, CONTEXT).passed, check.name
            outcome = check.function(frames, CONTEXT)
            assert not outcome.passed, check.name
            assert not outcome.sample.is_empty()
