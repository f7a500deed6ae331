"""Every fault can be switched on, does what it says, and is the same in every run."""

import json
from collections.abc import AsyncIterator

import pytest
import websockets

from vol_platform.simulator.exchange.chaos import disturb
from vol_platform.simulator.exchange.options import ChaosOptions
from vol_platform_tests.simulator.conftest import START_MS, Client

FRAME = (
    b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"ticker.BTC-PERPETUAL.raw",'
    b'"data":{"instrument_name":"BTC-PERPETUAL","mark_price":5.0}}}'
)
INDEX = "deribit_price_index.btc_usd"


def _fates(**shares: float) -> list[list[bytes]]:
    chaos = ChaosOptions(**shares)
    return [disturb(chaos, 7, 0, number, FRAME) for number in range(2_000)]


def test_without_faults_every_frame_leaves_as_it_is() -> None:
    assert _fates() == [[FRAME]] * 2_000


@pytest.mark.parametrize(
    ("fault", "damaged"),
    [
        ("drop_share", []),
        ("duplicate_share", [FRAME, FRAME]),
        ("malformed_share", [FRAME[: len(FRAME) // 2]]),
    ],
)
def test_a_share_of_frames_meets_the_fault(fault: str, damaged: list[bytes]) -> None:
    fates = _fates(**{fault: 0.1})
    assert all(fate in ([FRAME], damaged) for fate in fates)
    assert 140 < fates.count(damaged) < 260
    assert fates == _fates(**{fault: 0.1})


def test_unknown_fields_and_instruments_are_still_json() -> None:
    extra = json.loads(_fates(unknown_field_share=1.0)[0][0])["params"]["data"]
    assert extra["field_of_next_year"] == {"nested": [1, 2]}
    assert extra["mark_price"] == 5.0
    renamed = json.loads(_fates(unknown_instrument_share=1.0)[0][0])["params"]
    assert renamed["channel"] == "ticker.BTC-31DEC99-1-C.raw"
    assert renamed["data"]["instrument_name"] == "BTC-31DEC99-1-C"


def test_shares_add_up() -> None:
    fates = _fates(drop_share=0.3, duplicate_share=0.3)
    assert 500 < fates.count([]) < 700
    assert 500 < fates.count([FRAME, FRAME]) < 700


async def test_the_reply_can_come_after_the_first_data(exchange) -> None:
    async with (
        exchange(chaos={"reply_after_data": True}) as running,
        Client(running.websocket_url) as client,
    ):
        await client.subscribe("ticker.BTC-PERPETUAL.100ms")
        assert "method" in json.loads(client.frames[0])
        assert "result" in json.loads(client.frames[1])


async def test_chosen_channels_can_be_refused(exchange) -> None:
    async with (
        exchange(chaos={"refuse_channels": ("PERPETUAL",)}) as running,
        Client(running.websocket_url) as client,
    ):
        assert await client.subscribe("ticker.BTC-PERPETUAL.100ms", INDEX) == [INDEX]


async def test_maintenance_refuses_calls_and_says_so_on_platform_state(exchange) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        await client.subscribe("platform_state")
        running.set_maintenance(True)
        assert await client.notification("platform_state") == {
            "price_index": "btc_usd",
            "locked": True,
        }
        refused = await client.call("public/ticker", instrument_name="BTC-PERPETUAL")
        assert refused["error"]["code"] == 11051
        assert (await client.call("public/status"))["result"]["locked"] == "true"
        running.set_maintenance(False)
        assert "result" in await client.call("public/ticker", instrument_name="BTC-PERPETUAL")


@pytest.fixture
async def stalled(exchange) -> AsyncIterator[tuple[object, Client]]:
    async with exchange() as running, Client(running.websocket_url) as client:
        await client.subscribe(INDEX)
        running.chaos.stalled = True
        yield running, client


async def test_a_stalled_exchange_keeps_the_socket_open_and_says_nothing(stalled) -> None:
    running, client = stalled
    sent = running.sent_notifications
    for number in range(1, 40):
        running.run_step("BTC", START_MS + 60_000 + number * 100)
    assert running.sent_notifications > sent
    running.chaos.stalled = False
    running.run_step("BTC", START_MS + 120_000)
    while (data := await client.notification(INDEX))["timestamp"] < START_MS + 120_000:
        assert not START_MS + 60_000 < data["timestamp"] < START_MS + 64_000


@pytest.mark.parametrize("code", [1000, 1006, 1012])
async def test_sessions_can_be_closed_with_any_code(exchange, code: int) -> None:
    async with exchange() as running, Client(running.websocket_url) as client:
        await client.call("public/test")
        running.close_all(code)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.receive()
        if code == 1006:
            assert closed.value.rcvd is None
        else:
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == code


async def test_a_dropped_change_breaks_the_chain_of_a_book(exchange) -> None:
    channel = "book.BTC-PERPETUAL.100ms"
    async with exchange(rate=10) as running, Client(running.websocket_url) as client:
        await client.subscribe(channel)
        last = (await client.notification(channel))["change_id"]
        running.chaos.drop_share = 0.5
        broken = False
        for _ in range(12):
            change = await client.notification(channel)
            broken |= change["prev_change_id"] != last
            last = change["change_id"]
        assert broken
