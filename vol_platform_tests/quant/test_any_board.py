"""Any board at all gives a surface free of arbitrage by every check, or refusals with a reason."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from vol_platform.quant import arbitrage, cleaning
from vol_platform.quant.surface import Board, Surface, calibrate
from vol_platform.quant.validation import validate_board
from vol_platform_tests.quant.boards import SNAPSHOT, synthetic_frame

DAYS = (95 / 86_400, 0.1, 0.7, 2.0, 9.0, 30.0, 80.0, 260.0)
ANY = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def insist(frame: pl.DataFrame, previous: Surface | None = None) -> Surface:
    """Calibrate: no violation, finite parameters, a reason for all that is not ok."""
    board = Board.from_frame(frame)
    surface = calibrate(board, previous=previous)
    assert arbitrage.check(surface).is_free
    assert validate_board(board, surface).violations == 0
    assert np.isfinite(surface.rows).all()
    for item in surface.report:
        assert bool(item.reason) == (item.status != "ok")
        assert (item.status == "refused") == (item.row is None)
        if item.row is not None:
            raw = item.raw
            if item.row[6] == 0.0:  # a plain hyperbola: the second verdict must agree
                assert arbitrage.butterfly_domain(*raw).is_free
    return surface


@st.composite
def boards(draw: st.DrawFn) -> pl.DataFrame:
    """Draw one to five expiries of any length, each mistreated in one of many ways."""
    seed = draw(st.integers(0, 2**32 - 1))
    note(f"seed {seed}")
    generator = np.random.default_rng(seed)
    parts = []
    for day in sorted(draw(st.sets(st.sampled_from(DAYS), min_size=1, max_size=5))):
        part = synthetic_frame(
            (day,),
            strikes=draw(st.integers(1, 25)),
            noise=draw(st.sampled_from([0.0, 0.9, 3.0])),
            half_spread_vol=draw(st.sampled_from([0.002, 0.01, 0.05])),
            seed=seed % 10_000,
        )
        ill = draw(
            st.sampled_from(
                [
                    "none",
                    "few",
                    "puts",
                    "calls",
                    "missing",
                    "torn",
                    "wild",
                    "crossed",
                    "bids",
                    "asks",
                ]
            )
        )
        parts.append(mistreated(part, ill, generator))
    frame = pl.concat(parts)
    age = generator.exponential(10.0, frame.height)
    columns = ("bid_price", "ask_price", "tick_size", "age_seconds", "expiry_years")
    frame = frame.with_columns(pl.Series("age_seconds", age))
    usage = cleaning.classify(*(frame[name].to_numpy() for name in columns)).usage
    return frame.with_columns(pl.Series("usage", usage, dtype=pl.String))


def mistreated(part: pl.DataFrame, ill: str, generator: np.random.Generator) -> pl.DataFrame:
    """Break the quotes of one expiry."""
    n = part.height
    nothing = pl.lit(None, dtype=pl.Float64)
    if ill == "few":
        return part.filter(pl.Series(np.argsort(generator.random(n)) < generator.integers(1, 5)))
    if ill == "puts":
        return part.filter(pl.col("strike") < pl.col("forward"))
    if ill == "calls":
        return part.filter(pl.col("strike") > pl.col("forward"))
    if ill == "missing":
        return part.filter(pl.Series(generator.random(n) > 0.65))
    if ill == "bids":
        return part.with_columns(nothing.alias("ask_price"))
    if ill == "asks":
        return part.with_columns(nothing.alias("bid_price"))
    factor = np.ones(n)
    if ill == "torn":  # half of the rows are of another market
        factor[generator.random(n) < 0.5] = generator.uniform(0.7, 1.4)
    elif ill == "wild":
        factor = np.exp(generator.normal(0.0, 1.0, n))
    elif ill == "crossed":
        part = part.with_columns(bid_price=pl.col("ask_price"), ask_price=pl.col("bid_price"))
    return part.with_columns(
        (pl.col(name) * pl.Series(factor)).alias(name) for name in ("bid_price", "ask_price")
    )


@ANY
@given(boards())
def test_any_board_gives_a_free_surface(frame: pl.DataFrame) -> None:
    insist(frame)


@ANY
@given(boards(), st.integers(0, 2**32 - 1))
def test_any_board_gives_a_free_surface_from_any_earlier_one(
    frame: pl.DataFrame, seed: int
) -> None:
    """The earlier surface is of the same expiries, another smile, and some of the same quotes."""
    generator = np.random.default_rng(seed)
    keep = pl.Series(generator.random(frame.height) < 0.7)
    insist(frame, previous=calibrate(Board.from_frame(frame.filter(keep))))
    moved = frame.with_columns(pl.col("forward") * generator.uniform(0.996, 1.004))
    insist(moved, previous=calibrate(Board.from_frame(frame)))


@ANY
@given(boards())
def test_a_surface_of_any_board_survives_its_table_and_answers_everywhere(
    frame: pl.DataFrame,
) -> None:
    surface = insist(frame)
    again = Surface.from_frame(surface.to_frame())
    years = np.array([1e-4, 0.01, 0.2, 3.0])[:, None]
    k = np.linspace(-1.0, 1.0, 9)
    if surface.active.size:
        w = surface.total_variance(k, years)
        assert (w > 0).all()
        assert again.total_variance(k, years) == pytest.approx(w, rel=1e-9)
        vols = surface.iv(SNAPSHOT + timedelta(days=3), 70_000.0 * np.exp(k))
        assert np.isfinite(vols).all()
    else:
        assert np.isnan(surface.total_variance(k, years)).all()
