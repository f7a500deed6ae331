"""Captures are played byte for byte, and what was sent is written down."""

import json
import zlib
from pathlib import Path

import httpx
import pytest
import websockets

from vol_platform.simulator.exchange.capture import read_capture
from vol_platform_tests.simulator.conftest import Client

_HEAD = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":'
FRAMES = [
    b'{"jsonrpc":"2.0","id":0,"result":["ticker.BTC-1JAN27-90000-C.raw"],"usIn":1}',
    _HEAD + b'"ticker.BTC-1JAN27-90000-C.raw","data":{"mark_price":5e-5,"odd":null}}}',
    _HEAD + b'"ticker.BTC-PERPETUAL.raw","data":{"mark_price":9.0}}}',
    b"{this is not JSON",
]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "capture.txt"
    path.write_bytes(b"".join(b"1800000000.%d: %s\n" % (n, f) for n, f in enumerate(FRAMES)))
    return path


async def _drain(client: Client) -> tuple[list[bytes], int]:
    """Return every frame until the exchange closes, and the close code."""
    frames: list[bytes] = []

    async def read() -> None:
        while True:
            frames.append(await client.raw())

    with pytest.raises(websockets.ConnectionClosed) as closed:
        await read()
    assert closed.value.rcvd is not None
    return frames, closed.value.rcvd.code


async def test_every_recorded_capture_is_played_byte_for_byte(exchange, real_data: Path) -> None:
    paths = [path for path in sorted((real_data / "ws").rglob("*")) if path.is_file()]
    assert len(paths) >= 17
    for path in paths:
        options = {"capture": path, "capture_all": True, "speed": 0, "capture_end": "close"}
        async with exchange(**options) as running, Client(running.websocket_url) as client:
            assert running.playback is not None
            running.playback.quiet_seconds = 0.01
            await client.subscribe("ticker.BTC-PERPETUAL.100ms")
            frames, code = await _drain(client)
            assert frames == [frame.payload for frame in read_capture(path).frames], path.name
            assert code == 1000
            assert running.playback.sent == len(frames)


async def test_a_client_gets_what_it_subscribed_whatever_the_recorded_interval(
    exchange, capture: Path
) -> None:
    options = {"capture": capture, "speed": 0, "capture_end": "close"}
    async with exchange(**options) as running, Client(running.websocket_url) as client:
        channel = "ticker.BTC-1JAN27-90000-C.100ms"
        assert await client.subscribe(channel, "ticker.ETH-PERPETUAL.100ms") == [channel]
        frames, _ = await _drain(client)
        assert frames == [FRAMES[0], FRAMES[1], FRAMES[3]]


async def test_the_oracle_log_accounts_for_every_frame(
    exchange, capture: Path, tmp_path: Path
) -> None:
    log = tmp_path / "oracle.jsonl"
    options = {"capture": capture, "capture_all": True, "speed": 0, "oracle_log": log}
    async with exchange(**options) as running, Client(running.websocket_url) as client:
        await client.subscribe("ticker.BTC-PERPETUAL.100ms")
        for expected in FRAMES:
            assert await client.raw() == expected
        assert running.playback is not None
        await running.playback.finished.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[-1] == {"connection": 0, "finished": True, "frames": len(FRAMES)}
    for number, (line, frame) in enumerate(zip(lines[:-1], FRAMES, strict=True), start=1):
        assert line["sequence"] == number
        assert line["crc32"] == zlib.crc32(frame)
        assert line["bytes"] == len(frame)
    assert [line["channel"] for line in lines[:-1]] == [
        *("", "ticker.BTC-1JAN27-90000-C.raw", "ticker.BTC-PERPETUAL.raw", "")
    ]


async def test_a_capture_is_played_to_one_connection_unless_told_otherwise(
    exchange, capture: Path
) -> None:
    options = {"capture": capture, "capture_all": True, "speed": 0}
    for plays in (1, 2):
        async with exchange(**options, capture_plays=plays) as running:
            for number in range(2):
                async with Client(running.websocket_url) as client:
                    await client.subscribe("ticker.BTC-PERPETUAL.100ms")
                    if number < plays:
                        assert await client.raw() == FRAMES[0]
                        assert running.playback is not None
                        await running.playback.finished.wait()
            assert running.playback is not None
            assert running.playback.sent == plays * len(FRAMES)


async def test_instruments_come_from_the_recorded_answers(exchange, real_data: Path) -> None:
    path = real_data / "ws" / "cryptofeed_deribit_20210722.v3.jsonl.gz"
    recorded = read_capture(path).instrument_rows
    async with exchange(capture=path) as running, httpx.AsyncClient() as http:
        counts = {}
        for currency in ("BTC", "ETH", "USDC", "any"):
            answer = await http.get(
                f"{running.rest_url}/public/get_instruments", params={"currency": currency}
            )
            counts[currency] = len(answer.json()["result"])
        assert counts["any"] == len(recorded)
        assert min(counts.values()) > 0
        assert counts["BTC"] + counts["ETH"] < counts["any"]


async def test_without_recorded_answers_instruments_come_from_the_names(
    exchange, capture: Path
) -> None:
    async with exchange(capture=capture) as running, httpx.AsyncClient() as http:
        answer = await http.get(
            f"{running.rest_url}/public/get_instruments", params={"currency": "BTC"}
        )
        rows = {row["instrument_name"]: row for row in answer.json()["result"]}
        assert set(rows) == {"BTC-1JAN27-90000-C", "BTC-PERPETUAL"}
        assert rows["BTC-1JAN27-90000-C"]["strike"] == 90_000.0


async def test_recorded_speed_keeps_the_recorded_gaps(exchange, tmp_path: Path) -> None:
    path = tmp_path / "slow.txt"
    path.write_bytes(b"1800000000.0: " + FRAMES[1] + b"\n1800000020.0: " + FRAMES[2] + b"\n")
    options = {"capture": path, "capture_all": True, "start": None, "capture_end": "close"}
    async with exchange(**options, speed=100) as running, Client(running.websocket_url) as client:
        await client.subscribe("ticker.BTC-PERPETUAL.100ms")
        assert await client.raw() == FRAMES[1]
        began = running.now_ms()
        assert began >= 1_800_000_000_000
        assert await client.raw() == FRAMES[2]
        # Twenty recorded seconds, less what passed before the first frame was read.
        assert running.now_ms() - began > 5_000
