"""Every capture format gives the received frames, byte for byte."""

import gzip
import json
from pathlib import Path

import pytest
import zstandard

from vol_platform.errors import ImportFileError
from vol_platform.simulator.exchange.capture import read_capture
from vol_platform.simulator.market.names import instrument_of_channel, row_from_name

TICKER = (
    b'{"jsonrpc":"2.0","method":"subscription","params":{'
    b'"channel":"ticker.BTC-1JAN27-90000-C.raw","data":{"a":5e-5}}}'
)
REPLY = b'{"jsonrpc":"2.0","id":0,"result":["ticker.BTC-1JAN27-90000-C.raw"],"usIn":1}'


def _lines(*lines: bytes) -> bytes:
    return b"\n".join(lines) + b"\n"


def test_stamped_lines_give_received_frames_only(tmp_path: Path) -> None:
    path = tmp_path / "capture.txt"
    path.write_bytes(
        _lines(
            b"wss://www.deribit.com/ws/api/v2 <-> 1626993723.42",
            b'wss://www.deribit.com/ws/api/v2 <- 1626993723.71: {"method":"public/subscribe"}',
            b"1626993723.804318: " + REPLY,
            b"1626993723.9: " + TICKER,
            b"1626993724.1: {not json",
            b'https://x/api/v2/public/get_instruments?a=1 -> 1626993724.2: {"result":'
            b'[{"instrument_name":"BTC-1JAN27-90000-C","expiration_timestamp":1,"kind":"option"}]}',
        )
    )
    capture = read_capture(path)
    assert [frame.payload for frame in capture.frames] == [REPLY, TICKER, b"{not json"]
    assert [frame.received for frame in capture.frames] == [
        1626993723.804318,
        1626993723.9,
        1626993724.1,
    ]
    assert [frame.channel for frame in capture.frames] == ["", "ticker.BTC-1JAN27-90000-C.raw", ""]
    assert [row["instrument_name"] for row in capture.instrument_rows] == ["BTC-1JAN27-90000-C"]


@pytest.mark.parametrize("suffix", [".txt", ".gz", ".zst"])
def test_compression_makes_no_difference(tmp_path: Path, suffix: str) -> None:
    content = _lines(b"1626993723.9: " + TICKER)
    compress = {
        ".txt": bytes,
        ".gz": gzip.compress,
        ".zst": zstandard.ZstdCompressor().compress,
    }[suffix]
    path = tmp_path / f"capture{suffix}"
    path.write_bytes(compress(content))
    assert [frame.payload for frame in read_capture(path).frames] == [TICKER]


def test_tagged_json_lines_and_bare_frames_and_one_document(tmp_path: Path) -> None:
    tagged = tmp_path / "tagged.jsonl"
    records = [
        {"t": "header", "format": 2},
        {"t": "send", "ts": 1.0, "data": "{}"},
        {"t": "recv", "ts": 1626993723.8, "data": TICKER.decode()},
    ]
    tagged.write_text("\n".join(json.dumps(record) for record in records))
    bare = tmp_path / "bare.jsonl"
    bare.write_bytes(_lines(TICKER, REPLY))
    document = tmp_path / "document.json"
    pretty = json.dumps(json.loads(TICKER), indent=2).encode()
    document.write_bytes(pretty + b"\n")
    assert [f.payload for f in read_capture(tagged).frames] == [TICKER]
    assert [f.payload for f in read_capture(bare).frames] == [TICKER, REPLY]
    assert [f.payload for f in read_capture(document).frames] == [pretty]
    assert read_capture(document).channels == {"ticker.BTC-1JAN27-90000-C.raw"}


@pytest.mark.parametrize(
    ("name", "count", "channels"),
    [
        ("cryptofeed_deribit_20210417.ws.txt", 149, 20),
        ("cryptofeed_deribit_20210722.ws.txt", 136, 20),
        ("cryptofeed_deribit_20210722.v3.jsonl.gz", 136, 20),
        ("tardis_node_test_messages.jsonl", 13, 9),
        ("misc_captured_frames.jsonl", 3, 3),
    ],
)
def test_recorded_captures_are_read_whole(
    real_data: Path, name: str, count: int, channels: int
) -> None:
    capture = read_capture(real_data / "ws" / name)
    assert len(capture.frames) == count
    assert len(capture.channels) == channels


def test_the_two_recordings_of_the_same_session_agree_byte_for_byte(real_data: Path) -> None:
    text = read_capture(real_data / "ws" / "cryptofeed_deribit_20210722.ws.txt")
    tagged = read_capture(real_data / "ws" / "cryptofeed_deribit_20210722.v3.jsonl.gz")
    assert [f.payload for f in text.frames] == [f.payload for f in tagged.frames]
    assert not text.instrument_rows
    assert len(tagged.instrument_rows) > 900


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "does not exist; check --capture"),
        (lambda path: path.mkdir(), "is a directory; --capture takes one file"),
        (lambda path: path.write_bytes(b"hello\nworld\n"), "holds no frame; expected"),
        (lambda path: path.write_bytes(b""), "holds no frame; expected"),
    ],
)
def test_what_cannot_be_played_is_one_clear_line(tmp_path: Path, make, words: str) -> None:
    path = tmp_path / "capture.txt"
    make(path)
    with pytest.raises(ImportFileError) as caught:
        read_capture(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_broken_archive_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"capture{suffix}"
    path.write_bytes(b"this is no archive")
    with pytest.raises(ImportFileError, match="cannot be read"):
        read_capture(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BTC-27DEC24-100000-C", ("option", 100_000.0, "call", "BTC", "reversed")),
        ("MATIC_USDC-9MAR24-1d02-P", ("option", 1.02, "put", "USDC", "linear")),
        ("BTC-PERPETUAL", ("future", None, None, "BTC", "reversed")),
        ("BTC-STRD-30SEP22-20000", ("option_combo", None, None, "BTC", "reversed")),
        ("BTC-FS-30SEP22_PERP", ("future_combo", None, None, "BTC", "reversed")),
    ],
)
def test_names_tell_the_instrument(name: str, expected: tuple[object, ...]) -> None:
    row = row_from_name(name)
    assert row is not None
    keys = ("kind", "strike", "option_type", "settlement_currency", "instrument_type")
    assert tuple(row.get(key) for key in keys) == expected


def test_names_of_no_known_form_and_channels_of_no_instrument_are_passed_over() -> None:
    assert row_from_name("whatever") is None
    assert instrument_of_channel("markprice.options.btc_usd") == ""
    assert instrument_of_channel("ticker.BTC-PERPETUAL.raw") == "BTC-PERPETUAL"
