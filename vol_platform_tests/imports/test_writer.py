"""Boards on their way into the real engine's raw tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from vol_platform.errors import ImportFileError
from vol_platform.imports.boards import read_board
from vol_platform.imports.landing import ImportResult, snapshot_minute
from vol_platform.imports.run import Skipped, import_boards
from vol_platform.settings import Settings
from vol_platform.store.client import connect

NOW = datetime(2026, 4, 1, tzinfo=UTC)


def import_into(settings: Settings, *paths: Path) -> tuple[list[ImportResult], list[Skipped]]:
    with connect(settings) as client:
        return import_boards(client, settings.clickhouse.database, paths, clock=lambda: NOW)


def ask(settings: Settings, query: str) -> list[tuple[object, ...]]:
    with connect(settings) as client:
        return [tuple(row) for row in client.query(query).result_rows]


def test_a_book_summary_lands_with_its_exact_prices(database: Settings, book_summary: Path) -> None:
    import_into(database, book_summary)
    assert ask(
        database,
        "SELECT instrument_name, bid_price, ask_price, mark_iv, underlying_price, source"
        " FROM options_quotes ORDER BY instrument_name",
    ) == [
        (
            "BTC-27MAR26-70000-C",
            Decimal("0.04350000"),
            Decimal("0.29000000"),
            Decimal("37.8800"),
            71390.25163184035,
            "import",
        ),
        (
            "BTC-27MAR26-70000-P",
            None,
            Decimal("0.00010000"),
            Decimal("37.8800"),
            71390.25,
            "import",
        ),
    ]


def test_every_row_is_accounted_for(database: Settings, book_summary: Path) -> None:
    results, _ = import_into(database, book_summary)
    assert ask(database, "SELECT reason, detail != '', raw != '' FROM dead_letters") == [
        ("unreadable_row", True, True)
    ]
    assert ask(
        database, "SELECT frames, data_messages, dead_letters, rows FROM ingest_segments"
    ) == [(3, 2, 1, results[0].rows)]


def test_the_same_file_again_changes_nothing(database: Settings, book_summary: Path) -> None:
    import_into(database, book_summary)
    import_into(database, book_summary)
    tables = ("options_quotes", "options_metadata", "dead_letters", "ingest_hours")
    for table, rows in zip(tables, (2, 2, 1, 1), strict=True):
        assert ask(database, f"SELECT count() FROM {table}") == [(rows,)], table  # noqa: S608 - our own table names


def test_the_board_is_whole_at_the_next_minute_boundary(
    database: Settings, website_export: Callable[[str], Path]
) -> None:
    path = website_export("1-BTC-2MAR26-export.csv")
    results, _ = import_into(database, path)
    ((currency, minute),) = results[0].snapshots
    assert currency == "BTC"
    assert ask(
        database,
        "SELECT toUnixTimestamp(snapshot_ts), count() FROM options_quotes_minute GROUP BY 1",
    ) == [(int(minute.timestamp()), len(read_board(path).rows))]


def test_a_board_of_the_last_minute_closes_the_hour_of_its_snapshot_too(
    database: Settings, tmp_path: Path
) -> None:
    late = datetime(2026, 3, 2, 8, 59, 30, tzinfo=UTC)
    path = tmp_path / "late.json"
    path.write_text(
        '[{"instrument_name":"BTC-27MAR26-70000-C","bid_price":0.01,'
        f'"creation_timestamp":{int(late.timestamp() * 1000)}}}]',
        encoding="utf-8",
    )
    import_into(database, path)
    assert ask(database, "SELECT toHour(hour_ts), reason FROM ingest_hours ORDER BY hour_ts") == [
        (8, "import"),
        (9, "import"),
    ]


def test_the_instrument_view_knows_every_option_of_the_board(
    database: Settings, book_summary: Path
) -> None:
    import_into(database, book_summary)
    assert ask(
        database,
        "SELECT instrument_name, strike, option_type, instrument_type, toString(expiry_ts),"
        " tick_size, tick_size_steps FROM instruments ORDER BY instrument_name DESC LIMIT 1",
    ) == [
        (
            "BTC-27MAR26-70000-P",
            Decimal("70000.00000000"),
            "put",
            "reversed",
            "2026-03-27 08:00:00.000",
            Decimal("0.00010000"),
            [{"above_price": Decimal("0.00500000"), "tick_size": Decimal("0.00050000")}],
        )
    ]


def test_a_folder_may_hold_other_files_which_are_named(
    database: Settings, book_summary: Path
) -> None:
    (book_summary.parent / "notes.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    results, skipped = import_into(database, book_summary.parent)
    assert [result.path.name for result in results] == ["summary.json"]
    assert [(skip.path.name, "--mapping" in skip.reason) for skip in skipped] == [
        ("notes.csv", True)
    ]


def test_a_file_given_by_name_must_be_a_board(database: Settings, tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ImportFileError, match="mapping"):
        import_into(database, path)
    with pytest.raises(ImportFileError, match="does not exist"):
        import_into(database, tmp_path / "nothing.csv")
    with pytest.raises(ImportFileError, match="holds no file"):
        import_into(database, (tmp_path / "empty").mkdir() or tmp_path / "empty")


@pytest.mark.parametrize(
    ("instant", "minute"),
    [("08:00:00.000", "08:00"), ("08:00:00.001", "08:01"), ("23:59:30.000", "00:00")],
)
def test_a_snapshot_minute_is_the_next_boundary(instant: str, minute: str) -> None:
    found = snapshot_minute(datetime.fromisoformat(f"2026-03-02T{instant}+00:00"))
    assert f"{found:%H:%M}" == minute
