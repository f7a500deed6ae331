"""The segment file: what was written comes back, and what was damaged is found."""

from __future__ import annotations

import struct

import crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.errors import SegmentError
from streamer.spool.segment import (
    RECORD_OVERHEAD,
    SegmentHeader,
    encode_frames,
    encode_header,
    encode_record,
    read_header,
    read_records,
    sound_length,
)
from vol_platform_tests.streamer.support import RECEIVED_NS

HEADER = SegmentHeader("c-1", "c", "stream", testnet=False, created_ns=1)
PAYLOADS = st.lists(st.binary(max_size=200), min_size=1, max_size=20)


def segment_bytes(payloads) -> bytes:
    records = [encode_record(0, RECEIVED_NS + i, 1, each) for i, each in enumerate(payloads)]
    return encode_header(HEADER) + b"".join(records)


def collect_payloads(buffer: bytes, into: list[bytes]) -> None:
    _, offset = read_header(buffer)
    into.extend(record.payload for record in read_records(buffer, offset))


@settings(deadline=None)
@given(payloads=PAYLOADS)
def test_a_segment_gives_back_what_was_written(payloads):
    buffer = segment_bytes(payloads)
    header, offset = read_header(buffer)
    records = list(read_records(buffer, offset))
    assert header == HEADER
    assert [record.payload for record in records] == payloads
    assert [record.received_ns for record in records] == [
        RECEIVED_NS + index for index in range(len(payloads))
    ]
    assert sound_length(buffer) == (len(buffer), RECEIVED_NS + len(payloads) - 1)


def test_the_frames_of_one_read_are_the_same_records_as_each_alone():
    frames = [b"one", b"", b"three"]
    alone = b"".join(encode_record(0, RECEIVED_NS, 4, each) for each in frames)
    assert encode_frames(RECEIVED_NS, 4, frames) == alone


@settings(deadline=None)
@given(payloads=PAYLOADS, data=st.data())
def test_a_torn_tail_leaves_the_sound_records_before_it(payloads, data):
    buffer = segment_bytes(payloads)
    cut = data.draw(st.integers(0, len(buffer)))
    length, _ = sound_length(buffer[:cut])
    assert length <= cut
    if length:
        kept: list[bytes] = []
        collect_payloads(buffer[:length], kept)
        assert kept == payloads[: len(kept)]
        missing = payloads[len(kept) :]
        assert not missing or length + RECORD_OVERHEAD + len(missing[0]) > cut


@settings(deadline=None)
@given(payloads=PAYLOADS, data=st.data())
def test_a_flipped_bit_is_found_and_never_read_as_data(payloads, data):
    buffer = bytearray(segment_bytes(payloads))
    place = data.draw(st.integers(0, len(buffer) * 8 - 1))
    buffer[place // 8] ^= 1 << (place % 8)
    kept: list[bytes] = []
    with pytest.raises(SegmentError):
        collect_payloads(bytes(buffer), kept)
    assert kept == payloads[: len(kept)]


@pytest.mark.parametrize(
    ("cut", "text"),
    [
        (RECORD_OVERHEAD - 1, "record at byte .* is cut short$"),
        (RECORD_OVERHEAD + 1, "cut short: 3 bytes announced"),
    ],
)
def test_a_record_that_is_cut_says_where(cut, text):
    head = encode_header(HEADER)
    buffer = head + encode_record(0, RECEIVED_NS, 1, b"abc")[:cut]
    with pytest.raises(SegmentError, match=text):
        collect_payloads(buffer, [])
    assert sound_length(buffer) == (len(head), 0)


def test_a_record_with_a_wrong_checksum_says_where():
    buffer = bytearray(segment_bytes([b"abc"]))
    buffer[-1] ^= 1
    with pytest.raises(SegmentError, match="damaged: its checksum is wrong"):
        collect_payloads(bytes(buffer), [])


@pytest.mark.parametrize(
    ("buffer", "text"),
    [
        (b"", "cut short"),
        (b"x" * 40, "not a segment file"),
        (b"VOLSPOOL\x09\x00" + b"\0" * 40, "version must be 1, was 9"),
        (encode_header(HEADER)[:-1], "its checksum is wrong"),
    ],
)
def test_a_file_that_is_no_segment_is_named_as_such(buffer, text):
    with pytest.raises(SegmentError, match=text):
        read_header(buffer)
    assert sound_length(buffer) == (0, 0)


def test_a_header_that_is_sound_but_senseless_is_refused():
    body = b"{}"
    buffer = struct.pack("<8sHHI", b"VOLSPOOL", 1, len(body), crc32c.crc32c(body)) + body
    with pytest.raises(SegmentError, match="damaged"):
        read_header(buffer)
