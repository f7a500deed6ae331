"""The socket that hands over messages by the read: the same messages as the library's own."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from streamer.feed.frames import LARGEST_MESSAGE_BYTES, FrameConnection

SEED = 20261122


def frame_bytes(payload: bytes, *, opcode: int = Opcode.TEXT, fin: bool = True) -> bytes:
    return bytes(Frame(Opcode(opcode), payload, fin).serialize(mask=False))


@asynccontextmanager
async def session(pieces: list[bytes], received: list[bytes]) -> AsyncIterator[FrameConnection]:
    """Send raw bytes in exactly these pieces, the first together with the end of the handshake."""
    answers: list[bytes] = received

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = ServerProtocol()
        server.receive_data(await reader.readuntil(b"\r\n\r\n"))
        (request,) = server.events_received()
        assert isinstance(request, Request)
        server.send_response(server.accept(request))
        first, *others = pieces
        writer.write(b"".join(server.data_to_send()) + first)
        for piece in others:
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(piece)
        while data := await reader.read(65536):
            server.receive_data(data)
            answers.extend(
                bytes(event.data)
                for event in server.events_received()
                if isinstance(event, Frame) and event.opcode is Opcode.PONG
            )
            for chunk in server.data_to_send():
                if chunk:
                    writer.write(chunk)
                else:
                    writer.write_eof()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with (
        listener,
        connect(
            f"ws://127.0.0.1:{port}/",
            compression=None,
            ping_interval=None,
            close_timeout=1.0,
            create_connection=FrameConnection,
            max_size=LARGEST_MESSAGE_BYTES,
        ) as socket,
    ):
        assert isinstance(socket, FrameConnection)
        yield socket


async def received_from(pieces: list[bytes], count: int) -> tuple[list[bytes], list[bytes]]:
    """Return the messages of a session and the pongs that the server got."""
    messages: list[bytes] = []
    pongs: list[bytes] = []
    async with session(pieces, pongs) as socket:
        socket.deliver_to(messages.extend)
        async with asyncio.timeout(10):
            while len(messages) < count:  # noqa: ASYNC110 - polls what the event loop brings
                await asyncio.sleep(0.001)
    return messages, pongs


async def test_messages_arrive_whole_and_in_order_however_the_bytes_are_cut():
    chance = random.Random(SEED)
    sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 300_000, 2, 700, 700]
    payloads = [chance.randbytes(size) for size in sizes]
    stream = b"".join(map(frame_bytes, payloads))
    for _ in range(6):
        cuts = sorted(chance.sample(range(len(stream)), 40))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        messages, _ = await received_from(pieces, len(payloads))
        assert messages == payloads
    messages, _ = await received_from([bytes([octet]) for octet in stream[:400]], 3)
    assert messages[:3] == payloads[:3]


async def test_fragments_binary_messages_and_pings_are_the_librarys():
    stream = [
        frame_bytes(b"one"),
        frame_bytes(b"tw", fin=False),
        frame_bytes(b"a ping in between", opcode=Opcode.PING),
        frame_bytes(b"o", opcode=Opcode.CONT),
        frame_bytes(b"three", opcode=Opcode.BINARY),
        frame_bytes(b"four"),
    ]
    messages, pongs = await received_from([b"".join(stream)], 4)
    assert messages == [b"one", b"two", b"three", b"four"]
    assert pongs == [b"a ping in between"]


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"\x81\x85\x00\x00\x00\x00hello", 1002),  # masked, which a server must not
        (b"\x81\x7f" + struct.pack("!Q", LARGEST_MESSAGE_BYTES + 1), 1009),
        (b"\xf1\x01x", 1002),  # reserved bits
    ],
    ids=["masked", "too large", "reserved bits"],
)
async def test_what_breaks_the_protocol_ends_the_connection_with_the_right_code(octets, code):
    messages: list[bytes] = []
    async with session([frame_bytes(b"sound"), octets], []) as socket:
        socket.deliver_to(messages.extend)
        async with asyncio.timeout(10):
            await socket.wait_closed()
        assert socket.protocol.close_sent is not None
        assert socket.protocol.close_sent.code == code
    assert messages == [b"sound"]


async def test_after_the_end_of_delivery_messages_are_dropped_and_closing_works():
    messages: list[bytes] = []
    async with session([frame_bytes(b"one")], []) as socket:
        socket.stop_delivery()
        socket.stop_delivery()
    assert messages == []
    assert socket.protocol.close_exc.sent is not None
