"""The exchange over a real socket: framing, calls, subscriptions, heartbeats, errors."""

import asyncio
import json
from typing import Any

import httpx
import pytest
import websockets

from vol_platform.errors import PortInUseError
from vol_platform_tests.simulator.conftest import START_MS, Client

TIMING = {"usIn", "usOut", "usDiff", "testnet"}


async def _names(running: Any, kind: str = "option") -> list[str]:
    async with httpx.AsyncClient() as http:
        answer = await http.get(
            f"{running.rest_url}/public/get_instruments", params={"currency": "BTC", "kind": kind}
        )
    return [row["instrument_name"] for row in answer.json()["result"]]


async def test_replies_carry_timing_and_notifications_do_not(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        reply = await client.call("public/get_time")
        assert set(reply) == {"jsonrpc", "id", "result", *TIMING}
        assert reply["usOut"] - reply["usIn"] == reply["usDiff"] >= 0
        assert reply["testnet"] is False
        assert START_MS <= reply["result"] < START_MS + 600_000
        await client.subscribe("ticker.BTC-PERPETUAL.100ms")
        while "method" not in (frame := await client.receive()):
            pass
        assert list(frame) == ["jsonrpc", "method", "params"]
        assert list(frame["params"]) == ["channel", "data"]


async def test_a_whole_board_is_subscribed_in_chunks_with_a_full_ticker_for_every_channel(
    exchange,
) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        channels = [f"ticker.{name}.100ms" for name in await _names(running)]
        assert len(channels) >= 900
        for start in range(0, len(channels), 200):
            chunk = channels[start : start + 200]
            accepted = await client.subscribe(*chunk)
            assert sorted(accepted) == sorted(chunk)
            assert accepted != chunk, "the order of the reply is the exchange's own"
        seen: set[str] = set()
        while len(seen) < len(channels):
            frame = await client.receive()
            if "params" in frame:
                seen.add(frame["params"]["channel"])
        notified = [json.loads(text) for text in client.frames]
        first = [f["params"]["channel"] for f in notified if "params" in f][:200]
        assert set(first) <= set(channels[:200]), "full tickers follow their reply at once"


async def test_unknown_channels_are_left_out_of_the_reply(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        wanted = ["ticker.BTC-1JAN20-1-C.100ms", "nonsense", "ticker.BTC-PERPETUAL.7ms"]
        good = "deribit_price_index.btc_usd"
        assert await client.subscribe(*wanted, good) == [good]
        index = await client.notification(good)
        assert set(index) == {"timestamp", "price", "index_name"}


async def test_unsubscribing_answers_what_was_subscribed_and_ends_the_messages(exchange) -> None:
    channel, other = "ticker.BTC-PERPETUAL.100ms", "deribit_price_index.btc_usd"
    async with exchange(rate=20) as running, Client(running.websocket_url) as client:
        await client.subscribe(channel, other)
        reply = await client.call("public/unsubscribe", channels=[channel, "ticker.X.raw"])
        assert reply["result"] == [channel]
        after = len(client.frames)
        await client.notification(other)
        await client.notification(other)
        assert not any(channel in frame for frame in client.frames[after:])
        assert (await client.call("public/unsubscribe_all"))["result"] == "ok"
        assert not next(iter(running.connections)).channels


@pytest.mark.parametrize(
    ("method", "params", "code", "words"),
    [
        ("public/subscribe", {"channels": "ticker.X"}, -32602, "value must be a list"),
        ("public/subscribe", {"channels": [1]}, -32602, "must be a string"),
        ("public/subscribe", {"channels": ["x"] * 501}, -32600, "request entity too large"),
        (
            "public/subscribe",
            {"channels": ["ticker.BTC-PERPETUAL.raw"]},
            13778,
            "raw_subscriptions",
        ),
        ("private/subscribe", {"channels": []}, 13009, "invalid_token"),
        ("public/nonsense", {}, -32601, "Method not found"),
        ("public/set_heartbeat", {"interval": 9}, -32602, "at least 10"),
        ("public/get_instruments", {"currency": "XXX"}, -32602, "invalid currency"),
        ("public/get_instruments", {}, -32602, "value required"),
        ("public/get_instruments", {"currency": "BTC", "kind": "x"}, -32602, "must be one of"),
        ("public/ticker", {"instrument_name": "BTC-1JAN20-1-C"}, 10020, "unsupported_instrument"),
        ("public/get_index_price", {"index_name": "x"}, -32602, "invalid index name"),
        (
            "public/get_order_book",
            {"instrument_name": "BTC-PERPETUAL", "depth": 3},
            -32602,
            "depth",
        ),
        ("public/auth", {"grant_type": "client_credentials"}, -32602, "value required"),
        (
            "public/auth",
            {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"},
            *(13004, "invalid_credentials"),
        ),
        ("public/test", {"expected_result": "exception"}, 11094, "internal_server_error"),
    ],
)
async def test_refusals_have_the_exchanges_codes(
    exchange, method: str, params: dict[str, Any], code: int, words: str
) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        reply = await client.call(method, **params)
        assert reply["error"]["code"] == code
        assert words in json.dumps(reply["error"])
        assert set(reply) == {"jsonrpc", "id", "error", *TIMING}
        assert (await client.call("public/test"))["result"] == {"version": "1.2.26"}


async def test_what_is_not_a_request_is_answered_not_dropped(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        for text, code in (("{oops", -32700), ("[1]", -32600), ('{"id":4}', -32600)):
            await client.socket.send(text)
            assert (await client.receive())["error"]["code"] == code


async def test_raw_is_for_authenticated_connections(exchange) -> None:
    channel = "ticker.BTC-PERPETUAL.raw"
    async with exchange() as running, Client(running.websocket_url) as client:
        token = await client.call(
            *("public/auth",),
            grant_type="client_credentials",
            client_id="simulator",
            client_secret="simulator",
        )
        assert {"access_token", "refresh_token", "expires_in", "scope", "token_type"} <= set(
            token["result"]
        )
        assert await client.subscribe(channel) == [channel]
        refreshed = await client.call(
            *("public/auth",),
            grant_type="refresh_token",
            refresh_token=token["result"]["refresh_token"],
        )
        assert refreshed["result"]["access_token"]


async def test_a_client_that_answers_test_requests_stays_and_one_that_does_not_is_closed(
    exchange,
) -> None:
    async with exchange() as running:
        running.heartbeat_scale = 0.01
        async with Client(running.websocket_url) as client:
            assert (await client.call("public/set_heartbeat", interval=10))["result"] == "ok"
            kinds = set()
            for _ in range(6):
                frame = await client.receive()
                if frame.get("method") == "heartbeat":
                    kinds.add(frame["params"]["type"])
                    if frame["params"]["type"] == "test_request":
                        await client.call("public/test")
            assert kinds == {"heartbeat", "test_request"}
            with pytest.raises(websockets.ConnectionClosed):
                await client.read_to_the_end()


async def test_heartbeats_can_be_switched_off_and_need_a_session(exchange) -> None:
    async with exchange() as running:
        running.heartbeat_scale = 0.002
        async with Client(running.websocket_url) as client:
            await client.call("public/set_heartbeat", interval=10)
            assert (await client.call("public/disable_heartbeat"))["result"] == "ok"
            await client.subscribe("deribit_price_index.btc_usd")
            for _ in range(2):
                await client.notification("deribit_price_index.btc_usd")
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{running.rest_url}/public/set_heartbeat?interval=10")
            assert answer.status_code == 400
            assert answer.json()["error"]["code"] == 10030


async def test_an_empty_credit_pool_is_10028_and_ends_the_session(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        request = {"jsonrpc": "2.0", "method": "public/subscribe", "params": {"channels": []}}
        for number in range(30):
            await client.socket.send(json.dumps(request | {"id": number}))
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.read_to_the_end()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000
        assert json.loads(client.frames[-1])["error"]["code"] == 10028
    async with exchange(enforce_credits=False) as running, Client(running.websocket_url) as client:
        for _ in range(60):
            assert (await client.call("public/subscribe", channels=[]))["result"] == []


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
        names = await _names(running)
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
        name = (await _names(running))[400]
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
            names = [f"ticker.{name}.100ms" for name in (await _names(running))[::100]]
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
        old = [name for name in await _names(running) if "-4JUN26-" in name]
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
        now = await _names(running)
        assert not set(old) & set(now)
        assert any("-8JUN26-" in name for name in now)
        assert await client.subscribe(channel) == []


async def test_a_taken_port_is_one_line_with_the_cure(exchange) -> None:
    async with exchange() as running:
        with pytest.raises(PortInUseError) as caught:
            async with exchange(port=running.port):
                pass
        text = str(caught.value)
        assert f"127.0.0.1:{running.port}" in text
        assert "choose another --port" in text
        assert "\n" not in text


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


async def test_half_a_handshake_leaves_the_others_served(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        await client.subscribe("deribit_price_index.btc_usd")
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /ws/api/v2 HTTP/1.1\r\nHost: x\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await client.notification("deribit_price_index.btc_usd")
        assert len(running.connections) == 1
