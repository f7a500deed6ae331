"""Recorded captures through a real socket: every message is accounted for."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from vol_platform.errors import ImportFileError
from vol_platform.local.replay import Account, capture_files, replay_capture, replay_captures
from vol_platform.settings import Settings
from vol_platform_tests.streamer.spool.test_archive import HOUR, HOUR_NS, Bench

FRAMES = """\
1617000000.100000: {"jsonrpc":"2.0","method":"subscription","params":{"channel":\
"deribit_price_index.btc_usd","data":{"timestamp":1617000000050,"price":58000.5,\
"index_name":"btc_usd"}}}
1617000000.200000: {"jsonrpc":"2.0","method":"subscription","params":{"chan
1617000000.300000: {"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}
"""


def test_data_damage_and_control_are_told_apart_and_add_up(
    database: Settings, tmp_path: Path
) -> None:
    capture = tmp_path / "capture.jsonl"
    capture.write_text(FRAMES)
    account = replay_capture(database, capture)
    assert account.faults() == []
    assert account.sent == 3
    assert account.rows["spot_prices"] == 1
    assert account.dead_letters == 1
    assert account.stored_dead_letters == 1


def test_an_hour_of_the_archive_is_replayed_like_a_capture(
    database: Settings, tmp_path: Path
) -> None:
    bench = Bench(tmp_path)
    bench.archive.add(*bench.segment(0, count=2))
    (hour,) = bench.archive.close_hours(HOUR + 2 * HOUR_NS)
    assert capture_files([hour.parent]) == [hour]
    account = replay_capture(database, hour)
    assert account.faults() == []
    assert (account.capture, account.sent, account.dead_letters) == (hour, 2, 1)
    assert account.rows["options_quotes"] == 1
    bench.spool.close()


def test_an_hour_that_is_no_archive_is_named_in_one_line(
    database: Settings, tmp_path: Path
) -> None:
    hour = tmp_path / "2026-06-01T07.tar"
    hour.write_bytes(b"no archive")
    with pytest.raises(ImportFileError, match=r"^[^\n]*2026-06-01T07\.tar[^\n]*$"):
        replay_capture(database, hour)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_recorded_capture_is_accounted_for(database: Settings, real_data: Path) -> None:
    output = StringIO()
    good = replay_captures(database, [real_data / "ws"], Console(file=output), scratch=False)
    assert good, output.getvalue()
    assert "Every one of 449 captured messages is accounted for." in output.getvalue()


def test_an_account_that_does_not_add_up_says_why() -> None:
    account = Account(Path("c"), 10, 9, 7, 1, 0, {}, 9, 1)
    assert account.faults() == [
        "9 received but 10 sent",
        "data 7 + dead letters 1 + control 0 are not 9",
    ]


def test_a_folder_without_captures_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="holds no capture"):
        capture_files([tmp_path])
    with pytest.raises(ImportFileError, match="nowhere does not exist"):
        capture_files([tmp_path / "nowhere"])
