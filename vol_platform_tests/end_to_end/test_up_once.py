"""`vol up --once`: from nothing to a checked surface in record and live view, and nothing left."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from vol_platform_tests.stack import RunningStack, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_everything_is_there_and_nothing_is_left_behind(tmp_path: Path) -> None:
    stack = RunningStack(tmp_path, "--once", "--history-hours", "1")
    try:
        pids = wait_for("the parts run", lambda: len(stack.pids()) >= 8 and stack.pids())
        code = stack.process.wait(timeout=800)
    finally:
        said = stack.stop()
    assert code == 0, said
    assert "Everything is there." in said
    assert "First BTC surface after" in said
    assert "Dagster partitions" in said
    assert not [pid for pid in pids if psutil.pid_exists(pid) and _is_ours(pid, tmp_path)]


def _is_ours(pid: int, folder: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and str(folder) in " ".join(
            process.cmdline()
        )
    except psutil.NoSuchProcess:
        return False
