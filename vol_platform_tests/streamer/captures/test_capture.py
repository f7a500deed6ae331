"""Capture formats, the catalogue of channels, and the contract of the columns."""

from __future__ import annotations

import gzip
import json

import pytest
import zstandard

from streamer.captures.capture import channels_of_capture, read_capture
from streamer.decoding.tables import TABLES
from streamer.deribit.channels import Family, family_of, instrument_of
from streamer.deribit.credits import CreditBucket
from streamer.deribit.instruments import kind_of
from streamer.deribit.messages import Instrument
from streamer.errors import CaptureError
from streamer.feed.catalogue import Catalogue, listing_currency
from streamer.settings import StreamerSettings
from vol_platform.store.client import connect
from vol_platform_tests.streamer.support import frame, ticker_frame

FRAME = ticker_frame()


@pytest.mark.parametrize(
    ("line", "payload", "received_ns"),
    [
        (b"1626993723.804855: " + FRAME, FRAME, 1626993723804855000),
        (FRAME, FRAME, None),
        (b"not json at all", b"not json at all", None),
        (b"wss://www.deribit.com/ws/api/v2 <-> 1626993723.42", None, None),
        (b'wss://www.deribit.com/ws/api/v2 <- 1626993723.7: {"id":0}', None, None),
        (b"", None, None),
        (b'{"t":"recv","ts":1.5,"data":"{}"}', b"{}", 1_500_000_000),
        (b'{"t":"send","ts":1.5,"data":"{}"}', None, None),
        (b'{"t":"header","config":{}}', None, None),
        (b'{"t":broken', b'{"t":broken', None),
    ],
)
def test_a_line_is_a_message_with_its_receive_time_or_none_at_all(
    tmp_path, line, payload, received_ns
):
    path = tmp_path / "capture.txt"
    path.write_bytes(line + b"\n")
    read = [(message.payload, message.received_ns) for message in read_capture(path)]
    assert read == ([] if payload is None else [(payload, received_ns)])


def test_the_answer_to_get_instruments_is_known_by_its_address(tmp_path):
    path = tmp_path / "rest.txt"
    path.write_bytes(
        b'https://x/api/v2/public/get_instruments?currency=BTC -> 1.0: {"result":[]}\n'
    )
    (message,) = read_capture(path)
    assert message.is_instruments


@pytest.mark.parametrize(
    ("name", "compress"),
    [("c.gz", gzip.compress), ("c.zst", zstandard.ZstdCompressor().compress)],
)
def test_compressed_captures_are_read(tmp_path, name, compress):
    (tmp_path / name).write_bytes(compress(FRAME + b"\n" + FRAME + b"\n"))
    assert [message.payload for message in read_capture(tmp_path / name)] == [FRAME, FRAME]


def test_one_frame_over_several_lines_is_one_message(tmp_path):
    path = tmp_path / "frame.json"
    path.write_text(json.dumps(json.loads(FRAME), indent=2))
    (message,) = read_capture(path)
    assert json.loads(message.payload) == json.loads(FRAME)


def test_a_binary_line_is_a_message_that_will_be_buried_and_a_cut_file_is_an_error(tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(b"\0\0\n")
    assert [message.payload for message in read_capture(path)] == [b"\0\0"]
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(FRAME)[:-9])
    with pytest.raises(CaptureError, match="cannot be read"):
        list(read_capture(cut))


def test_the_channels_of_a_capture_are_listed_once_each(tmp_path):
    path = tmp_path / "capture.txt"
    other = frame("deribit_price_index.btc_usd", {})
    path.write_bytes(b"\n".join([FRAME, other, FRAME, b"broken", b'{"id":1}']))
    assert channels_of_capture(path) == [
        "ticker.BTC-25DEC26-100000-C.100ms",
        "deribit_price_index.btc_usd",
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BTC-5JUN26-100000-C", "option"),
        ("MATIC_USDC-9MAR24-1d02-C", "option"),
        ("BTC-27DEC24", "future"),
        ("BTC_USDC-PERPETUAL", "perpetual"),
        ("BTC_USDC", "spot"),
        ("BTC-FS-25DEC26_PERP", "future_combo"),
        ("BTC-CSR12-16SEP22-21000_23000", "option_combo"),
        ("btc", "unknown"),
    ],
)
def test_the_kind_of_an_instrument_is_read_from_its_name(name, kind):
    assert kind_of(name).value == kind


