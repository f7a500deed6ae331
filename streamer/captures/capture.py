"""Recorded frames: reading the capture formats that exist in the field.

================================  =====================================================
a line                            what it is
================================  =====================================================
``<epoch>: <json>``               a frame and when it was received (ours, cryptofeed)
``<address> <-> <epoch>``         a connection was opened; no message
``<address> <- <epoch>: <json>``  what the client sent; no message of the exchange
``<url> -> <epoch>: <json>``      the answer to a REST call
``{"jsonrpc": …}``                a frame without a receive time
``{"t": "recv", "ts": …, …}``     the same things as an object a line
================================  =====================================================

An hourly file of the archive (``.tar``) is read as well.  A file may be compressed (``.gz``,
``.zst``), and a ``.json`` file of several lines is one frame.
"""

from __future__ import annotations

import gzip
import io
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

from streamer.errors import CaptureError
from streamer.spool.archive import read_archive
from streamer.spool.segment import RecordKind

__all__ = ["CapturedMessage", "channels_of_capture", "read_capture"]


class CapturedMessage(msgspec.Struct, frozen=True, gc=False):
    """A message of the exchange.

    Attributes
    ----------
    payload
        Byte for byte.
    received_ns
        When it was received; None when the capture does not say.
    is_instruments
        It is the answer to a REST call of get_instruments.
    kind, connection_id
        Of a message from an archive, as they were.
    """

    payload: bytes
    received_ns: int | None
    is_instruments: bool = False
    kind: RecordKind | None = None
    connection_id: int = 0

    @property
    def record_kind(self) -> RecordKind:
        """What it is in a segment."""
        if self.kind is not None:
            return self.kind
        return RecordKind.INSTRUMENTS if self.is_instruments else RecordKind.FRAME


class _Entry(msgspec.Struct):
    """A line of the object-a-line format."""

    t: str | None = None
    ts: Decimal | None = None
    url: str = ""
    data: str | None = None


_FRAME = re.compile(rb"(\d+(?:\.\d+)?): ")
_REST = re.compile(rb"(https?://\S+) -> (\d+(?:\.\d+)?): ")
_CLIENT = re.compile(rb"\S+ (?:<->|<-) \d")
_REST_KINDS = {
    b"get_instruments": RecordKind.INSTRUMENTS,
    b"get_last_trades": RecordKind.TRADES,
    b"get_book_summary": RecordKind.BOOK_SUMMARY,
}
_ENTRY_KINDS_WITHOUT_MESSAGE = frozenset({"header", "connect", "send", "disconnect", "config"})


def read_capture(path: Path) -> Iterator[CapturedMessage]:
    """Yield the messages of a capture in the order in which they were received.

    Parameters
    ----------
    path
        A file, or ``-`` for standard input.

    Raises
    ------
    CaptureError
        The file is missing or unreadable.  A line that makes no sense is a message: it becomes a
        dead letter, it is not skipped.
    """
    if path.suffix == ".tar":
        for record in read_archive(path):
            kind = RecordKind(record.kind)
            is_list = kind is RecordKind.INSTRUMENTS
            if kind is not RecordKind.GAP:  # of our own: it belongs to the run that wrote it
                yield CapturedMessage(
                    record.payload, record.received_ns, is_list, kind, record.connection_id
                )
        return
    try:
        with _opened(path) as stream:
            if _is_one_document(path, stream):
                yield CapturedMessage(stream.read().strip(), None)
                return
            for line in stream:
                message = _message_of(line.rstrip(b"\r\n"))
                if message is not None:
                    yield message
    except FileNotFoundError:
        raise CaptureError(f"capture {path} does not exist; check the path") from None
    except (OSError, EOFError, zstandard.ZstdError) as error:
        raise CaptureError(f"capture {path} cannot be read: {error}") from None


def channels_of_capture(path: Path) -> list[str]:
    """Return the channels that a capture has frames of, each once, in order of appearance.

    Raises
    ------
    CaptureError
        As `read_capture`.
    """
    seen: dict[str, None] = {}
    decoder = msgspec.json.Decoder(_ChannelOnly)
    for message in read_capture(path):
        try:
            channel = decoder.decode(message.payload).params.channel
        except msgspec.DecodeError:
            continue
        if channel:
            seen[channel] = None
    return list(seen)


class _ChannelParams(msgspec.Struct):
    channel: str = ""


class _ChannelOnly(msgspec.Struct):
    params: _ChannelParams = msgspec.field(default_factory=_ChannelParams)


def _opened(path: Path) -> BinaryIO:
    if str(path) == "-":
        return sys.stdin.buffer
    if path.suffix == ".gz":
        return io.BufferedReader(gzip.open(path, "rb"))
    if path.suffix == ".zst":
        reader = zstandard.ZstdDecompressor().stream_reader(
            path.open("rb"), read_across_frames=True, closefd=True
        )
        return io.BufferedReader(reader)
    return path.open("rb")


def _is_one_document(path: Path, stream: BinaryIO) -> bool:
    """Tell whether a .json file is one frame written over several lines."""
    if ".json" not in path.suffixes or not isinstance(stream, io.BufferedReader):
        return False
    first_line = stream.peek(64).split(b"\n", 1)[0].strip()
    return first_line == b"{"


def _message_of(line: bytes) -> CapturedMessage | None:
    frame = _FRAME.match(line)
    if frame is not None:  # nearly every line
        return CapturedMessage(line[frame.end() :], _nanoseconds(frame.group(1)))
    if not line.strip() or _CLIENT.match(line):
        return None
    rest = _REST.match(line)
    if rest is not None:
        kind = next((it for name, it in _REST_KINDS.items() if name in rest.group(1)), None)
        is_instruments = kind is RecordKind.INSTRUMENTS
        body = line[rest.end() :]
        return CapturedMessage(body, _nanoseconds(rest.group(2)), is_instruments, kind)
    if line.startswith(b'{"t":'):
        return _message_of_entry(line)
    return CapturedMessage(line, None)


def _message_of_entry(line: bytes) -> CapturedMessage | None:
    try:
        entry = msgspec.json.decode(line, type=_Entry)
    except msgspec.DecodeError:
        return CapturedMessage(line, None)  # damaged: it becomes a dead letter, it is not skipped
    if entry.t in _ENTRY_KINDS_WITHOUT_MESSAGE or entry.data is None:
        return None
    received_ns = None if entry.ts is None else int(entry.ts * 1_000_000_000)
    return CapturedMessage(entry.data.encode(), received_ns, "get_instruments" in entry.url)


def _nanoseconds(seconds: bytes) -> int:
    whole, _, fraction = seconds.partition(b".")
    return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
