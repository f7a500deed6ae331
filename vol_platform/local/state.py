"""What is running, on disk: written by the supervisor, read by every other `vol` command.

The supervisor holds a lock on a file beside it as long as it lives; a state file without a holder
of the lock is left over from a supervisor that was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import sleep
from typing import IO

import psutil

from vol_platform.clock import monotonic_seconds

__all__ = [
    "PartState",
    "StackState",
    "clean_leftovers",
    "hold_lock",
    "is_running",
    "read_state",
    "write_state",
]


@dataclass
class PartState:
    """One part, as last seen by the supervisor."""

    name: str
    status: str
    """waiting, starting, ready, restarting, done, failed or stopped."""
    pid: int | None = None
    process_created: float | None = None
    """Creation time of the process, which tells a process from a later one with the same pid."""
    port: int | None = None
    restarts: int = 0
    since: float = 0.0
    """When `status` began, seconds since the epoch."""
    detail: str = ""


@dataclass
class StackState:
    """The whole stack."""

    supervisor_pid: int
    supervisor_created: float
    started: float
    exchange: str
    database: str
    addresses: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    parts: list[PartState] = field(default_factory=list)


def _state_file(run_directory: Path) -> Path:
    return run_directory / "state.json"


def write_state(run_directory: Path, state: StackState) -> None:
    """Replace the state file in one step, so that a reader never sees half of it."""
    partial = run_directory / "state.json.partial"
    partial.write_text(json.dumps(asdict(state), indent=1))
    partial.replace(_state_file(run_directory))


def read_state(run_directory: Path) -> StackState | None:
    """Return the last state written, or None when there is none that can be read."""
    try:
        raw = json.loads(_state_file(run_directory).read_text())
        parts = [PartState(**part) for part in raw.pop("parts")]
        return StackState(**raw, parts=parts)
    except (OSError, ValueError, TypeError, KeyError):
        return None


@contextlib.contextmanager
def hold_lock(run_directory: Path) -> Iterator[bool]:
    """Hold the supervisor's lock; yields False when another supervisor has it."""
    lock: IO[str]
    with (run_directory / "supervisor.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def is_running(run_directory: Path) -> bool:
    """Return whether a supervisor holds the lock."""
    if not (run_directory / "supervisor.lock").exists():
        return False
    with hold_lock(run_directory) as ours:
        return not ours


def _alive(pid: int | None, created: float | None) -> bool:
    """Return whether this very process (not a later one with the same pid) still runs."""
    if pid is None or created is None:
        return False
    try:
        process = psutil.Process(pid)
        return (
            abs(process.create_time() - created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False


def clean_leftovers(run_directory: Path, patience_seconds: float = 5.0) -> list[str]:
    """Stop what a killed supervisor left behind and forget its state.

    Call it while holding the lock.  Returns the names of the parts that had to be stopped.
    """
    state = read_state(run_directory)
    if state is None:
        return []
    orphans = [part for part in state.parts if _alive(part.pid, part.process_created)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for part in orphans:
            if part.pid is not None and _alive(part.pid, part.process_created):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(part.pid, number)
        deadline = monotonic_seconds() + patience_seconds
        while monotonic_seconds() < deadline and any(
            _alive(part.pid, part.process_created) for part in orphans
        ):
            sleep(0.05)
    _state_file(run_directory).unlink(missing_ok=True)
    return [part.name for part in orphans]
