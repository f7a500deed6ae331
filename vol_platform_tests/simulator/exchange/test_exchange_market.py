"""What the exchange tells of its market: REST answers, trades by number, books, the roll."""

import httpx

from vol_platform_tests.simulator.conftest import START_MS, Client, listed_names


async def test_rest_answers_get_and_post_alike(exchange) -> None:
    async with exchange() as running, httpx.AsyncClient() as http:
        url = f"{running.rest_url}/public/get_index_price"
        got = await http.get(url, params={"index_name": "btc_usd"})
        posted = await http.post(
            running.rest_url,
            json={
                "jsonrpc": "2.0",
                "id": 5,
                "method": "public/get_index_price",
                "params": {"index_name": "btc_usd"},
            },
        )
        assert set(got.json()["result"]) == set(posted.json()["result"])
        assert set(got.json()["result"]) == {"index_price", "estimated_delivery_price"}
        assert posted.json()["id"] == 5
        assert "id" not in got.json()
        assert (await http.post(running.rest_url, content=b"{oops")).status_code == 400
        assert (await http.get(f"http://{running.address}/elsewhere")).status_code == 404
        assert (await http.delete(running.rest_url)).status_code == 405
        for _ in range(8):
            last = await http.get(f"{running.rest_url}/public/get_instruments?currency=BTC")
        assert last.status_code == 429
        assert last.json()["error"]["code"] == 10028


