"""A small board of known shape and the surface fitted to it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from vol_platform.quant import black76
from vol_platform.quant.surface import Board, calibrate

SNAPSHOT = datetime(2026, 6, 2, 8, 3, tzinfo=UTC)
FORWARD = 70_000.0
_UTC = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Drawn:
    """What a picture is made of."""

    surface: pl.DataFrame
    quotes: pl.DataFrame


def _expiry(days: float) -> pl.DataFrame:
    expiry = SNAPSHOT.replace(hour=8, minute=0) + timedelta(days=days)
    years = (expiry - SNAPSHOT).total_seconds() / 31_536_000
    k = np.linspace(-3.0, 3.0, 25) * 0.4 * np.sqrt(years)
    strike = np.repeat(np.round(FORWARD * np.exp(k), -2), 2)
    is_call = np.tile([True, False], k.size)
    vol = 0.4 + 0.3 * np.log(strike / FORWARD) ** 2
    bid = black76.price_coin(FORWARD, strike, years, vol - 0.005, is_call)
    ask = black76.price_coin(FORWARD, strike, years, vol + 0.005, is_call)
    return pl.DataFrame(
        {
            "instrument_name": [
                f"BTC-{days:g}-{s:.0f}-{'C' if c else 'P'}"
                for s, c in zip(strike, is_call, strict=True)
            ],
            "strike": strike,
            "is_call": is_call,
            "bid_price": bid,
            "ask_price": ask,
            "mark_price": 0.5 * (bid + ask),
        }
    ).with_columns(
        snapshot_ts=pl.lit(SNAPSHOT).cast(_UTC),
        currency=pl.lit("BTC"),
        expiry_ts=pl.lit(expiry).cast(_UTC),
        expiry_years=pl.lit(years),
        is_inverse=pl.lit(value=True),
        tick_size=pl.lit(0.0001),
        age_seconds=pl.lit(1.0),
        usage=pl.lit("two_sided"),
        forward=pl.lit(FORWARD),
        uncertainty_basis_points=pl.lit(1.0),
    )


@pytest.fixture(scope="session")
def drawn() -> Drawn:
    """Three fitted expiries and one without a usable quote."""
    quotes = pl.concat([_expiry(days) for days in (3, 24, 115)])
    empty = (
        _expiry(10).head(1).with_columns(bid_price=pl.lit(None, pl.Float64), usage=pl.lit("bound"))
    )
    together = pl.concat([quotes, empty])
    return Drawn(calibrate(Board.from_frame(together)).to_frame(), together)
