"""Kernels that pick the quotes of a board a fit may use, and measure them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vol_platform.quant._kernels.compile import kernel

__all__ = ["collect", "out_of_the_money"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@kernel
def _inverse_vega(k: float, vol: float, years: float) -> float:
    """Volatility per unit of price/forward."""
    deviation = vol * math.sqrt(years)
    d1 = -k / deviation + 0.5 * deviation
    density = math.exp(-0.5 * d1 * d1) / math.sqrt(2.0 * math.pi)
    return 1.0 / max(density * math.sqrt(years), 1e-12)


@kernel
def collect(
    offsets: IntArray, index: IntArray, years: FloatArray, forward: FloatArray,
    strike: FloatArray, vol: FloatArray, bid: FloatArray, ask: FloatArray, tick: FloatArray,
    lag: FloatArray, usage: IntArray, is_inverse: bool, widest: float, widest_share: float,
    age_scale: float, vol_floor: float, minimum_years: float,
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray,
           IntArray, FloatArray, IntArray, IntArray]:  # fmt: skip
    """Select and measure the out-of-the-money quotes; see `_board.FitQuotes`."""
    n = years.size
    rows = index.size
    size = 2 * rows
    out_offsets = np.zeros(n + 1, dtype=np.int64)
    eligible = np.zeros(n, dtype=np.int64)
    k = np.empty(size)
    low = np.empty(size)
    high = np.empty(size)
    mid = np.empty(size)
    half = np.empty(size)
    unit = np.empty(size)
    weight = np.empty(size)
    kind = np.empty(size, dtype=np.int64)
    row = np.empty(size, dtype=np.int64)
    at = 0
    for i in range(n):
        F = forward[i]
        if F > 0.0 and math.isfinite(F) and years[i] > minimum_years:
            for inner in range(offsets[i], offsets[i + 1]):
                q = index[inner]
                bid_vol = vol[inner]
                ask_vol = vol[rows + inner]
                has_bid = bid[q] > 0.0
                has_ask = ask[q] > 0.0
                both = has_bid and has_ask
                if both:
                    eligible[i] += 1
                x = math.log1p((strike[q] - F) / F)
                step = tick[q] if is_inverse else tick[q] / F
                if not math.isfinite(step):
                    step = 0.0
                fresh = math.exp(-lag[q] / age_scale)
                bid_ok = has_bid and math.isfinite(bid_vol) and bid_vol > 0.0
                ask_ok = has_ask and math.isfinite(ask_vol) and ask_vol > 0.0
                for side in range(3):
                    if side == 0:
                        if not (usage[q] == 0 and bid_ok and ask_ok):
                            continue
                        centre = 0.5 * (bid_vol + ask_vol)
                        if ask_vol - bid_vol > max(widest, widest_share * centre):
                            continue
                        low[at], high[at] = bid_vol, ask_vol
                        width = 0.5 * (ask_vol - bid_vol)
                    elif side == 1:
                        if not ask_ok:
                            continue
                        low[at], high[at] = np.nan, ask_vol
                        centre = ask_vol
                        width = 0.0
                    else:
                        # A bid under the smallest number of ticks carries no information.
                        if not bid_ok or (usage[q] != 0 and has_ask):
                            continue
                        low[at], high[at] = bid_vol, np.nan
                        centre = bid_vol
                        width = 0.0
                    noise = 0.5 * step * _inverse_vega(x, centre, years[i])
                    k[at] = x
                    mid[at] = centre
                    half[at] = width
                    base = max(width, vol_floor)
                    unit[at] = math.sqrt(base * base + noise * noise)
                    kind[at] = side
                    weight[at] = fresh if side == 0 else 0.3 * fresh
                    row[at] = q
                    at += 1
                    if side == 0:
                        break
        out_offsets[i + 1] = at
    return (
        out_offsets, k[:at].copy(), low[:at].copy(), high[:at].copy(), mid[:at].copy(),
        half[:at].copy(), unit[:at].copy(), kind[:at].copy(), weight[:at].copy(), row[:at].copy(),
        eligible,
    )  # fmt: skip


@kernel
def out_of_the_money(
    offsets: IntArray, forward: FloatArray, years: FloatArray, strike: FloatArray,
    is_call: BoolArray, bid: FloatArray, ask: FloatArray, is_inverse: bool,
) -> tuple[IntArray, IntArray, FloatArray, BoolArray]:  # fmt: skip
    """Find the out-of-the-money rows; return their offsets, their index and what to invert.

    The columns to invert are prices in USD, forward, strike and years, bids before asks.
    """
    index = np.empty(strike.size, dtype=np.int64)
    out_offsets = np.zeros(years.size + 1, dtype=np.int64)
    count = 0
    for i in range(years.size):
        for q in range(offsets[i], offsets[i + 1]):
            if (strike[q] >= forward[i]) == is_call[q]:
                index[count] = q
                count += 1
        out_offsets[i + 1] = count
    columns = np.empty((4, 2 * count))
    flags = np.empty(2 * count, dtype=np.bool_)
    for i in range(years.size):
        unit = forward[i] if is_inverse else 1.0
        for at in range(out_offsets[i], out_offsets[i + 1]):
            q = index[at]
            columns[0, at] = bid[q] * unit
            columns[0, count + at] = ask[q] * unit
            for side in range(2):
                columns[1, side * count + at] = forward[i]
                columns[2, side * count + at] = strike[q]
                columns[3, side * count + at] = years[i]
                flags[side * count + at] = is_call[q]
    return out_offsets, index[:count].copy(), columns, flags
