"""Exact decimals: what the wire writes is what is stored, or it is said."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.decoding.decimals import long_number_offsets, scale_exactly, scale_one

NUMBER_TEXTS = st.one_of(
    st.decimals(-(10**9), 10**9, places=8),
    st.decimals(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: Decimal(repr(number))),
    st.integers(-(10**11), 10**11).map(Decimal),
).map(str)


@settings(deadline=None)
@given(texts=st.lists(NUMBER_TEXTS, min_size=1, max_size=30), scale=st.sampled_from([4, 5, 8]))
def test_every_number_is_stored_exactly_or_named_as_rounded_or_refused(texts, scale):
    limit = 10**18 - 1
    written = {}
    for index, text in enumerate(texts):
        if long_number_offsets(text.encode()):
            written[index] = Decimal(text)
    scaled = scale_exactly([json.loads(text) * 1.0 for text in texts], scale, limit, written)
    refused = dict(scaled.refused)
    for index, text in enumerate(texts):
        exact = Decimal(text)
        stored = Decimal(int(scaled.numbers[index])).scaleb(-scale)
        if index in refused:
            assert abs(exact.scaleb(scale)) > limit - 1
        elif index in scaled.rounded:
            assert stored != exact
            assert abs(stored - exact) <= Decimal(1).scaleb(-scale) / 2
        else:
            assert stored == exact


@settings(deadline=None)
@given(
    texts=st.lists(
        st.one_of(NUMBER_TEXTS, st.text("0123456789.e-E,a", max_size=40)), min_size=1, max_size=8
    )
)
def test_no_long_number_is_missed(texts):
    buffer = ",".join(texts).encode()
    found = long_number_offsets(buffer)
    for match in re.finditer(rb"[0-9./]{17,}|[eE]-[0-9]{3}", buffer):
        assert any(match.start() <= offset < match.end() for offset in found), buffer


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("0.05334793", 5334793),
        ("5e-5", 5000),
        ("1132329370.0", 113232937000000000),
        ("1132329370.1", 113232937010000000),
        ("-0.00000001", -1),
        ("0.0", 0),
        ("9007199254.740993", 900719925474099300),
    ],
)
def test_a_number_of_the_wire_becomes_its_scaled_integer(text, stored):
    scaled = scale_exactly([float(text)], 8)
    assert (int(scaled.numbers[0]), scaled.rounded, scaled.refused) == (stored, (), ())


def test_more_digits_than_the_column_are_named():
    scaled = scale_exactly([0.123456789, 1.5, None], 8)
    assert scaled.rounded == (0,)
    assert int(scaled.numbers[0]) == 12345679
    assert scaled.present.tolist() == [True, True, False]


def test_digits_that_a_double_does_not_hold_are_noticed_from_the_text():
    text = "900.00000000000001"
    assert float(text) == 900.0
    scaled = scale_exactly([float(text)], 8, written={0: Decimal(text)})
    assert scaled.rounded == (0,)


def test_a_number_too_large_for_the_column_is_refused_with_its_value():
    scaled = scale_exactly([1e11, 1.0], 8, limit=10**18 - 1)
    assert scaled.refused == ((0, "100000000000.0"),)
    assert int(scaled.numbers[1]) == 100_000_000


def test_an_absurd_exponent_is_refused_and_not_computed():
    assert scale_one(Decimal("1e999999999"), 8, 10**18) == (None, False)


@pytest.mark.parametrize("text", ["12345678.123456789", "0.1234567890123456", "1e-310", "2E-305"])
def test_a_long_number_or_a_tiny_exponent_is_found(text):
    assert long_number_offsets(b'{"price":' + text.encode() + b"}")


@pytest.mark.parametrize("text", ["1626993723632", "13169025645", "105390.2516", "2.203e-05"])
def test_an_ordinary_number_gives_no_alarm(text):
    assert long_number_offsets(b'{"price":' + text.encode() + b"}") == []
    assert long_number_offsets(b"") == []
