"""Trades without memory: consecutive sequence numbers, any interval again."""

from collections import defaultdict

from vol_platform.simulator import Market
from vol_platform.simulator.market.board import board_at
from vol_platform.simulator.market.tickers import TickerSource
from vol_platform.simulator.market.trades import Trade, trades_between
from vol_platform_tests.simulator.conftest import START_MS

_HOUR_MS = 3_600_000


def _source() -> TickerSource:
    market = Market(7)
    return TickerSource(market, board_at(market, START_MS))


def _sequences(trades: list[Trade]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for trade in trades:
        found[trade["instrument_name"]].append(trade["trade_seq"])
    return found


def test_sequence_numbers_of_an_instrument_have_no_hole() -> None:
    trades = trades_between(_source(), START_MS, START_MS + 2 * _HOUR_MS)
    sequences = _sequences(trades)
    assert len(sequences) > 50
    for name, numbers in sequences.items():
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), name
        assert numbers[0] > 0


def test_an_interval_is_the_same_in_one_piece_and_in_many() -> None:
    source = _source()
    whole = trades_between(source, START_MS, START_MS + 600_000)
    parts: list[Trade] = []
    for start in range(START_MS, START_MS + 600_000, 50_000):
        parts += trades_between(source, start, start + 50_000)
    assert parts == whole
    identifiers = [trade["trade_id"] for trade in whole]
    assert len(set(identifiers)) == len(identifiers)
    assert all(isinstance(identifier, str) for identifier in identifiers)


def test_trades_have_the_fields_of_the_exchange_and_happen_at_the_quote() -> None:
    source = _source()
    trades = trades_between(source, START_MS, START_MS + _HOUR_MS)
    common = {
        *("trade_seq", "trade_id", "timestamp", "tick_direction", "price", "mark_price"),
        *("instrument_name", "index_price", "direction", "contracts", "amount"),
    }
    options = [trade for trade in trades if "iv" in trade]
    assert len(options) > 20
    for trade in trades:
        assert set(trade) == (common | {"iv"} if "iv" in trade else common)
        assert START_MS < trade["timestamp"] <= START_MS + _HOUR_MS
    perpetual = next(t for t in trades if t["instrument_name"] == "BTC-PERPETUAL")
    ticker = source.futures(["BTC-PERPETUAL"], perpetual["timestamp"])[0]
    sides = {"buy": ticker.best_ask_price, "sell": ticker.best_bid_price}
    assert perpetual["price"] == sides[perpetual["direction"]]
