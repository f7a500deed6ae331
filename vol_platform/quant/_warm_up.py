"""Calls that compile every kernel, or load it from disk, by way of a small synthetic board."""

from __future__ import annotations

import numpy as np

from vol_platform.quant import black76, greeks, implied, surface
from vol_platform.quant._board import synthetic_board

__all__ = ["use_options", "use_surface", "use_the_rest"]


def use_options() -> None:
    """Price one option, invert the price, take the greeks."""
    forward, strike, expiry_years, vol = 60_000.0, 66_000.0, 0.1, 0.5
    price = black76.price(forward, strike, expiry_years, vol, is_call=True)
    implied.implied_vol(price, forward, strike, expiry_years, is_call=True)
    greeks.greeks(forward, strike, expiry_years, vol, is_call=True)


def use_surface() -> None:
    """Fit a board that takes every way a live one can take, read it, fit its eSSVI chain."""
    fitted = surface.calibrate(synthetic_board(wild=True))
    _ = fitted.report, fitted.iv(0.1, 100.0)
    surface.calibrate(synthetic_board(), config=surface.SurfaceConfig(model="essvi"))


def use_the_rest() -> None:
    """Call what only the record needs: forwards, butterfly checks of a slice, delta strikes."""
    # Imported here: they bring parts of scipy, which a first surface does without.
    from vol_platform.quant import arbitrage, forwards, term_structure

    fitted = surface.calibrate(synthetic_board())
    arbitrage.butterfly(np.linspace(-1.0, 1.0, 5), *fitted.report[0].raw)
    term_structure.risk_reversal(fitted, 0.25)
    forwards.implied_forwards(
        *(np.zeros(2, dtype=np.int64), np.full(2, 100.0), np.array([True, False])),
        *(np.full(2, 0.05), np.full(2, 0.06)),
        priors=np.array([100.0]),
        prior_sources=["future"],
        is_inverse=np.array([True]),
    )
