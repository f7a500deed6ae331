"""The guarantee layer: whatever was fitted, what comes out is free, and says how far it moved."""

import numpy as np
import pytest

from vol_platform.quant import ssvi
from vol_platform.quant._fit.guarantee import check_rows, guarantee
from vol_platform.quant._slices import raw_to_row
from vol_platform.quant.ssvi import EssviChain
from vol_platform.quant.surface import Board, Surface, SurfaceConfig, calibrate
from vol_platform_tests.quant.boards import synthetic_frame

VOGT = (-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)


def free_chain() -> np.ndarray:
    theta = np.array([0.01, 0.03, 0.08, 0.2])
    phi = ssvi.power_law_phi(theta, 1.0, 0.4)
    return ssvi.to_raw_rows(EssviChain(theta, np.full(4, -0.2), theta * phi))


def test_a_free_chain_is_returned_as_it_is() -> None:
    rows = free_chain()
    kept, blend, g, gap = guarantee(rows, rows)
    assert kept.tobytes() == rows.tobytes()
    assert (blend == 0).all()
    assert (g > 0).all()
    assert (gap > 0).all()


def test_a_dented_slice_is_blended_and_only_as_far_as_needed() -> None:
    target = free_chain()
    fitted = target.copy()
    fitted[2] = raw_to_row(*VOGT)
    rows, blend, g, gap = guarantee(fitted, target)
    assert 0 < blend[2] <= 1
    assert (g > 0).all()
    assert (gap >= 0).all()
    assert rows[blend == 0] == pytest.approx(fitted[blend == 0])


def test_a_chain_in_which_everything_is_wrong_ends_at_the_target() -> None:
    target = free_chain()
    fitted = target[::-1].copy()
    rows, blend, _, _ = guarantee(fitted, target)
    g, gap = check_rows(rows)
    assert (g > 0).all()
    assert (gap >= 0).all()
    assert blend.max() == 1.0


def test_a_repaired_expiry_says_so_in_its_report_and_its_row() -> None:
    def falling(k: np.ndarray, years: float) -> np.ndarray:
        level = 0.02 * (0.02 / years) ** 0.8
        return np.asarray(np.sqrt((level + 0.3 * level * k * k) / years))

    board = Board.from_frame(synthetic_frame((9.0, 30.0, 80.0), vol=falling, half_spread_vol=0.002))
    surface = calibrate(board, config=SurfaceConfig(rounds=0))
    repaired = [item for item in surface.report if item.status == "repaired"]
    assert repaired
    assert all("blended by" in item.reason and item.repaired_lambda > 0 for item in repaired)
    assert Surface.from_frame(surface.to_frame()).report[0].status == surface.report[0].status
    assert all(item.butterfly_free and item.calendar_free for item in surface.report)
