"""Boards made from a known smile, so that a test knows what must come out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from vol_platform.derivations.contracts import (
    CHAIN_COLUMNS,
    FUTURES_COLUMNS,
    INDEX_COLUMNS,
    INSTANT,
    POSITIONS_COLUMNS,
    conform,
)
from vol_platform.quant import black76

MOMENT = datetime(2026, 2, 4, 15, 0, tzinfo=UTC)
EXPIRIES = (
    datetime(2026, 2, 6, 8, tzinfo=UTC),
    datetime(2026, 2, 27, 8, tzinfo=UTC),
    datetime(2026, 6, 26, 8, tzinfo=UTC),
)
INDEX_PRICE = 75_000.0
_YEAR = timedelta(days=365)
_MINUTE = timedelta(minutes=1)


def forward_of(expiry: datetime, moment: datetime = MOMENT) -> float:
    """Give five per cent a year of basis."""
    return INDEX_PRICE * math.exp(0.05 * ((expiry - moment) / _YEAR))


def smile(k: np.ndarray, years: float) -> np.ndarray:
    """Give a skewed smile that is free of arbitrage on these expiries (raw SVI by maturity)."""
    b = 0.06 * math.sqrt(years)
    w = 0.20 * years + b * (-0.3 * k + np.sqrt(k * k + 0.09)) - 0.25 * b
    return np.sqrt(w / years)


def chain(
    moments: Iterable[datetime] = (MOMENT,),
    expiries: Iterable[datetime] = EXPIRIES,
    currency: str = "BTC",
    *,
    width_vol: float = 0.01,
    move: float = 0.0,
) -> pl.DataFrame:
    """Make a chain of calls and puts quoted symmetrically around the smile.

    `move` shifts the whole smile by that much volatility per minute since the first moment.
    """
    rows: list[dict[str, object]] = []
    moments = list(moments)
    for moment in moments:
        lift = move * ((moment - moments[0]) / _MINUTE)
        for expiry in expiries:
            years = (expiry - moment) / _YEAR
            if years <= 0:
                continue
            forward = forward_of(expiry, moment)
            # The strikes of a listing do not move with the market.
            at_listing = (expiry - min(MOMENT, moment)) / _YEAR
            k = np.linspace(-2.2, 2.2, 23) * 0.45 * math.sqrt(at_listing)
            strikes = np.unique(np.round(forward_of(expiry) * np.exp(k), -2))
            vols = smile(np.log(strikes / forward), years) + lift
            for is_call in (True, False):
                low, mid, high = (
                    black76.price_coin(forward, strikes, years, vols + shift, is_call)
                    for shift in (-width_vol / 2, 0.0, width_vol / 2)
                )
                kind, label = "C" if is_call else "P", f"{expiry:%d%b%y}".upper()
                rows.extend(
                    {
                        "snapshot_ts": moment,
                        "currency": currency,
                        "instrument_name": f"{currency}-{label}-{strike:.0f}-{kind}",
                        "expiry_ts": expiry,
                        "strike": float(strike),
                        "is_call": is_call,
                        "is_inverse": True,
                        "premium_currency": currency,
                        "tick_size": 1e-8,
                        "tick_step_above": [],
                        "tick_step_size": [],
                        "state": "open",
                        "bid_price": float(low[at]),
                        "bid_amount": 1.0,
                        "ask_price": float(high[at]),
                        "ask_amount": 1.0,
                        "mark_price": float(mid[at]),
                        "bid_iv": None,
                        "ask_iv": None,
                        "mark_iv": float(vols[at]),
                        "underlying_index": f"SYN.{currency}",
                        "underlying_price": forward,
                        "index_price": INDEX_PRICE,
                        "open_interest": 10.0,
                        "exchange_ts": moment - timedelta(seconds=5),
                        "age_seconds": 5.0,
                        "source": "stream",
                    }
                    for at, strike in enumerate(strikes)
                )
    return conform(
        pl.DataFrame(rows, schema_overrides=CHAIN_COLUMNS),
        CHAIN_COLUMNS,
        ("snapshot_ts", "currency", "instrument_name"),
    )


def index(moments: Iterable[datetime] = (MOMENT,), currency: str = "BTC") -> pl.DataFrame:
    """Give the index price of every moment."""
    return pl.DataFrame(
        {"snapshot_ts": list(moments)}, schema={"snapshot_ts": INSTANT}
    ).with_columns(currency=pl.lit(currency), price=pl.lit(INDEX_PRICE))


def raw_frames(
    moments: Iterable[datetime] = (MOMENT,), **options: object
) -> dict[str, pl.DataFrame]:
    """Give the raw frames of a board, with a Treasury curve and a book that is short a straddle."""
    moments = list(moments)
    board = chain(moments, **options)  # type: ignore[arg-type]
    held = board["instrument_name"].unique().sort().to_list()
    return {
        "chain": board,
        "rates": pl.DataFrame(
            {
                "curve_date": [date(2026, 2, 3)] * 3,
                "maturity_years": [1 / 12, 0.5, 1.0],
                "quote": [0.037, 0.036, 0.035],
                "kind": ["treasury"] * 3,
            }
        ),
        "positions": pl.DataFrame(
            {
                "portfolio": ["book"] * 2,
                "from_ts": [MOMENT - timedelta(days=1)] * 2,
                "instrument_name": held[10:12],
                "quantity": [-2.0, -2.0],
            },
            schema_overrides=POSITIONS_COLUMNS,
        ),
        "futures": pl.DataFrame(schema=FUTURES_COLUMNS),
        "index": conform(index(moments), INDEX_COLUMNS),
    }
