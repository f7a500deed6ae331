"""Branch coverage of session, spool and gap logic, each module by its own test file alone.

``python -m vol_platform_tests.streamer.own_coverage [MODULE …]`` prints a table and ends with 1
when a module is below 100 %.  A module that only the tests of others reach counts as not reached.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from vol_platform_tests.conftest import REPOSITORY

__all__ = ["OWN_TESTS", "main", "measure"]

_TESTS = "vol_platform_tests/streamer"
OWN_TESTS = {
    "streamer.deribit.session": (
        "deribit/test_session.py",
        "deribit/test_login.py",
        "deribit/test_subscriptions.py",
    ),
    "streamer.deribit.session_data": ("deribit/test_session.py",),
    "streamer.deribit.subscriptions": (
        "deribit/test_subscriptions.py",
        "deribit/test_subscribed_books.py",
    ),
    "streamer.deribit.sequences": ("deribit/test_sequences.py",),
    "streamer.deribit.trade_pages": ("deribit/test_trade_pages.py",),
    "streamer.deribit.credits": ("deribit/test_credits.py",),
    "streamer.deribit.channels": ("deribit/test_channels.py",),
    "streamer.deribit.platform": ("deribit/test_platform.py",),
    "streamer.deribit.error_codes": ("deribit/test_error_codes.py",),
    "streamer.spool.spool": ("spool/test_spool.py", "spool/test_spool_disk.py"),
    "streamer.spool.data": ("spool/test_spool.py",),
    "streamer.spool.directory": ("spool/test_spool_directory.py",),
    "streamer.spool.segment": ("spool/test_segment.py",),
    "streamer.spool.files": ("spool/test_files.py",),
    "streamer.gaps": ("test_gaps.py",),
    "streamer.watch.gap_keeper": ("watch/test_gap_keeper.py",),
}
"""Test files by module."""


def measure(module: str) -> tuple[float, str]:
    """Run a module's own tests; return its branch coverage in percent and what is missing.

    Raises
    ------
    SystemExit
        A test failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *(f"--cov={module}", "--cov-branch", f"--cov-report=json:{report}"),
                *(f"{_TESTS}/{name}" for name in OWN_TESTS[module]),
            ],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"{module}: its tests fail\n{done.stdout[-3000:]}")
        (measured,) = json.loads(report.read_text())["files"].values()
    missing = [*measured["missing_lines"], *measured["missing_branches"]]
    return measured["summary"]["percent_covered"], ", ".join(map(str, missing))


def main(arguments: list[str] | None = None) -> int:
    """Measure the modules named, or all; return the exit status."""
    covered = []
    for module in arguments or OWN_TESTS:
        percent, missing = measure(module)
        covered.append(percent)
        tests = " ".join(OWN_TESTS[module])
        line = f"{module:32} {percent:5.1f} %  {tests}  {missing}".rstrip()
        print(line, flush=True)  # noqa: T201 - a command that prints a table
    return int(min(covered) < 100.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
