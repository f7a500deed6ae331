"""The proofs agree with dense grids, the counter-examples of the papers and quartic roots."""

import numpy as np
import pytest

from vol_platform.quant import arbitrage
from vol_platform.quant._no_arbitrage.crossings import hyperbola_crossings
from vol_platform.quant._no_arbitrage.exact import butterfly_minimum, calendar_minimum
from vol_platform.quant._slices import KNOTS, butterfly, raw_to_row, total_variance
from vol_platform.quant.surface import Board, Surface, calibrate
from vol_platform_tests.quant.boards import synthetic_frame

VOGT = (-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)
DENSE = np.sinh(np.linspace(-6.0, 6.0, 60_001)) * 0.05


def random_row(generator: np.random.Generator, residual: float) -> np.ndarray:
    row = raw_to_row(
        generator.uniform(0.0, 0.05),
        generator.uniform(0.02, 0.6),
        generator.uniform(-0.8, 0.8),
        generator.uniform(-0.2, 0.2),
        generator.uniform(0.02, 0.4),
    )
    if residual:
        row[5], row[6] = generator.uniform(-0.6, -0.3), generator.uniform(0.03, 0.12)
        row[7:] = residual * generator.standard_normal(KNOTS)
    return row


@pytest.mark.parametrize("residual", [0.0, 0.0005])
def test_the_proof_of_a_slice_agrees_with_a_dense_grid(residual: float) -> None:
    generator = np.random.default_rng(5)
    verdicts = set()
    for _ in range(120):
        row = random_row(generator, residual)
        at, smallest = butterfly_minimum(row)
        seen = float(butterfly(row, DENSE).min())
        verdicts.add(smallest >= 0)
        if smallest >= 1e-4:
            assert seen >= 1e-4, f"proved free, but g is {seen} (row {row})"
        else:
            assert float(butterfly(row, np.array([at]))[0]) < 2e-4
            assert smallest <= max(seen * 0.85, seen - 1e-4) + 1e-9 or smallest <= 1e-4
    assert verdicts == {True, False}, "the sample must hold free and arbitrageable slices"


@pytest.mark.parametrize("residual", [0.0, 0.0005])
def test_the_proof_of_a_pair_agrees_with_a_dense_grid(residual: float) -> None:
    generator = np.random.default_rng(6)
    verdicts = set()
    for _ in range(120):
        near = random_row(generator, residual)
        far = near.copy()
        far[0] += generator.uniform(0.0, 0.02)
        far[1:3] *= generator.uniform(1.0, 1.3)
        far[4] *= generator.uniform(0.7, 1.4)
        _, gap = calendar_minimum(near, far)
        seen = float((total_variance(far, DENSE) - total_variance(near, DENSE)).min())
        verdicts.add(gap >= 0)
        if gap >= 0:
            assert seen >= 0
        else:
            assert seen < 1e-6
    assert verdicts == {True, False}


def test_wings_in_the_wrong_order_cross_even_when_no_quote_is_near() -> None:
    near, far = raw_to_row(0.01, 0.2, 0.0, 0.0, 0.1), raw_to_row(0.05, 0.19, 0.0, 0.0, 0.1)
    assert calendar_minimum(near, far)[1] == -np.inf
    crossings = hyperbola_crossings(near, far)
    assert crossings.size == 2
    assert total_variance(near, crossings) == pytest.approx(total_variance(far, crossings))


def test_a_crossing_between_two_samples_of_any_coarse_grid_is_found() -> None:
    # Two slices that touch only on a stretch a thousandth wide.
    near = raw_to_row(0.02, 0.3, 0.0, 0.0, 0.2)
    far = near.copy()
    far[0] += 1e-4
    row = far.copy()
    row[5], row[6] = 0.30, 0.0004
    row[7 + 4] = -3e-4
    at, gap = calendar_minimum(near, row)
    assert gap < 0
    assert at == pytest.approx(0.30 + 0.0004 * 6, abs=0.001)


def test_quartic_roots_are_the_crossings_and_none_is_missing() -> None:
    generator = np.random.default_rng(9)
    found = 0
    for _ in range(60):
        near, far = random_row(generator, 0.0), random_row(generator, 0.0)
        crossings = hyperbola_crossings(near, far)
        gap = total_variance(far, DENSE) - total_variance(near, DENSE)
        changes = DENSE[:-1][np.sign(gap[:-1]) != np.sign(gap[1:])]
        found += changes.size
        for k in changes:
            assert np.abs(crossings - k).min() < 0.02 * (1 + abs(k))
    assert found > 20


def test_the_vogt_slice_has_its_arbitrage_where_the_paper_shows_it() -> None:
    at, smallest = arbitrage.slice_minimum(*VOGT)
    assert smallest < 0
    assert 0.6 < at < 1.2
    grid = np.linspace(-1.5, 1.5, 3001)
    g = arbitrage.butterfly(grid, *VOGT)
    assert smallest == pytest.approx(float(g.min()), rel=0.11)


def test_a_surface_made_of_crossing_and_dented_slices_is_reported_slice_by_slice() -> None:
    surface = calibrate(Board.from_frame(synthetic_frame(days=(9.0, 30.0, 80.0))))
    assert arbitrage.check(surface).is_free
    rows = surface.rows.copy()
    rows[0] = raw_to_row(*VOGT)
    rows[2, 2] = 2.3
    broken = Surface(
        currency="BTC", snapshot_ts=surface.snapshot_ts, expiry_ts=surface.expiry_ts,
        expiry_years=surface.expiry_years, forward_usd=surface.forward_usd,
        active=surface.active, rows=rows,
    )  # fmt: skip
    report = arbitrage.check(broken)
    assert not report.is_free
    assert [item.butterfly_free for item in report.slices] == [False, True, False]
    assert [item.wings_free for item in report.slices] == [True, True, False]
    assert not report.pairs[0].calendar_free
    assert report.butterfly_violations == 2
    assert report.calendar_violations >= 1
    assert report.wing_violations == 1


def test_quotes_of_a_free_smile_breach_no_parity_and_need_no_repair() -> None:
    board = Board.from_frame(synthetic_frame(days=(9.0, 30.0)))
    assert arbitrage.parity_breaches(board) == ()
    repairs = arbitrage.quote_repairs(board)
    assert [item.must_leave for item in repairs] == [0, 0]
    assert sum(item.cost for item in repairs) == pytest.approx(0.0, abs=1e-9)
    assert [item.quotes for item in repairs] == [31, 31]


def test_one_call_above_any_convex_curve_breaches_parity_and_must_leave_its_spread() -> None:
    frame = synthetic_frame(days=(30.0,))
    strike = frame["strike"].unique().sort()[18]
    hit = (frame["strike"] == strike) & frame["is_call"]
    frame = frame.with_columns(
        *(
            (frame[name] * hit.cast(float) * 0.6 + frame[name]).alias(name)
            for name in ("bid_price", "ask_price")
        )
    )
    board = Board.from_frame(frame)
    breaches = arbitrage.parity_breaches(board)
    assert [item.strike for item in breaches] == [strike]
    assert breaches[0].distance_basis_points > 10
    (repair,) = arbitrage.quote_repairs(board)
    assert repair.must_leave == 1
    assert repair.cost > 0
    assert arbitrage.check(calibrate(board)).is_free
