"""Reading recorded captures: every frame that was received, byte for byte, and when.

Formats (plain, ``.gz`` or ``.zst``):

* ``<receive epoch>: <json>`` lines, with ``wss://… <-> time`` and ``wss://… <- time: <json>``
lines for
  what the client did and ``https://… -> time: <json>`` lines for REST answers;
* JSON lines with a kind in ``t`` (``recv``, ``send``, ``http``, ``connect``, ``header``);
* JSON lines that are frames;
* one JSON document that is a frame, over any number of lines.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from vol_platform.errors import ImportFileError

__all__ = ["Capture", "CapturedFrame", "read_capture"]

_RECEIVED = re.compile(rb"^(\d{9,11}(?:\.\d+)?): (.*)$", re.DOTALL)
_CLIENT = re.compile(rb"^wss?://\S+ (?:<->|<-|->) ")
_ANSWER = re.compile(rb"^(https?://\S+) -> (\d+(?:\.\d+)?): (.*)$", re.DOTALL)
_CONFIGURATION = b"configuration: "


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One received frame.

    Attributes
    ----------
    payload
        Its bytes.
    received
        Receive time, seconds since the epoch; None when the capture has none.
    channel
        Channel of a notification, empty for anything else.
    """

    payload: bytes
    received: float | None
    channel: str


@dataclass(frozen=True, slots=True)
class Capture:
    """What a capture holds.

    Attributes
    ----------
    frames
        Received frames in the order recorded.
    instrument_rows
        Rows of every recorded `get_instruments` answer.
    """

    frames: tuple[CapturedFrame, ...]
    instrument_rows: tuple[dict[str, Any], ...] = field(default=())

    @property
    def channels(self) -> frozenset[str]:
        """Channels of the notifications."""
        return frozenset(frame.channel for frame in self.frames if frame.channel)

    @property
    def first_received(self) -> float | None:
        """Receive time of the first frame that has one."""
        return next((f.received for f in self.frames if f.received is not None), None)


class _Parameters(msgspec.Struct):
    channel: str = ""


class _Envelope(msgspec.Struct):
    params: _Parameters | None = None


class _Record(msgspec.Struct):
    t: str | None = None
    ts: float | None = None
    data: Any = None
    url: str = ""


_envelopes = msgspec.json.Decoder(_Envelope)
_records = msgspec.json.Decoder(_Record)


def _channel_of(payload: bytes) -> str:
    """Return the channel of a notification; odd frames have none."""
    try:
        parameters = _envelopes.decode(payload).params
    except msgspec.MsgspecError:
        return ""
    return "" if parameters is None else parameters.channel


def _read_bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            return gzip.decompress(content)
        if path.suffix == ".zst":
            with zstandard.ZstdDecompressor().stream_reader(content) as reader:
                return reader.read()
    except FileNotFoundError:
        msg = f"capture {path} does not exist; check --capture"
        raise ImportFileError(msg) from None
    except IsADirectoryError:
        msg = f"capture {path} is a directory; --capture takes one file"
        raise ImportFileError(msg) from None
    except (OSError, EOFError, zstandard.ZstdError) as error:
        msg = f"capture {path} cannot be read: {error}; check permissions and compression"
        raise ImportFileError(msg) from None
    return content


def _rows_of(answer: bytes) -> list[dict[str, Any]]:
    """Return instrument rows if this is an answer of get_instruments, else nothing."""
    try:
        decoded = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        return []
    result = decoded.get("result") if isinstance(decoded, dict) else None
    if not isinstance(result, list):
        return []
    return [row for row in result if isinstance(row, dict) and "expiration_timestamp" in row]


def _parse_lines(
    lines: Iterable[bytes],
) -> Iterator[tuple[bytes, float | None] | list[dict[str, Any]]]:
    """Yield (payload, receive time) for frames and lists of instrument rows for answers."""
    for line in lines:
        if not line.strip() or _CLIENT.match(line) or line.startswith(_CONFIGURATION):
            continue
        if found := _RECEIVED.match(line):
            yield found[2], float(found[1])
        elif found := _ANSWER.match(line):
            yield _rows_of(found[3])
        else:
            record = _record(line)
            if record is None or record.t is None:
                yield line, None
            elif record.t == "recv" and isinstance(record.data, str):
                yield record.data.encode(), record.ts
            elif record.t == "http" and isinstance(record.data, str):
                yield _rows_of(record.data.encode())


def _record(line: bytes) -> _Record | None:
    try:
        return _records.decode(line)
    except msgspec.MsgspecError:
        return None


def read_capture(path: Path) -> Capture:
    """Read a capture of any known format.

    Raises
    ------
    ImportFileError
        The file is missing, unreadable or holds no frame.
    """
    content = _read_bytes(path)
    parts = _split(content)
    frames: list[CapturedFrame] = []
    rows: dict[str, dict[str, Any]] = {}
    for part in _parse_lines(parts):
        if isinstance(part, list):
            rows.update((row["instrument_name"], row) for row in part)
            continue
        payload, received = part
        channel = _channel_of(payload)
        frames.append(CapturedFrame(payload, received, channel))
        if not channel:
            rows.update((row["instrument_name"], row) for row in _rows_of(payload))
    if not any(frame.payload.lstrip().startswith(b"{") for frame in frames) and not rows:
        msg = (
            f"capture {path} holds no frame; expected '<receive epoch>: <json>' lines, "
            "JSON lines or one JSON frame"
        )
        raise ImportFileError(msg)
    return Capture(tuple(frames), tuple(rows.values()))


def _split(content: bytes) -> list[bytes]:
    """Return the lines, or the whole text when it is one JSON document over several lines."""
    stripped = content.strip()
    if stripped.startswith(b"{") and b"\n" in stripped:
        try:
            msgspec.json.decode(stripped)
        except msgspec.DecodeError:
            return content.split(b"\n")
        return [stripped]
    return content.split(b"\n")
