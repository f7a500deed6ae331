"""Reading CSV and JSON boards, and mapping files."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import pytest

from vol_platform.errors import ImportFileError
from vol_platform.imports.mapping import Mapping, built_in_mappings, load_mapping
from vol_platform.imports.readers import NotABoardError, read_book_summary, read_csv

MAPPING = """
name: vendor
description: a vendor
detect: [symbol, bid]
absent: ["", "n/a"]
thousands: ","
zero_is_absent: [ask_price]
time: {column: at, unit: iso}
columns:
  instrument_name: symbol
  bid_price: bid
  ask_price: ask
  mark_iv: {column: vol, scale: 100}
  index_price: index
"""


@pytest.fixture
def mapping(tmp_path: Path) -> Mapping:
    path = tmp_path / "mapping.yaml"
    path.write_text(MAPPING, encoding="utf-8")
    return load_mapping(path)


def board_file(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "board.csv"
    path.write_text("\n".join(["symbol,bid,ask,vol,index,at", *rows]) + "\n", encoding="utf-8")
    return path


def test_prices_keep_every_decimal_on_their_way_to_the_table(
    tmp_path: Path, mapping: Mapping
) -> None:
    row = 'BTC-27MAR26-70000-C,0.0435,0.29,0.4659999999999999,"71,390.25",2026-03-02T11:17:30Z'
    board, _ = read_csv(board_file(tmp_path, row), mapping)
    assert board["bid_price"].to_list() == [Decimal("0.04350000")]
    assert board["ask_price"].to_list() == [Decimal("0.29000000")]
    assert board["mark_iv"].to_list() == [Decimal("46.6000")]
    assert board["index_price"].to_list() == [Decimal("71390.25000000")]


def test_an_absent_quote_is_null_and_zero_is_absent_only_where_the_mapping_says_so(
    tmp_path: Path, mapping: Mapping
) -> None:
    board, _ = read_csv(
        board_file(tmp_path, "BTC-27MAR26-70000-C,0.0,0.0,n/a,,2026-03-02T11:17:30+00:00"), mapping
    )
    assert board["bid_price"].to_list() == [Decimal(0)]
    assert board["ask_price"].to_list() == [None]
    assert board["mark_iv"].to_list() == [None]


def test_a_cell_that_is_no_number_is_refused_with_its_text_and_the_cure(
    tmp_path: Path, mapping: Mapping
) -> None:
    path = board_file(tmp_path, "BTC-27MAR26-70000-C,cheap,0.1,0.5,1,2026-03-02T11:17:30Z")
    with pytest.raises(ImportFileError, match=r"'bid' must hold numbers, was 'cheap'.*absent"):
        read_csv(path, mapping)


def test_a_missing_column_is_named(tmp_path: Path, mapping: Mapping) -> None:
    path = tmp_path / "board.csv"
    path.write_text("symbol,bid,at\n", encoding="utf-8")
    with pytest.raises(ImportFileError, match=r"lacks the columns \['ask', 'index', 'vol'\]"):
        read_csv(path, mapping)


def test_an_unknown_header_says_how_to_give_a_mapping(tmp_path: Path) -> None:
    with pytest.raises(NotABoardError, match="--mapping"):
        read_csv(board_file(tmp_path))


def test_a_bad_time_is_refused_with_its_text(tmp_path: Path, mapping: Mapping) -> None:
    path = board_file(tmp_path, "BTC-27MAR26-70000-C,0.1,0.2,0.5,1,yesterday")
    with pytest.raises(ImportFileError, match="ISO 8601, was 'yesterday'"):
        read_csv(path, mapping)


def test_gzip_is_read_and_a_cut_gzip_is_refused(tmp_path: Path, mapping: Mapping) -> None:
    row = "BTC-27MAR26-70000-C,0.1,0.2,0.5,1,2026-03-02T11:17:30Z"
    packed = gzip.compress(board_file(tmp_path, row).read_bytes())
    whole = tmp_path / "board.csv.gz"
    whole.write_bytes(packed)
    assert len(read_csv(whole, mapping)[0]) == 1
    whole.write_bytes(packed[:-10])
    with pytest.raises(ImportFileError, match="cannot be read"):
        read_csv(whole, mapping)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match=r"does not exist: .*nothing\.csv"):
        read_csv(tmp_path / "nothing.csv")


def test_a_book_summary_keeps_its_prices_exactly(book_summary: Path) -> None:
    board = read_book_summary(book_summary)
    assert board["bid_price"].to_list()[:2] == [Decimal("0.04350000"), None]
    assert board["mark_price"].to_list()[0] == Decimal("0.05334793")
    assert board["underlying_price"].to_list()[0] == 71390.25163184035
    assert board["open_interest"].to_list()[0] == Decimal("0.50000000")


@pytest.mark.parametrize("text", ["[]", "{}", '{"result": 5}', '[{"a": 1}]'])
def test_json_that_is_no_book_summary_is_not_a_board(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NotABoardError, match="get_book_summary_by_currency"):
        read_book_summary(path)


def test_broken_json_says_where(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('[{"a": }]', encoding="utf-8")
    with pytest.raises(ImportFileError, match="line 1, column 8"):
        read_book_summary(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: x", "detect"),
        (MAPPING.replace("bid_price: bid", "bid_prize: bid"), "bid_prize"),
        (MAPPING.replace("instrument_name: symbol", "state: symbol"), "instrument_name"),
        (MAPPING.replace("{column: at, unit: iso}", "{unit: iso}"), "from_greeks"),
        ("a: [", "not YAML"),
    ],
)
def test_a_wrong_mapping_is_refused_with_the_key(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ImportFileError, match=complaint):
        load_mapping(path)


def test_a_missing_mapping_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match=r"nothing\.yaml cannot be read"):
        load_mapping(tmp_path / "nothing.yaml")


def test_built_in_mappings_load_and_are_told_apart_by_their_headers() -> None:
    mappings = built_in_mappings()
    assert len({mapping.name for mapping in mappings}) == len(mappings) == 8
    for mapping in mappings:
        assert [other for other in mappings if other.fits(list(mapping.detect))] == [mapping]
