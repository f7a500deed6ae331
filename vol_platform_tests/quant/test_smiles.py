"""Many smiles, boards and surfaces at once are what each of them is alone."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from vol_platform.quant import forwards, term_structure
from vol_platform.quant.errors import QuantError
from vol_platform.quant.smiles import Smiles
from vol_platform.quant.surface import (
    Board,
    Surface,
    calibrate,
    surfaces_from_frame,
    surfaces_to_frame,
)
from vol_platform_tests.quant.boards import synthetic_frame

DAYS = (2.0, 9.0, 30.0, 80.0)
YEARS = np.array([1.0, 2.0, 5.0, 9.0, 20.0, 80.0, 200.0]) / 365.0
DELTAS = np.array([-0.1, -0.25, 0.25, 0.1, 0.999999])


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """Give the rows of two boards, a minute apart."""
    boards = [synthetic_frame(DAYS, noise=0.5, seed=seed) for seed in (3, 4)]
    later = boards[1].with_columns(pl.col("snapshot_ts") + timedelta(minutes=1))
    return pl.concat([later, boards[0]])


@pytest.fixture(scope="module")
def surfaces(frame: pl.DataFrame) -> list[Surface]:
    """Give their surfaces."""
    return [calibrate(board) for board in Board.from_frame_of_many(frame)]


def test_the_boards_of_many_snapshots_are_those_of_each(frame: pl.DataFrame) -> None:
    many = Board.from_frame_of_many(frame)
    each = [
        Board.from_frame(rows)
        for _, rows in frame.sort("snapshot_ts").group_by("snapshot_ts", maintain_order=True)
    ]
    assert [board.snapshot_ts for board in many] == [board.snapshot_ts for board in each]
    for one, other in zip(many, each, strict=True):
        for name in ("strike", "bid_price", "usage", "offsets", "forward", "expiry_years"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
        assert (one.expiry_ts, one.is_inverse) == (other.expiry_ts, other.is_inverse)


def test_the_surfaces_of_a_frame_come_back_as_each_alone(surfaces: list[Surface]) -> None:
    together = surfaces_to_frame(surfaces)
    assert together.equals(pl.concat([surface.to_frame() for surface in surfaces]))
    for one, read in zip(surfaces, surfaces_from_frame(together.reverse()), strict=True):
        alone = Surface.from_frame(one.to_frame())
        assert read.rows.tobytes() == alone.rows.tobytes()
        assert read.to_frame().equals(alone.to_frame())
    assert surfaces_from_frame(together.clear()) == []


def test_a_smile_is_the_surface_at_its_maturity(surfaces: list[Surface]) -> None:
    smiles = Smiles.concatenate([surface.smiles(YEARS) for surface in surfaces])
    k = np.linspace(-1.0, 1.0, 9)
    variance = smiles.total_variance(np.tile(k, (len(smiles), 1)))
    for number, (surface, years) in enumerate((s, y) for s in surfaces for y in YEARS):
        assert variance[number].tobytes() == surface.total_variance(k, years).tobytes()
        assert smiles.forward[number] == surface.forward(float(years))


def test_a_strike_by_delta_does_not_depend_on_its_company(surfaces: list[Surface]) -> None:
    smiles = Smiles.concatenate([surface.smiles(YEARS) for surface in surfaces])
    for adjusted in (False, True):
        k = smiles.delta_log_moneyness(DELTAS, premium_adjusted=adjusted)
        for number, (surface, years) in enumerate((s, y) for s in surfaces for y in YEARS):
            for column, delta in enumerate(DELTAS):
                alone = surface.delta_strike(float(years), delta, premium_adjusted=adjusted)
                wanted = smiles.forward[number] * np.exp(k[number, column])
                assert alone.tobytes() == wanted.tobytes()


def test_skew_metrics_of_many_surfaces_are_those_of_each(surfaces: list[Surface]) -> None:
    smiles = Smiles.concatenate([surface.smiles(YEARS) for surface in surfaces])
    many = term_structure.skew_metrics_of_smiles(smiles.total_variance, smiles.expiry_years)
    for number, surface in enumerate(surfaces):
        part = slice(number * YEARS.size, (number + 1) * YEARS.size)
        for name, alone in term_structure.skew_metrics(surface, YEARS)._asdict().items():
            assert getattr(many, name)[part].tobytes() == alone.tobytes(), name


def test_no_points_give_no_numbers(surfaces: list[Surface]) -> None:
    assert surfaces[0].total_variance(np.empty(0), 0.1).shape == (0,)
    assert len(surfaces[0].smiles(np.empty(0))) == 0


def test_no_smiles_give_no_numbers() -> None:
    none = Smiles.concatenate([])
    assert none.total_variance(np.empty((0, 3))).shape == (0, 3)
    assert none.delta_log_moneyness(DELTAS).shape == (0, DELTAS.size)


def test_a_surface_without_a_fit_has_no_smile() -> None:
    refused = calibrate(Board.from_frame(synthetic_frame((9.0,)).clear()))
    with pytest.raises(QuantError, match="no fitted expiry"):
        refused.smiles(YEARS)


def test_the_forwards_of_many_expiries_are_those_of_each(frame: pl.DataFrame) -> None:
    keys = frame.select("snapshot_ts", "expiry_ts").unique(maintain_order=True)
    numbered = frame.join(keys.with_row_index("number"), on=keys.columns, maintain_order="left")
    priors = np.array([70_000.0, np.nan, 71_000.0, -1.0, 70_000.0, np.nan, 1.0, 70_000.0])
    columns = ["strike", "is_call", "bid_price", "ask_price"]
    for is_inverse in (True, False):
        many = forwards.implied_forwards(
            numbered["number"].to_numpy(),
            *(numbered[name].to_numpy() for name in columns),
            priors=priors,
            prior_sources=["exchange"] * priors.size,
            is_inverse=np.full(priors.size, is_inverse),
        )
        for number, estimate in enumerate(many):
            rows = numbered.filter(pl.col("number") == number)
            alone = forwards.implied_forward_of_chain(
                *(rows[name].to_numpy() for name in columns),
                prior=priors[number],
                is_inverse=is_inverse,
            )
            assert repr(estimate) == repr(alone)
