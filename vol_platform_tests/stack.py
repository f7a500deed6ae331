"""A whole local stack in a temporary folder, for the tests that need everything at once."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from vol_platform.local.state import PartState, StackState, read_state
from vol_platform.settings import ClickHouseSettings, Settings

__all__ = ["RunningStack", "wait_for"]

REPOSITORY = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 240.0

Result = TypeVar("Result")


def wait_for(what: str, look: Callable[[], Result | None]) -> Result:
    """Poll until `look` returns something true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {PATIENCE_SECONDS:.0f} s: {what}")


class RunningStack:
    """`vol up` as a child process in `folder`, on ports away from anybody's defaults."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("VOL_")}  # noqa: TID251 - a test builds a child's environment
        self.environment = {
            **inherited,
            "PYTHONPATH": str(REPOSITORY),
            "VOL_DATA_DIRECTORY": str(folder / "data"),
            "COLUMNS": "160",
        }
        offset = 10_000 + secrets.randbelow(15_000)
        self.output = folder / "output.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "vol_platform.cli.main", "up"),
                    *("--port-offset", str(offset), *arguments),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=self.environment,
            )

    def vol(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another `vol` command beside the stack."""
        return subprocess.run(
            [sys.executable, "-m", "vol_platform.cli.main", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=self.environment,
            timeout=120,
        )

    def state(self) -> StackState | None:
        """Return the state file's content."""
        return read_state(self.folder / "data" / "run")

    def part(self, name: str) -> PartState | None:
        """Return the state of one part, None while there is none."""
        state = self.state()
        return next((p for p in state.parts if p.name == name), None) if state else None

    def wait_until_up(self) -> None:
        """Wait until every part is ready or done."""

        def up() -> bool:
            assert self.process.poll() is None, self.output.read_text()
            state = self.state()
            return state is not None and all(
                part.status in ("ready", "done") for part in state.parts
            )

        wait_for("every part is up", up)

    def settings(self) -> Settings:
        """Return settings that point at the stack's store."""
        state = self.state()
        assert state is not None
        where = ClickHouseSettings(port=state.ports["store"], database=state.database)
        return Settings(clickhouse=where)

    def pids(self) -> list[int]:
        """Return the process of every part that runs."""
        state = self.state()
        return [part.pid for part in state.parts if part.pid] if state else []

    def kill(self, name: str) -> None:
        """Kill -9 one part and wait until it is ready again, as another process."""
        before = self.part(name)
        assert before is not None
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)

        def back() -> bool:
            now = self.part(name)
            return now is not None and now.status == "ready" and now.pid not in (None, before.pid)

        wait_for(f"{name} is back", back)

    def stop(self) -> str:
        """Press Ctrl-C, wait for the end, return all that was said."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=120)
        return self.output.read_text()