@pytest.mark.parametrize(
    ("channel", "family", "instrument"),
    [
        ("ticker.BTC-PERPETUAL.raw", Family.TICKER, "BTC-PERPETUAL"),
        ("book.BTC-PERPETUAL.100ms", Family.BOOK, "BTC-PERPETUAL"),
        ("book.BTC-PERPETUAL.none.10.100ms", Family.GROUPED_BOOK, "BTC-PERPETUAL"),
        ("trades.BTC-PERPETUAL.raw", Family.TRADES, "BTC-PERPETUAL"),
        ("trades.option.BTC.raw", Family.TRADES, ""),
        ("deribit_price_index.btc_usd", Family.PRICE_INDEX, ""),
        ("platform_state.public_methods_state", Family.LIFECYCLE, ""),
        ("instrument.state.any.BTC", Family.LIFECYCLE, ""),
        ("instrument.other", Family.UNKNOWN, ""),
        ("chart.trades.BTC-PERPETUAL.1", Family.UNSUPPORTED, ""),
    ],
)
def test_a_channel_has_a_family_and_perhaps_an_instrument(channel, family, instrument):
    assert (family_of(channel), instrument_of(channel)) == (family, instrument)


def instrument(name: str, kind: str = "option", **more) -> Instrument:
    return Instrument(name, kind, "BTC", "BTC", 1.0, 0.1, 0.0001, **more)


def test_the_catalogue_follows_listings_and_forgets_what_expired():
    catalogue = Catalogue(
        StreamerSettings(currencies=("BTC",), books=("BTC-PERPETUAL",), trades=False)
    )
    first = instrument("BTC-25DEC26-1-C", expiration_timestamp=2_000)
    others = [
        instrument("BTC-PERPETUAL", "future", price_index="btc_usd"),
        instrument("BTC-CS-25DEC26-1_2", "option_combo"),
        instrument("ETH-25DEC26-1-C"),
        instrument("BTC-25DEC26-2-C", is_active=False),
    ]
    assert not catalogue.is_expired("BTC-25DEC26-1-C", 1)  # nothing is known yet
    assert catalogue.update("BTC", [first, *others])
    assert not catalogue.update("BTC", [first, *others])
    assert catalogue.channels() == [
        "ticker.BTC-25DEC26-1-C.100ms",
        "ticker.BTC-PERPETUAL.100ms",
        "deribit_price_index.btc_usd",
        "deribit_volatility_index.btc_usd",
        "instrument.state.any.BTC",
        "book.BTC-PERPETUAL.100ms",
        "platform_state",
    ]
    assert not catalogue.is_expired("BTC-25DEC26-1-C", 1_999)
    assert catalogue.is_expired("BTC-25DEC26-1-C", 2_000)
    assert catalogue.update("BTC", [instrument("BTC-25DEC26-9-C")])
    assert catalogue.is_expired("BTC-25DEC26-1-C", 1)
    assert len(catalogue) == 1


def test_linear_markets_trades_and_everything_on_offer_can_be_chosen():
    assert listing_currency("SOL_USDC") == "USDC"
    settings = StreamerSettings(currencies=("SOL_USDC",), trades=True)
    catalogue = Catalogue(settings)
    catalogue.update(
        "SOL_USDC", [instrument("SOL_USDC-25DEC26-45-C"), instrument("BTC-25DEC26-1-C")]
    )
    channels = catalogue.channels()
    assert "trades.option.USDC.100ms" in channels
    assert "ticker.BTC-25DEC26-1-C.100ms" not in channels
    everything = Catalogue(settings, all_offered=True)
    everything.update("any", [instrument("BTC-25DEC26-1-C")])
    assert "trades.BTC-25DEC26-1-C.100ms" in everything.channels()
    assert "book.BTC-25DEC26-1-C.100ms" in everything.channels()


def test_credits_refill_and_can_be_spent_at_once():
    bucket = CreditBucket(10.0, 2.0, now=0.0)
    assert bucket.take(10.0, 0.0)
    assert not bucket.take(1.0, 0.0)
    assert bucket.seconds_until(4.0, 0.0) == 2.0
    assert bucket.take(4.0, 2.0)
    bucket.drain(100.0)
    assert not bucket.take(1.0, 100.0)
    assert bucket.seconds_until(0.0, 100.0) == 0.0


def test_every_column_that_the_collector_fills_is_in_the_schema(database):
    with connect(database) as client:
        schema = client.query(
            "SELECT table, name, type FROM system.columns WHERE database = currentDatabase()"
        ).result_rows
    types = {(table, name): kind for table, name, kind in schema}
    for table in TABLES.values():
        for column in table.columns:
            kind = types[table.name, column.name]
            if column.type == "decimal":
                expected = f"Decimal({column.precision}, {column.scale})"
                assert kind == (f"Nullable({expected})" if column.nullable else expected)
            elif column.type == "milliseconds":
                assert "DateTime64(3" in kind
                assert kind.startswith("Nullable") is column.nullable
