"""The exchange over a real socket: framing, subscriptions, heartbeats, refusals."""

import asyncio
import json
from typing import Any

import httpx
import pytest
import websockets

from vol_platform.errors import PortInUseError
from vol_platform_tests.simulator.conftest import START_MS, Client, listed_names

TIMING = {"usIn", "usOut", "usDiff", "testnet"}


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
        channels = [f"ticker.{name}.100ms" for name in await listed_names(running)]
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


async def test_a_taken_port_is_one_line_with_the_cure(exchange) -> None:
    async with exchange() as running:
        with pytest.raises(PortInUseError) as caught:
            async with exchange(port=running.port):
                pass
        text = str(caught.value)
        assert f"127.0.0.1:{running.port}" in text
        assert "choose another --port" in text
        assert "\n" not in text


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
