"""A website export and a book summary of our own, with a known instant and forward."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

FORWARD = 71234.5
CAPTURED = datetime(2026, 3, 2, 11, 17, 30, tzinfo=UTC)
EXPIRY = datetime(2026, 3, 27, 8, tzinfo=UTC)
STRIKES = np.arange(50_000, 100_000, 2_500)


def displayed(strike: float, is_call: bool) -> dict[str, float]:
    """Return what the exchange would display for a smile of our own."""
    years = (EXPIRY - CAPTURED) / timedelta(days=365)
    k = np.log(strike / FORWARD)
    vol = 0.55 - 0.15 * k + 0.8 * k * k
    deviation = vol * np.sqrt(years)
    d1 = -k / deviation + deviation / 2
    d2 = d1 - deviation
    density = np.exp(-d1 * d1 / 2) / np.sqrt(2 * np.pi)
    call = ndtr(d1) - strike / FORWARD * ndtr(d2)
    return {
        "delta": round(float(ndtr(d1) - (0 if is_call else 1)), 5),
        "vega": round(float(FORWARD * density * np.sqrt(years) / 100), 5),
        "theta": round(float(-FORWARD * density * vol / (2 * np.sqrt(years)) / 365), 5),
        "mark": round(float(call if is_call else call - 1 + strike / FORWARD), 4),
        "mark_iv": round(float(vol * 100), 2),
    }


@pytest.fixture
def website_export(tmp_path: Path) -> Callable[[str], Path]:
    """Write a website export of one expiry whose greeks are those of a known instant."""

    def write(name: str = "1-BTC-2MAR26-export.csv") -> Path:
        header = "Instrument,Last,Size,IV (Bid),Bid,Mark,Ask,IV (Ask),Size,Open,Δ|Delta,Gamma,Vega"
        lines = [f"{header},Theta,Rho,Volume,Bitcoin Price"]
        for strike in STRIKES:
            for is_call in (True, False):
                shown = displayed(float(strike), is_call)
                lines.append(
                    f"BTC-27MAR26-{strike}-{'C' if is_call else 'P'},-,3.5,{shown['mark_iv'] - 1},"
                    f"{shown['mark'] - 0.0005:.4f},{shown['mark']},{shown['mark'] + 0.0005:.4f},"
                    f"{shown['mark_iv'] + 1},7.1,10,{shown['delta']},0.00001,{shown['vega']},"
                    f'{shown["theta"]},0.1,-,"71,180.25"'
                )
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def book_summary(tmp_path: Path) -> Path:
    """Write a small answer of get_book_summary_by_currency."""
    path = tmp_path / "summary.json"
    path.write_text(
        """{"jsonrpc":"2.0","result":[
        {"instrument_name":"BTC-27MAR26-70000-C","creation_timestamp":1772450250123,
         "bid_price":0.0435,"ask_price":0.29,"mark_price":0.05334793,"mark_iv":37.88,
         "underlying_price":71390.25163184035,"underlying_index":"SYN.BTC-27MAR26","last":null,
         "high":null,"low":null,"open_interest":5e-1,"volume":0.0,"volume_usd":0.0,
         "interest_rate":0.0,"estimated_delivery_price":71383.56,"price_change":null},
        {"instrument_name":"BTC-27MAR26-70000-P","creation_timestamp":1772450250125,
         "bid_price":null,"ask_price":0.0001,"mark_price":0.0,"mark_iv":37.88,
         "underlying_price":71390.25,"underlying_index":"SYN.BTC-27MAR26"},
        {"instrument_name":"BTC-CS-27MAR26-70000_75000","creation_timestamp":1772450250125,
         "bid_price":-0.01,"ask_price":0.0001,"mark_price":0.0}]}""",
        encoding="utf-8",
    )
    return path
