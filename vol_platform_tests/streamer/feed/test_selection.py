"""Which expiries and which books are chosen."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from streamer.deribit.messages import Instrument
from streamer.feed.catalogue import Catalogue
from streamer.feed.selection import choose_books, choose_expiries, is_monthly
from streamer.settings import StreamerSettings


def expiry(month: int, day: int) -> int:
    return round(datetime(2026, month, day, 8, tzinfo=UTC).timestamp() * 1000)


DAILY, WEEKLY, MONTHLY, QUARTERLY = expiry(11, 24), expiry(11, 20), expiry(11, 27), expiry(12, 25)
ALL = [DAILY, WEEKLY, MONTHLY, QUARTERLY]


def option(name: str, expires: int, strike: float, index: str = "btc_usd") -> Instrument:
    return Instrument(
        name, "option", "BTC", "BTC", 1.0, 0.1, 0.0001,
        strike=strike, expiration_timestamp=expires, price_index=index,
    )  # fmt: skip


def future(name: str, expires: int) -> Instrument:
    return Instrument(
        name, "future", "BTC", "USD", 10.0, 10.0, 0.5,
        expiration_timestamp=expires, price_index="btc_usd",
    )  # fmt: skip


LISTED = [
    *(
        option(f"BTC-{day}-{strike}-{side}", expires, float(strike))
        for day, expires in (("27NOV26", MONTHLY), ("24NOV26", DAILY))
        for strike in (80000, 90000, 100000)
        for side in "CP"
    ),
    future("BTC-25DEC26", QUARTERLY),
    future("BTC-27NOV26", MONTHLY),
    future("BTC-PERPETUAL", 32503708800000),
]


@pytest.mark.parametrize(
    ("rules", "chosen"),
    [
        (["all"], ALL),
        (["next:2"], [WEEKLY, DAILY]),
        (["monthlies"], [MONTHLY, QUARTERLY]),
        (["next:1", "monthlies"], [WEEKLY, MONTHLY, QUARTERLY]),
        (["next:99"], ALL),
        ([], []),
    ],
)
def test_expiries_are_chosen_by_any_of_the_rules(rules, chosen):
    assert choose_expiries(rules, [*ALL, DAILY]) == frozenset(chosen)


def test_a_monthly_is_the_last_friday():
    assert [is_monthly(it) for it in ALL] == [False, False, True, True]
    assert not is_monthly(expiry(12, 31))  # a Thursday


def test_books_are_chosen_by_role():
    prices = {"btc_usd": 90_000.0}
    assert choose_books(["perpetual"], LISTED, {}) == ["BTC-PERPETUAL"]
    assert choose_books(["front_future"], LISTED, {}) == ["BTC-27NOV26"]
    assert choose_books(["BTC-9"], LISTED, prices) == []
    nearest = choose_books(["at_the_money:1"], LISTED, prices)
    assert nearest == [f"BTC-24NOV26-{k}-{side}" for k in (100000, 90000) for side in "CP"]
    assert len(choose_books(["at_the_money:2", "perpetual"], LISTED, prices)) == 9


def test_at_the_money_needs_a_price_and_stays_on_the_board():
    assert choose_books(["at_the_money:1"], LISTED, {}) == []
    above = choose_books(["at_the_money:1"], LISTED, {"btc_usd": 1e6})
    assert above == ["BTC-24NOV26-100000-C", "BTC-24NOV26-100000-P"]


@pytest.mark.parametrize("wrong", ["", "next:0", "next:x", "weeklies"])
def test_a_misspelt_rule_is_refused(wrong):
    with pytest.raises(ValidationError):
        StreamerSettings(expiries=(wrong,))


def test_the_catalogue_asks_for_what_was_chosen():
    settings = StreamerSettings(
        currencies=("BTC", "MATIC_USDC"),
        expiries=("next:1",),
        books=("perpetual", "at_the_money:1", "BTC-25DEC26"),
        mark_prices=True,
        perpetual_interest=True,
    )
    catalogue = Catalogue(settings)
    catalogue.update("BTC", LISTED)
    strange = option("MATIC_USDC-9MAR27-1d02-C", expiry(11, 30), 1.02, "matic_usdc")
    catalogue.update("MATIC_USDC", [strange, *LISTED])
    assert catalogue.priced_indices == ["btc_usd", "matic_usdc"]
    before = catalogue.channels()
    catalogue.note_price("btc_usd", 91_000.0)
    channels = catalogue.channels()
    assert "ticker.MATIC_USDC-9MAR27-1d02-C.100ms" in channels
    assert not any("ticker.BTC-27NOV26-80000" in it for it in channels)
    assert set(channels) - set(before) == {
        f"book.BTC-24NOV26-{strike}-{side}.100ms" for strike in (90000, 100000) for side in "CP"
    }
    for wanted in (
        "book.BTC-PERPETUAL.100ms",
        "book.BTC-25DEC26.100ms",
        "markprice.options.btc_usd",
        "markprice.options.matic_usdc",
        "perpetual.BTC-PERPETUAL.100ms",
        "deribit_volatility_index.btc_usd",
        "deribit_price_index.matic_usdc",
        "trades.option.USDC.100ms",
        "instrument.state.any.USDC",
        "platform_state",
    ):
        assert channels.count(wanted) == 1, wanted
    assert len(set(channels)) == len(channels)


@pytest.mark.parametrize(
    ("interval", "depth", "channel"),
    [
        ("raw", "full", "book.BTC-PERPETUAL.raw"),
        ("raw", "10", "book.BTC-PERPETUAL.none.10.100ms"),
        ("agg2", "1", "book.BTC-PERPETUAL.none.1.agg2"),
    ],
)
def test_the_depth_of_books_is_chosen(interval, depth, channel):
    catalogue = Catalogue(
        StreamerSettings(interval=interval, books=("perpetual",), book_depth=depth)
    )
    catalogue.update("BTC", LISTED)
    assert channel in catalogue.channels()
    assert catalogue.priced_indices == []
