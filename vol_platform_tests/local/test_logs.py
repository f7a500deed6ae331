"""Log files stay bounded."""

from __future__ import annotations

from pathlib import Path

from vol_platform.local.logs import BoundedLog


def test_a_log_never_holds_more_than_two_files_of_its_limit(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "part.log", limit_bytes=1000)
    for number in range(500):
        log.write(f"line {number}\n".encode())
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["part.log", "part.log.1"]
    assert all(file.stat().st_size <= 1000 for file in files)
    assert (tmp_path / "part.log").read_text().endswith("line 499\n")


def test_the_tail_holds_the_last_lines_of_this_run_without_blank_ones(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "part.log")
    log.write(b"first\n\nsecond\n   \nthird\n")
    log.close()
    assert list(log.tail) == ["first", "second", "third"]
