"""The segment file: what is on disk between the socket and the database.

::

    header   magic 8 | version u16 | length u16 | crc32c u32 | JSON of SegmentHeader
    record   length u32 | crc32c u32 | received_ns i64 | connection_id u32 | kind u8 | payload

All numbers are little-endian.  A record's checksum covers everything after it, so a flipped bit in
the payload, in the time or in the kind is found; a flipped bit in a length ends in a wrong checksum
or beyond the end of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

import crc32c
import msgspec

from streamer.errors import SegmentError

__all__ = [
    "RECORD_OVERHEAD",
    "Record",
    "RecordKind",
    "SegmentHeader",
    "encode_frames",
    "encode_header",
    "encode_record",
    "read_header",
    "read_records",
    "sound_length",
]

_MAGIC = b"VOLSPOOL"
_VERSION = 1
_PREFIX = struct.Struct("<8sHHI")
_RECORD = struct.Struct("<IIqIB")
_COVERED = struct.Struct("<qIB")
_CHECKED_FROM = 8  # the checksum covers what follows length and checksum
RECORD_OVERHEAD = _RECORD.size
"""Bytes that a record adds to its payload."""


class RecordKind(IntEnum):
    """What the payload of a record is."""

    FRAME = 0
    """A WebSocket frame, byte for byte."""
    INSTRUMENTS = 1
    """The body of a REST answer to get_instruments, byte for byte."""
    GAP = 2
    """A gap event of our own, JSON; it is no message of the exchange."""
    TRADES = 3
    """The body of a REST answer with trades that a repair asked for, byte for byte."""
    BOOK_SUMMARY = 4
    """A REST answer to get_book_summary_by_currency that bridges a gap, its rows byte for byte."""


class SegmentHeader(msgspec.Struct, frozen=True):
    """What holds for every record of a segment."""

    segment_id: str
    collector: str
    source: str
    testnet: bool
    created_ns: int


class Record(msgspec.Struct, gc=False):
    """One record; `offset` is where its payload begins in the file."""

    kind: int
    received_ns: int
    connection_id: int
    payload: bytes
    offset: int


def encode_header(header: SegmentHeader) -> bytes:
    """Return the bytes that begin a segment file."""
    body = msgspec.json.encode(header)
    return _PREFIX.pack(_MAGIC, _VERSION, len(body), crc32c.crc32c(body)) + body


def encode_record(kind: int, received_ns: int, connection_id: int, payload: bytes) -> bytes:
    """Return one record as it stands in the file."""
    covered = _COVERED.pack(received_ns, connection_id, kind)
    checksum = crc32c.crc32c(payload, crc32c.crc32c(covered))
    return _RECORD.pack(len(payload), checksum, received_ns, connection_id, kind) + payload


def encode_frames(received_ns: int, connection_id: int, payloads: list[bytes]) -> bytes:
    """Return frames of one read of a socket as they stand in the file, one record each."""
    kind = RecordKind.FRAME
    seed = crc32c.crc32c(_COVERED.pack(received_ns, connection_id, kind))
    checksum, pack = crc32c.crc32c, _RECORD.pack
    parts: list[bytes] = []
    for payload in payloads:
        head = pack(len(payload), checksum(payload, seed), received_ns, connection_id, kind)
        parts += (head, payload)
    return b"".join(parts)


def read_header(buffer: bytes) -> tuple[SegmentHeader, int]:
    """Read the header of a segment.

    Returns
    -------
    (header, offset)
        ``offset`` is where the first record begins.

    Raises
    ------
    SegmentError
        It is not a segment of ours, of another version, or damaged.
    """
    if len(buffer) < _PREFIX.size:
        raise SegmentError(f"header is cut short: {len(buffer)} bytes")
    magic, version, length, checksum = _PREFIX.unpack_from(buffer)
    if magic != _MAGIC:
        raise SegmentError(f"not a segment file: it begins with {magic!r}")
    if version != _VERSION:
        raise SegmentError(f"segment version must be {_VERSION}, was {version}")
    body = buffer[_PREFIX.size : _PREFIX.size + length]
    if len(body) != length or crc32c.crc32c(body) != checksum:
        raise SegmentError("header is damaged: its checksum is wrong")
    try:
        header = msgspec.json.decode(body, type=SegmentHeader)
    except msgspec.DecodeError as error:
        raise SegmentError(f"header is damaged: {error}") from None
    return header, _PREFIX.size + length


def read_records(buffer: bytes, offset: int) -> Iterator[Record]:
    """Yield the records from ``offset`` to the end.

    Raises
    ------
    SegmentError
        At the first damaged record, after all sound ones before it were yielded; its text says
        where.
    """
    end = len(buffer)
    view = memoryview(buffer)
    while offset < end:
        if offset + RECORD_OVERHEAD > end:
            raise SegmentError(f"record at byte {offset} is cut short")
        length, checksum, received_ns, connection_id, kind = _RECORD.unpack_from(buffer, offset)
        begin = offset + RECORD_OVERHEAD
        if begin + length > end:
            raise SegmentError(f"record at byte {offset} is cut short: {length} bytes announced")
        if crc32c.crc32c(view[offset + _CHECKED_FROM : begin + length]) != checksum:
            raise SegmentError(f"record at byte {offset} is damaged: its checksum is wrong")
        payload = buffer[begin : begin + length]
        yield Record(kind, received_ns, connection_id, payload, begin)
        offset = begin + length


def sound_length(buffer: bytes) -> tuple[int, int]:
    """Return how many bytes of a segment are sound, and the last receive time among them.

    Returns
    -------
    (length, last_received_ns)
        ``length`` is 0 when not even the header is sound; ``last_received_ns`` is 0 without
        records.
    """
    try:
        _, length = read_header(buffer)
    except SegmentError:
        return 0, 0
    last_received_ns = 0
    try:
        for record in read_records(buffer, length):
            length = record.offset + len(record.payload)
            last_received_ns = max(last_received_ns, record.received_ns)
    except SegmentError:
        pass
    return length, last_received_ns
