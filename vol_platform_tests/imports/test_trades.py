"""Recorded trades on their way into the raw table of the real engine."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from vol_platform.errors import ImportFileError
from vol_platform.imports.boards import read_board
from vol_platform.imports.mapping import load_mapping
from vol_platform.imports.readers import NotABoardError
from vol_platform.imports.run import import_boards
from vol_platform.imports.trades import holds_trades, read_trades
from vol_platform.settings import Settings
from vol_platform.store.client import connect

NOW = datetime(2026, 4, 1, tzinfo=UTC)
HEADER = (
    '"q","p","s","t","trade_seq","trade_id","tick_direction","iv","instrument_name","index_price",'
    '"direction"'
)
TRADES = (
    '"0.6","0.0165","TRADE","1772453845220","234","T-9","3","61.54","BTC-27MAR26-70000-P","71180.5","sell"',
    '"2.2","0.002","TRADE","1772453801007","17","T-7","0","0.0","BTC-27MAR26-90000-C","71179","buy"',
    '"30","71200.5","TRADE","1772453800000","5","T-6","1","","BTC-PERPETUAL","71179","buy"',
)


def trade_file(folder: Path, *more: str, trades: Sequence[str] = TRADES) -> Path:
    path = folder / "trades.csv.gz"
    path.write_bytes(gzip.compress("\n".join((HEADER, *trades, *more, "")).encode()))
    return path


def import_into(settings: Settings, path: Path) -> dict[str, int]:
    with connect(settings) as client:
        results, _ = import_boards(client, settings.clickhouse.database, [path], clock=lambda: NOW)
    (result,) = results
    assert result.snapshots == ()
    return result.rows


def ask(settings: Settings, query: str) -> list[tuple[object, ...]]:
    with connect(settings) as client:
        return [tuple(row) for row in client.query(query).result_rows]


def test_every_trade_lands_with_its_exact_numbers(database: Settings, tmp_path: Path) -> None:
    import_into(database, trade_file(tmp_path))
    assert ask(
        database,
        "SELECT instrument_name, kind, trade_id, trade_seq, price, amount, direction,"
        " tick_direction, iv, source FROM trades ORDER BY trade_id",
    ) == [
        ("BTC-PERPETUAL", "perpetual", "T-6", 5, Decimal("71200.5"), 30, "buy", 1, None, "import"),
        ("BTC-27MAR26-90000-C", "option", "T-7", 17, Decimal("0.002"), Decimal("2.2"), "buy", 0, 0,
         "import"),
        ("BTC-27MAR26-70000-P", "option", "T-9", 234, Decimal("0.0165"), Decimal("0.6"), "sell", 3,
         Decimal("61.54"), "import"),
    ]  # fmt: skip
    assert ask(database, "SELECT toString(hour_ts), rows FROM ingest_hours") == [
        ("2026-03-02 12:00:00", 3)
    ]


def test_the_same_file_again_changes_nothing(database: Settings, tmp_path: Path) -> None:
    path = trade_file(tmp_path)
    assert import_into(database, path) == import_into(database, path)
    for table, rows in (("trades", 3), ("ingest_hours", 1), ("ingest_segments", 1)):
        assert ask(database, f"SELECT count() FROM {table}") == [(rows,)], table  # noqa: S608 - our own table names


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (TRADES[0].replace("BTC-27MAR26-70000-P", "BTC-CS-27MAR26-70000_80000"), "BTC-CS"),
        (TRADES[0].replace('"sell"', '"sold"'), "direction must be buy or sell, was sold"),
        (TRADES[0].replace('"3","61', '"7","61'), "tick_direction must be 0 to 3, was 7"),
        (TRADES[0].replace('"0.0165"', '""'), "no price"),
    ],
)
def test_a_row_that_is_no_trade_becomes_a_dead_letter_with_the_reason(
    database: Settings, tmp_path: Path, row: str, detail: str
) -> None:
    rows = import_into(database, trade_file(tmp_path, row))
    assert (rows["trades"], rows["dead_letters"]) == (3, 1)
    ((said, raw),) = ask(database, "SELECT detail, raw FROM dead_letters")
    assert detail in str(said)
    assert "T-9" in str(raw)
    assert ask(database, "SELECT frames, data_messages, dead_letters FROM ingest_segments") == [
        (4, 3, 1)
    ]


def test_a_file_without_any_trade_is_refused_with_the_first_problem(tmp_path: Path) -> None:
    path = trade_file(tmp_path, trades=[TRADES[0].replace("BTC-27MAR26-70000-P", "nothing")])
    with pytest.raises(ImportFileError, match=r"holds no trade.*'nothing'"):
        read_trades(path)


def test_trades_are_no_board_and_a_board_holds_no_trades(
    tmp_path: Path, book_summary: Path
) -> None:
    path = trade_file(tmp_path)
    assert holds_trades(path)
    assert not holds_trades(book_summary)
    with pytest.raises(NotABoardError, match=r"holds trades \(mapping 'trades-short-csv'\)"):
        read_board(path)


def test_a_mapping_of_trades_must_name_what_makes_a_trade(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "{name: mine, description: d, holds: trades, detect: [a], time: {column: t},"
        " columns: {instrument_name: a, price: p}}",
        encoding="utf-8",
    )
    with pytest.raises(ImportFileError, match="must map amount, direction, trade_id, trade_seq"):
        load_mapping(path)


def test_every_recorded_trade_is_read(real_data: Path) -> None:
    for path in sorted((real_data / "trades").glob("*.csv.gz")):
        lines = gzip.decompress(path.read_bytes()).decode().rstrip("\n").count("\n")
        trades = read_trades(path)
        assert len(trades.rows) + len(trades.rejected) == lines
        assert trades.rejected.is_empty()
        # A recording may hold a row twice where two pages met; never two trades under one number.
        numbers = trades.rows.select("instrument_name", "trade_seq").unique()
        assert len(numbers) == len(trades.rows.unique())
