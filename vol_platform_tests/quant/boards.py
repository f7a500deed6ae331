"""Boards for the tests: made from a known smile, broken on purpose, or recorded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from vol_platform.quant import black76, cleaning, forwards

FloatArray = npt.NDArray[np.float64]

SNAPSHOT = datetime(2026, 4, 8, 10, 0, tzinfo=UTC)
_SECONDS_PER_YEAR = 365.0 * 86_400.0


def essvi_vol(k: FloatArray, years: float) -> FloatArray:
    """Return a smile without arbitrage across the term structure (power-law SSVI)."""
    theta = 0.25 * years * (1.0 + 0.3 * np.exp(-3.0 * years))
    rho, eta, gamma = -0.25, 1.1, 0.45
    phi = eta / (theta**gamma * (1.0 + theta) ** (1.0 - gamma))
    w = 0.5 * theta * (1 + rho * phi * k + np.sqrt((phi * k + rho) ** 2 + 1 - rho**2))
    return np.asarray(np.sqrt(w / years))


def synthetic_frame(
    days: tuple[float, ...] = (1.0, 2.0, 9.0, 30.0, 80.0, 260.0),
    *,
    vol: Callable[[FloatArray, float], FloatArray] = essvi_vol,
    forward: float = 70_000.0,
    half_spread_vol: float = 0.008,
    strikes: int = 31,
    noise: float = 0.0,
    seed: int = 7,
    is_inverse: bool = True,
) -> pl.DataFrame:
    """Rows as `Board.from_frame` takes them: calls and puts of every strike around a known smile.

    `noise` moves each mid by up to that part of the half spread.
    """
    generator = np.random.default_rng(seed)
    parts = []
    for day in days:
        years = day / 365.0
        expiry_forward = forward * float(np.exp(0.03 * years))
        reach = 3.5 * 0.55 * np.sqrt(years)
        strike = np.round(expiry_forward * np.exp(np.linspace(-reach, reach, strikes)), 0)
        k = np.log(strike / expiry_forward)
        middle = vol(k, years)
        middle = middle + noise * half_spread_vol * generator.uniform(-1, 1, strikes)
        half = half_spread_vol * (1.0 + 2.0 * np.abs(k) / reach)
        for is_call in (True, False):
            unit = expiry_forward if is_inverse else 1.0
            bid, ask = (
                black76.price(expiry_forward, strike, years, value, is_call) / unit
                for value in (np.maximum(middle - half, 0.01), middle + half)
            )
            parts.append(
                pl.DataFrame(
                    {
                        "snapshot_ts": [SNAPSHOT] * strikes,
                        "currency": ["BTC"] * strikes,
                        "expiry_ts": [SNAPSHOT + timedelta(days=day)] * strikes,
                        "expiry_years": [years] * strikes,
                        "strike": strike,
                        "is_call": [is_call] * strikes,
                        "is_inverse": [is_inverse] * strikes,
                        "bid_price": bid,
                        "ask_price": ask,
                        "tick_size": [1e-9] * strikes,
                        "age_seconds": [0.5] * strikes,
                        "usage": ["two_sided"] * strikes,
                        "forward": [expiry_forward] * strikes,
                        "uncertainty_basis_points": [1.0] * strikes,
                    }
                )
            )
    return pl.concat(parts)


def recorded_rows(path: Path, currency: str) -> pl.DataFrame:
    """Rows of one recorded board as the exchange gave them, its forward as `prior`."""
    raw = pl.read_csv(path, infer_schema_length=None).filter(pl.col("currency") == currency)
    return raw.select(
        pl.col("timestamp").str.to_datetime(time_zone="UTC").alias("snapshot_ts"),
        "currency",
        pl.col("expiry_datetime").str.to_datetime(time_zone="UTC").alias("expiry_ts"),
        "strike",
        (pl.col("option_type") == "call").alias("is_call"),
        pl.lit(value=True).alias("is_inverse"),
        pl.col("bid_price").cast(pl.Float64),
        pl.col("ask_price").cast(pl.Float64),
        pl.col("underlying").cast(pl.Float64).alias("prior"),
        pl.lit(0.0).alias("age_seconds"),
    ).with_columns(
        (
            (pl.col("expiry_ts") - pl.col("snapshot_ts")).dt.total_microseconds()
            / (1e6 * _SECONDS_PER_YEAR)
        ).alias("expiry_years"),
        pl.when(pl.coalesce("bid_price", "ask_price").fill_null(0.0) < 0.005)
        .then(0.0001)
        .otherwise(0.0005)
        .alias("tick_size"),
    )


def cleaned(rows: pl.DataFrame) -> pl.DataFrame:
    """Clean rows and give each expiry its forward, by the product's own rules."""
    columns = ("bid_price", "ask_price", "tick_size", "age_seconds", "expiry_years")
    usage = cleaning.classify(*(rows[name].to_numpy() for name in columns)).usage
    frame = rows.with_columns(pl.Series("usage", usage, dtype=pl.String)).filter(
        pl.col("usage") != "rejected"
    )
    parts = []
    for part in frame.sort("expiry_ts", "strike").partition_by("expiry_ts", maintain_order=True):
        estimate = forwards.implied_forward_of_chain(
            part["strike"].to_numpy(),
            part["is_call"].to_numpy(),
            part["bid_price"].to_numpy(),
            part["ask_price"].to_numpy(),
            prior=float(part["prior"].to_numpy().mean()),
            is_inverse=bool(part["is_inverse"][0]),
        )
        parts.append(
            part.with_columns(
                pl.lit(estimate.forward).alias("forward"),
                pl.lit(estimate.uncertainty_basis_points).alias("uncertainty_basis_points"),
            )
        )
    nothing = pl.lit(None, dtype=pl.Float64)
    empty = frame.with_columns(
        nothing.alias("forward"), nothing.alias("uncertainty_basis_points")
    ).clear()
    return pl.concat(parts) if parts else empty


def recorded_frame(path: Path, currency: str) -> pl.DataFrame:
    """Rows of one recorded board, cleaned and with forwards, by the product's own rules."""
    return cleaned(recorded_rows(path, currency))
