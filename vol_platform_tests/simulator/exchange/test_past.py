"""The past that the exchange answers is the past of the market that it trades."""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from vol_platform.simulator import Exchange
from vol_platform.simulator.exchange.errors import RpcError
from vol_platform.simulator.exchange.options import make_options
from vol_platform.simulator.exchange.rpc import answer
from vol_platform.simulator.market.past_trades import past_trades
from vol_platform_tests.simulator.conftest import START, START_MS

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


@pytest.fixture(scope="module")
def exchange() -> Exchange:
    """Return an exchange that was not started: its calls need no socket."""
    return Exchange(make_options(start=START, seed=7))


@pytest.fixture
def ask(exchange: Exchange):
    def call(method: str, **params: Any) -> Any:
        return answer(exchange, None, f"public/{method}", params)

    return call


def test_trades_run_through_the_roll_without_a_hole(exchange) -> None:
    roll = START_MS - 7 * _HOUR_MS
    market = exchange.venue.markets["BTC"]
    trades = list(past_trades(market, roll - _HOUR_MS, roll + _HOUR_MS, kind="future"))
    numbers: dict[str, list[int]] = defaultdict(list)
    for trade in trades:
        numbers[trade["instrument_name"]].append(trade["trade_seq"])
    assert len(numbers["BTC-PERPETUAL"]) == 3_600
    for name, found in numbers.items():
        assert found == list(range(found[0], found[0] + len(found))), name


def test_trades_do_not_depend_on_the_window_that_is_asked_for(exchange) -> None:
    market = exchange.venue.markets["BTC"]
    noon = START_MS - 3 * _HOUR_MS  # a future opens
    whole = list(past_trades(market, noon - 600_000, noon + 600_000))
    parts = list(past_trades(market, noon - 600_000, noon - 1))
    parts += list(past_trades(market, noon, noon + 600_000))
    assert parts == whole


def test_old_trades_are_only_on_the_history_host(ask) -> None:
    start = START_MS - 3 * _DAY_MS
    window = {"currency": "BTC", "kind": "option", "count": 1000, "sorting": "asc"}
    window |= {"start_timestamp": start, "end_timestamp": start + _HOUR_MS}
    method = "get_last_trades_by_currency_and_time"
    assert ask(method, **window) == {"trades": [], "has_more": False}
    found = ask(method, **window, include_old="true")["trades"]
    assert found
    assert all(start <= trade["timestamp"] <= start + _HOUR_MS for trade in found)
    one = found[0]
    again = ask(
        "get_last_trades_by_instrument", instrument_name=one["instrument_name"],
        start_seq=one["trade_seq"], end_seq=one["trade_seq"], include_old="true",
    )  # fmt: skip
    assert again["trades"] == [one]


def test_candles_are_made_of_the_trades(ask, exchange) -> None:
    start = START_MS - 2 * _HOUR_MS
    got = ask(
        "get_tradingview_chart_data", instrument_name="BTC-PERPETUAL", resolution="5",
        start_timestamp=start, end_timestamp=start + 899_999,
    )  # fmt: skip
    assert got["status"] == "ok"
    assert got["ticks"] == [start, start + 300_000, start + 600_000]
    market = exchange.venue.markets["BTC"]
    trades = list(past_trades(market, start, start + 299_999, only="BTC-PERPETUAL"))
    prices = [trade["price"] for trade in trades]
    first = [got[name][0] for name in ("open", "high", "low", "close")]
    assert first == [prices[0], max(prices), min(prices), prices[-1]]
    volume = sum(trade["amount"] / trade["price"] for trade in trades)
    assert got["volume"][0] == pytest.approx(volume, rel=1e-9)
    assert got["cost"][0] == sum(trade["amount"] for trade in trades)


def test_volatility_candles_hold_what_was_published_and_page_backwards(ask, exchange) -> None:
    start, end = START_MS - 20 * _HOUR_MS, START_MS
    window = {"currency": "BTC", "resolution": "60", "start_timestamp": start}
    newest = ask("get_volatility_index_data", **window, end_timestamp=end)
    assert len(newest["data"]) == 1_000
    older = ask("get_volatility_index_data", **window, end_timestamp=newest["continuation"])
    assert older["continuation"] is None
    ticks = [row[0] for row in older["data"] + newest["data"]]
    assert ticks == list(range(start, end + 1, 60_000))
    published = exchange.venue.first_messages(["deribit_volatility_index.btc_usd"], ticks[700])
    assert f'"volatility":{(older["data"] + newest["data"])[700][1]}'.encode() in published[0][1]
    for _, opened, high, low, closed in newest["data"]:
        assert low <= min(opened, closed) <= max(opened, closed) <= high


def test_funding_is_hourly_and_that_of_the_ticker(ask, exchange) -> None:
    start = START_MS - 5 * _HOUR_MS
    rows = ask(
        "get_funding_rate_history", instrument_name="BTC-PERPETUAL",
        start_timestamp=start, end_timestamp=START_MS - 1,
    )  # fmt: skip
    assert [row["timestamp"] for row in rows] == list(range(start, START_MS, _HOUR_MS))
    market = exchange.venue.markets["BTC"]
    assert rows[1]["prev_index_price"] == rows[0]["index_price"]
    assert rows[0]["index_price"] == float(market.index_price(start)[0])
    source = exchange.venue.feeds["BTC"].source
    ticker = source.futures(["BTC-PERPETUAL"], rows[0]["timestamp"])[0]
    assert rows[0]["interest_8h"] == ticker.funding_8h


def test_delivery_prices_are_those_that_options_settled_on(ask, exchange) -> None:
    first = ask("get_delivery_prices", index_name="btc_usd", count=3)
    assert [row["date"] for row in first["data"]] == ["2026-06-03", "2026-06-02", "2026-06-01"]
    then = ask("get_delivery_prices", index_name="btc_usd", count=2, offset=2)
    assert then["data"][0] == first["data"][2]
    last = ask("get_delivery_prices", index_name="btc_usd", offset=first["records_total"] - 1)
    assert [row["date"] for row in last["data"]] == ["2020-01-01"]
    expiry = round(datetime(2026, 6, 3, 8, tzinfo=UTC).timestamp() * 1000)
    settled = exchange.venue.markets["BTC"].settlement_average(expiry, expiry)
    assert first["data"][0]["delivery_price"] == settled


def test_the_index_chart_is_the_index(ask, exchange) -> None:
    points = ask("get_index_chart_data", index_name="btc_usd", range="1d")
    assert len(points) >= 288
    moments = np.array([point[0] for point in points])
    assert set(np.diff(moments)) == {300_000}
    expected = exchange.venue.markets["BTC"].index_price(moments).tolist()
    assert [point[1] for point in points] == expected


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("get_tradingview_chart_data", {"instrument_name": "BTC-PERPETUAL", "resolution": "7"}),
        ("get_tradingview_chart_data", {"instrument_name": "DOGE-PERPETUAL", "resolution": "1"}),
        ("get_volatility_index_data", {"currency": "DOGE", "resolution": "60"}),
        ("get_funding_rate_history", {"instrument_name": "BTC-26JUN26"}),
        ("get_delivery_prices", {"index_name": "doge_usd"}),
        ("get_index_chart_data", {"index_name": "btc_usd", "range": "3d"}),
    ],
)
def test_what_is_not_there_is_refused(ask, method, params) -> None:
    with pytest.raises(RpcError):
        ask(method, start_timestamp=START_MS - _HOUR_MS, end_timestamp=START_MS, **params)
