"""Channel names: what they carry, whom they are about, and whether silence means something."""

from __future__ import annotations

import pytest

from streamer.deribit.channels import Family, family_of, instrument_of, repeats, speaks_at_once

OPTION = "BTC-27DEC24-100000-C"
LINEAR = "SOL_USDC-25DEC26-1d02-C"


@pytest.mark.parametrize(
    ("channel", "family", "instrument"),
    [
        (f"ticker.{OPTION}.100ms", Family.TICKER, OPTION),
        (f"ticker.{LINEAR}.raw", Family.TICKER, LINEAR),
        (f"quote.{OPTION}", Family.QUOTE, OPTION),
        ("book.BTC-PERPETUAL.100ms", Family.BOOK, "BTC-PERPETUAL"),
        ("book.BTC-PERPETUAL.none.10.100ms", Family.GROUPED_BOOK, "BTC-PERPETUAL"),
        ("book.BTC-PERPETUAL", Family.UNKNOWN, ""),
        ("trades.option.BTC.100ms", Family.TRADES, ""),
        ("trades.BTC-PERPETUAL.raw", Family.TRADES, "BTC-PERPETUAL"),
        ("deribit_price_index.btc_usd", Family.PRICE_INDEX, ""),
        ("deribit_volatility_index.btc_usd", Family.VOLATILITY_INDEX, ""),
        ("markprice.options.btc_usd", Family.MARK_PRICES, ""),
        ("perpetual.BTC-PERPETUAL.100ms", Family.INTEREST, "BTC-PERPETUAL"),
        ("instrument.state.any.BTC", Family.LIFECYCLE, ""),
        ("platform_state", Family.LIFECYCLE, ""),
        ("platform_state.public_methods_state", Family.LIFECYCLE, ""),
        ("chart.trades.BTC-PERPETUAL.1", Family.UNSUPPORTED, ""),
        ("ticker", Family.TICKER, ""),
        ("nonsense", Family.UNKNOWN, ""),
        ("", Family.UNKNOWN, ""),
    ],
)
def test_a_name_tells_its_family_and_its_instrument(channel, family, instrument):
    assert family_of(channel) is family
    assert instrument_of(channel) == instrument


def test_what_speaks_at_once_and_what_repeats_itself():
    names = {
        "ticker.BTC-PERPETUAL.100ms": (True, True),
        "deribit_price_index.btc_usd": (True, True),
        "book.BTC-PERPETUAL.100ms": (True, False),
        "trades.option.BTC.100ms": (False, False),
        "deribit_volatility_index.btc_usd": (False, False),
    }
    assert {name: (speaks_at_once(name), repeats(name)) for name in names} == names
