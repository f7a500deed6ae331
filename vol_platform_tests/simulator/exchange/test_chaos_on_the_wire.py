"""The faults of a socket and of whole messages: each does what it says, on a real connection."""

from __future__ import annotations

import asyncio

import pytest
import websockets
from websockets.exceptions import InvalidStatus

from vol_platform.simulator.exchange.chaos import ODDITIES, disturb
from vol_platform.simulator.exchange.options import ChaosOptions
from vol_platform_tests.simulator.conftest import START_MS, Client
from vol_platform_tests.simulator.exchange.test_chaos import FRAME, INDEX

BOOK = "book.BTC-PERPETUAL.100ms"


def test_every_oddity_occurs_and_changes_the_message() -> None:
    chaos = ChaosOptions(odd_share=1.0)
    made = {disturb(chaos, 7, 0, number, FRAME)[0] for number in range(len(ODDITIES))}
    assert len(made) == len(ODDITIES)
    assert FRAME not in made


@pytest.mark.parametrize("status", [403, 429, 503])
async def test_a_handshake_can_be_refused(exchange, status: int) -> None:
    async with exchange() as running:
        running.chaos.handshake_status = status
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(running.websocket_url)
        assert refused.value.response.status_code == status
        running.chaos.handshake_status = 0
        async with Client(running.websocket_url) as client:
            assert "result" in await client.call("public/test")


async def test_a_mute_exchange_answers_calls_and_sends_no_data(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        await client.subscribe(INDEX)
        running.chaos.mute = True
        sent = running.sent_notifications
        running.run_step("BTC", START_MS + 60_000)
        assert running.sent_notifications == sent
        assert "result" in await client.call("public/test")


async def test_a_frame_can_stall_in_the_middle(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        await client.subscribe(INDEX)
        await client.notification(INDEX)
        running.chaos.stall_in_frame = True
        running.run_step("BTC", START_MS + 60_000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.call("public/test")
        client.socket.transport.abort()  # a closing handshake would wait for the rest of the frame


async def test_dripped_bytes_arrive_in_order_and_later(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        running.chaos.drip_bytes_per_second = 100_000
        loop = asyncio.get_running_loop()
        begun = loop.time()
        names = [f"ticker.{row}.100ms" for row in ("BTC-PERPETUAL", "BTC-26JUN26")]
        await client.subscribe(*names, INDEX)
        for number in range(1, 30):
            running.run_step("BTC", START_MS + 60_000 + number * 1_000)
        sent = running.sent_notifications
        received = 0
        while received < sent:
            received += "params" in await client.receive()
        assert sum(map(len, client.frames)) < 100_000 * (loop.time() - begun) + 4_000


async def test_a_reset_ends_the_session_without_a_closing_handshake(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        await client.call("public/test")
        running.close_all(1006, reset=True)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd is None


async def test_the_credits_of_a_session_can_be_taken(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        running.drain_credits()
        assert (await client.call("public/subscribe", channels=[INDEX]))["error"]["code"] == 10028


async def test_a_wrong_clock_moves_every_timestamp(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        running.chaos.timestamp_offset_ms = 3_600_000
        await client.subscribe(INDEX)
        running.run_step("BTC", START_MS + 60_000)
        data = await client.notification(INDEX)
        assert data["timestamp"] >= START_MS + 3_600_000
        reply = await client.call("public/get_time")
        assert abs(reply["result"] - reply["usOut"] // 1000) < 1_000
        assert reply["result"] >= START_MS + 3_600_000


async def test_faults_can_be_kept_to_some_channels_and_a_books_snapshot_lost(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        running.chaos.only_channels = ("book",)
        running.chaos.lose_snapshots = True
        await client.subscribe(BOOK, INDEX)
        assert await client.notification(INDEX)
        running.run_step("BTC", START_MS + 60_000)
        assert (await client.notification(BOOK))["type"] == "change"


async def test_reordered_changes_of_a_book_go_backwards_and_none_is_lost(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        running.chaos.only_channels = ("book",)
        running.chaos.reorder_share = 0.3
        await client.subscribe(BOOK)
        for number in range(1, 60):
            running.run_step("BTC", START_MS + 60_000 + number * 1_000)
        running.chaos.reorder_share = 0.0
        running.run_step("BTC", START_MS + 200_000)
        numbers = []
        while len(numbers) < running.sent_notifications:
            numbers.append((await client.notification(BOOK))["change_id"])
        assert numbers != sorted(numbers)
        assert len(set(numbers)) == len(numbers)


def test_the_command_has_a_switch_for_every_fault(capsys) -> None:
    from vol_platform.simulator.__main__ import main

    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name in ChaosOptions.model_fields:
        assert f"--{name.replace('_', '-')}" in text
