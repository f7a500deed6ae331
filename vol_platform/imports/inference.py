"""What a recorded board leaves out: the instant, the forward, prices behind volatilities.

The exchange's displayed greeks are Black-76 on the expiry's forward (rate zero, ACT/365), so they
can be turned around.  With `theta` per day and `vega` per vol point,

    theta / vega = -(vol / (2 T 365)) · 100      hence  vol = T · c,  c = -7.3 · theta / vega,

and with `d1` from delta, `F = K · exp(d1 · vol · sqrt(T) - vol² T / 2)`.  For the right T the
resulting price equals the displayed mark; T is found by that one-dimensional search.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import ndtr, ndtri

from vol_platform.errors import ImportFileError
from vol_platform.quant import black76

__all__ = ["SECONDS_PER_YEAR", "forward_from_delta", "infer_expiry_years", "prices_from_iv"]

SECONDS_PER_YEAR = 365 * 86400
MINIMUM_ABSOLUTE_DELTA = 0.1
"""Below this (and above its complement) five printed decimals say too little."""
MINIMUM_ROWS = 4

Floats = NDArray[np.float64]


def _usable(delta: Floats, *others: Floats) -> NDArray[np.bool_]:
    inside = (np.abs(delta) > MINIMUM_ABSOLUTE_DELTA) & (
        np.abs(delta) < 1.0 - MINIMUM_ABSOLUTE_DELTA
    )
    for other in others:
        inside &= np.isfinite(other)
    return inside


def infer_expiry_years(
    is_call: NDArray[np.bool_],
    delta: Floats,
    vega: Floats,
    theta: Floats,
    mark_price_coin: Floats,
    bounds: tuple[float, float],
) -> float:
    """Find the time to expiry at which the displayed greeks reproduce the displayed marks.

    Parameters
    ----------
    delta, vega, theta, mark_price_coin : arrays of shape (n,)
        One expiry of inverse options; vega in USD per vol point, theta in USD per day.
    is_call : array of bool
        Call or put.
    bounds : tuple of float
        Smallest and largest time to expiry to consider, in years.

    Returns
    -------
    float
        Years to expiry.

    Raises
    ------
    ImportFileError
        Fewer than four rows are usable.
    """
    use = _usable(delta, vega, theta, mark_price_coin) & (vega > 0) & (theta < 0)
    if use.sum() < MINIMUM_ROWS:
        msg = (
            f"the time of a board needs at least {MINIMUM_ROWS} rows with delta between "
            f"{MINIMUM_ABSOLUTE_DELTA} and {1 - MINIMUM_ABSOLUTE_DELTA}, vega, theta and mark, "
            f"had {int(use.sum())}"
        )
        raise ImportFileError(msg)
    call = is_call[use]
    d1 = ndtri(np.where(call, delta[use], delta[use] + 1.0))
    slope = -theta[use] * 365.0 * 2.0 / (100.0 * vega[use])
    mark = mark_price_coin[use]

    def distance(expiry_years: float) -> float:
        deviation = slope * expiry_years * np.sqrt(expiry_years)
        d2 = d1 - deviation
        # Far too long a time gives absurd deviations; the clip keeps exp finite and the miss large.
        log_strike = np.clip(0.5 * deviation**2 - d1 * deviation, -50.0, 50.0)
        strike_over_forward = np.exp(log_strike)
        call_price = ndtr(d1) - strike_over_forward * ndtr(d2)
        price = np.where(call, call_price, call_price - 1.0 + strike_over_forward)
        return float(np.median(np.abs(price - mark)))

    # The median of absolute residuals has several shallow dents: scan first, then refine.
    grid = np.geomspace(max(bounds[0], 1e-6), bounds[1], 400)
    best = int(np.argmin([distance(float(years)) for years in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(
        distance, bounds=(float(low), float(high)), method="bounded", options={"xatol": 1e-9}
    )
    return float(found.x)


def forward_from_delta(
    strike: Floats, is_call: NDArray[np.bool_], delta: Floats, vol: Floats, expiry_years: Floats
) -> float:
    """Back the forward of one expiry out of displayed deltas.

    Parameters
    ----------
    strike, delta, vol, expiry_years : arrays of shape (n,)
        vol in decimals, delta as displayed (forward delta, not premium-adjusted).
    is_call : array of bool
        Call or put.

    Returns
    -------
    float
        The median forward over the usable strikes in USD; NaN when none is usable.
    """
    use = _usable(delta, vol, expiry_years) & (vol > 0) & (expiry_years > 0)
    if not use.any():
        return float("nan")
    d1 = ndtri(np.where(is_call[use], delta[use], delta[use] + 1.0))
    deviation = vol[use] * np.sqrt(expiry_years[use])
    return float(np.median(strike[use] * np.exp(d1 * deviation - 0.5 * deviation**2)))


def prices_from_iv(board: pl.DataFrame) -> pl.DataFrame:
    """Fill bid, ask and mark prices in coin from their volatilities.

    Parameters
    ----------
    board : polars.DataFrame
        With `underlying_price`, `strike`, `expiry_years`, `is_call` and the three volatilities in
        percent.

    Returns
    -------
    polars.DataFrame
        The same rows with `bid_price`, `ask_price` and `mark_price` filled where there was a
        volatility.
    """
    forward, strike, years = (
        board[name].cast(pl.Float64).to_numpy().astype(float)
        for name in ("underlying_price", "strike", "expiry_years")
    )
    is_call = board["is_call"].to_numpy()
    filled = []
    for side in ("bid", "ask", "mark"):
        vol = board[f"{side}_iv"].cast(pl.Float64).to_numpy().astype(float) / 100.0
        price = black76.price_coin(forward, strike, years, vol, is_call)
        filled.append(
            pl.Series(f"{side}_price", price, nan_to_null=True).round(8).cast(pl.Decimal(18, 8))
        )
    return board.with_columns(filled)