async def test_the_book_summary_is_the_whole_chain_with_nulls(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        names = await listed_names(running)
        reply = await client.call(
            "public/get_book_summary_by_currency", currency="BTC", kind="option"
        )
        rows = reply["result"]
        assert {row["instrument_name"] for row in rows} == set(names)
        expected = {
            *("high", "low", "last", "instrument_name", "bid_price", "ask_price", "open_interest"),
            *("mark_price", "creation_timestamp", "price_change", "mark_iv", "underlying_price"),
            *("underlying_index", "volume", "interest_rate", "estimated_delivery_price"),
            *("base_currency", "quote_currency", "volume_usd", "mid_price"),
        }
        assert {frozenset(row) for row in rows} == {frozenset(expected)}
        absent = [row for row in rows if row["bid_price"] is None]
        assert absent
        assert all(row["mid_price"] is None for row in absent)
        assert not any(row["bid_price"] == 0.0 for row in rows)


async def test_the_other_market_methods_answer(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        name = (await listed_names(running))[400]
        book = (await client.call("public/get_order_book", instrument_name=name, depth=5))["result"]
        assert book["best_bid_price"] == (book["bids"][0][0] if book["bids"] else 0.0)
        assert len(book["bids"]) <= 5
        assert book["change_id"] > 0
        ticker = (await client.call("public/ticker", instrument_name=name))["result"]
        assert ticker["instrument_name"] == name
        one = (await client.call("public/get_instrument", instrument_name=name))["result"]
        assert one["instrument_name"] == name
        expired = await client.call("public/get_instruments", currency="BTC", expired=True)
        assert {row["expiration_timestamp"] for row in expired["result"]} == {
            START_MS - 7 * 3_600_000
        }
        assert not any(row["is_active"] for row in expired["result"])
        status = (await client.call("public/status"))["result"]
        assert status == {"locked": "false", "locked_indices": []}
        hello = await client.call("public/hello", client_name="a", client_version="1")
        assert hello["result"] == {"version": "1.2.26"}
        dates = (await client.call("public/get_expirations", currency="BTC", kind="option"))[
            "result"
        ]
        assert "26JUN26" in dates["btc"]["option"]


async def test_trades_page_by_sequence_without_a_hole(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        page = await client.call(
            "public/get_last_trades_by_instrument_and_time",
            instrument_name="BTC-PERPETUAL",
            start_timestamp=START_MS - 120_000,
            end_timestamp=START_MS,
            count=1000,
            sorting="asc",
        )
        numbers = [trade["trade_seq"] for trade in page["result"]["trades"]]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert len(numbers) >= 55
        assert page["result"]["has_more"] is False
        start = numbers[10]
        more = await client.call(
            "public/get_last_trades_by_instrument",
            instrument_name="BTC-PERPETUAL",
            start_seq=start,
            count=5,
            sorting="asc",
        )
        assert [t["trade_seq"] for t in more["result"]["trades"]] == list(range(start, start + 5))
        options = await client.call(
            "public/get_last_trades_by_currency_and_time",
            currency="BTC",
            kind="option",
            start_timestamp=START_MS - 3_600_000,
            end_timestamp=START_MS,
            count=3,
            sorting="desc",
        )
        times = [trade["timestamp"] for trade in options["result"]["trades"]]
        assert times == sorted(times, reverse=True)
        assert options["result"]["has_more"] is True


async def test_books_are_a_snapshot_and_then_an_unbroken_chain_of_changes(exchange) -> None:
    channel = "book.BTC-PERPETUAL.100ms"
    async with exchange(rate=5) as running, Client(running.websocket_url) as client:
        await client.subscribe(channel)
        book = await client.notification(channel)
        assert book["type"] == "snapshot"
        assert "prev_change_id" not in book
        sides = {side: {p: a for action, p, a in book[side]} for side in ("bids", "asks")}
        assert all(action == "new" for side in sides for action, *_ in book[side])
        last = book["change_id"]
        for _ in range(12):
            change = await client.notification(channel)
            assert change["type"] == "change"
            assert change["prev_change_id"] == last
            assert change["change_id"] > last
            last = change["change_id"]
            for side, levels in sides.items():
                for action, price, amount in change[side]:
                    if action == "delete":
                        assert amount == 0.0
                        del levels[price]
                    else:
                        assert (action == "change") == (price in levels)
                        levels[price] = amount
            assert max(sides["bids"]) < min(sides["asks"])


async def test_two_exchanges_of_one_seed_and_start_send_the_same_bytes(exchange) -> None:
    runs = []
    for _ in range(2):
        async with exchange() as running, Client(running.websocket_url) as client:
            for task in running._tasks:
                task.cancel()
            names = [f"ticker.{name}.100ms" for name in (await listed_names(running))[::100]]
            await client.subscribe(*names, "trades.any.any.100ms")
            # Steps are driven by hand: what is sent must not depend on the machine's clock.
            for number in range(1, 61):
                running.run_step("BTC", START_MS + number * 100)
            reply = len(client.frames)
            await client.call("public/test")
            runs.append([f for f in client.frames[reply + len(names) :] if "subscription" in f])
    assert len(runs[0]) > 15
    assert runs[0] == runs[1]


async def test_the_roll_says_what_closed_and_what_was_created_and_expired_options_end(
    exchange,
) -> None:
    from datetime import UTC, datetime

    before = datetime(2026, 6, 4, 7, 59, 59, 500_000, tzinfo=UTC)
    async with exchange(start=before) as running, Client(running.websocket_url) as client:
        old = [name for name in await listed_names(running) if "-4JUN26-" in name]
        channel = f"ticker.{old[0]}.100ms"
        await client.subscribe(channel, "instrument.state.option.BTC")
        while (last := await client.notification(channel))["state"] == "open":
            pass
        assert last["estimated_delivery_price"] == "expired"
        closed: set[str] = set()
        while not closed >= set(old) - {old[0]}:
            data = await client.notification("instrument.state.option.BTC")
            if data["state"] == "closed":
                closed.add(data["instrument_name"])
        created = ""
        while "-8JUN26-" not in created:
            data = await client.notification("instrument.state.option.BTC")
            created = data["instrument_name"] if data["state"] == "created" else ""
        now = await listed_names(running)
        assert not set(old) & set(now)
        assert any("-8JUN26-" in name for name in now)
        assert await client.subscribe(channel) == []


async def test_ethereum_is_there_when_asked_for(exchange) -> None:
    async with (
        exchange(currencies=("BTC", "ETH")) as running,
        Client(running.websocket_url) as client,
    ):
        reply = await client.call("public/get_instruments", currency="ETH", kind="option")
        assert len(reply["result"]) > 500
        assert {row["min_trade_amount"] for row in reply["result"]} == {1.0}
        both = await client.call("public/get_instruments", currency="any", kind="option")
        assert len(both["result"]) > 1_400
        channel = f"ticker.{reply['result'][0]['instrument_name']}.agg2"
        assert await client.subscribe(channel) == [channel]
