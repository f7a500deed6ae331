"""Instrument rows made from nothing but names, for captures without REST answers."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from vol_platform.simulator.market import noise
from vol_platform.simulator.market.board import PERPETUAL_EXPIRY_MS
from vol_platform.simulator.market.expiries import day_start_ms

__all__ = ["instrument_of_channel", "row_from_name"]

_DATE = r"\d{1,2}(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d{2}"
_OPTION = re.compile(rf"^([A-Z0-9_]+)-({_DATE})-(\d+(?:d\d+)?)-([CP])$")
_FUTURE = re.compile(rf"^([A-Z0-9_]+)-({_DATE}|PERPETUAL)$")
_COMBO = re.compile(rf"^([A-Z0-9_]+)-([A-Z0-9]+)-({_DATE})(?:-|_)?.*$")


def instrument_of_channel(channel: str) -> str:
    """Return the instrument a channel is about, empty when it is about none."""
    parts = channel.split(".")
    if len(parts) >= 2 and parts[0] in {"ticker", "book", "trades", "quote", "incremental_ticker"}:
        name = parts[1]
        return name if "-" in name else ""
    return ""


def _expiry_ms(label: str) -> int:
    if label == "PERPETUAL":
        return PERPETUAL_EXPIRY_MS
    return day_start_ms(datetime.strptime(f"{label} +0000", "%d%b%y %z").date())


def row_from_name(name: str) -> dict[str, Any] | None:
    """Return a `get_instruments` row with what the name tells, None for a name of no known form."""
    if found := _OPTION.match(name):
        row = {
            "kind": "option",
            "strike": float(found[3].replace("d", ".")),
            "option_type": "call" if found[4] == "C" else "put",
        }
        label = found[2]
    elif found := _FUTURE.match(name):
        row, label = {"kind": "future"}, found[2]
    elif found := _COMBO.match(name):
        row = {"kind": "future_combo" if found[2] == "FS" else "option_combo"}
        label = found[3]
    else:
        return None
    base, _, quote = found[1].partition("_")
    linear = bool(quote)
    is_option = row["kind"] == "option"
    return row | {
        "instrument_name": name,
        "instrument_id": noise.stream_of(name),
        "price_index": f"{base}_{quote or 'usd'}".lower(),
        "instrument_type": "linear" if linear else "reversed",
        "settlement_period": "perpetual" if label == "PERPETUAL" else "month",
        "settlement_currency": quote or base,
        "base_currency": base,
        "quote_currency": quote or (base if is_option else "USD"),
        "counter_currency": quote or "USD",
        "tick_size": 0.0001 if is_option else 0.5,
        "tick_size_steps": [{"above_price": 0.005, "tick_size": 0.0005}] if is_option else [],
        "contract_size": 1.0 if is_option else 10.0,
        "min_trade_amount": 0.1 if is_option else 10.0,
        "maker_commission": 0.0003,
        "taker_commission": 0.0003,
        "creation_timestamp": 0,
        "expiration_timestamp": _expiry_ms(label),
        "is_active": True,
        "state": "open",
    }
