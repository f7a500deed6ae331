"""Reading instrument names."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from vol_platform.errors import ImportFileError
from vol_platform.imports.instrument_names import parse_instrument_name


def test_an_inverse_option_pays_its_premium_in_the_coin() -> None:
    parsed = parse_instrument_name("BTC-5JUN26-65000-P")
    assert parsed.kind == "option"
    assert parsed.expiry_ts == datetime(2026, 6, 5, 8, tzinfo=UTC)
    assert parsed.strike == Decimal(65000)
    assert parsed.is_call is False
    assert parsed.is_inverse
    assert (parsed.premium_currency, parsed.price_index) == ("BTC", "btc_usd")


def test_a_linear_option_pays_in_the_quote_currency_and_may_have_a_decimal_strike() -> None:
    parsed = parse_instrument_name("MATIC_USDC-9MAR24-1d02-C")
    assert parsed.strike == Decimal("1.02")
    assert not parsed.is_inverse
    assert (parsed.base_currency, parsed.premium_currency) == ("MATIC", "USDC")
    assert parsed.price_index == "matic_usdc"


@pytest.mark.parametrize(
    ("name", "kind"), [("BTC-PERPETUAL", "perpetual"), ("BTC-25DEC26", "future")]
)
def test_futures_and_perpetuals_are_told_apart(name: str, kind: str) -> None:
    assert parse_instrument_name(name).kind == kind


@pytest.mark.parametrize(
    "name", ["", "BTC", "BTC-CS-19MAY26-70000_75000", "BTC-31FEB26-70000-C", "BTC-1XXX26-1-C"]
)
def test_anything_else_is_refused_with_its_name(name: str) -> None:
    with pytest.raises(ImportFileError, match="was"):
        parse_instrument_name(name)
