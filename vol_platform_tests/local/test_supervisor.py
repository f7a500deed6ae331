"""The supervisor on small real programs: order, restarts, last words, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

from vol_platform.clock import monotonic_seconds
from vol_platform.errors import LocalStackError
from vol_platform.local.layout import Layout
from vol_platform.local.parts import Part
from vol_platform.local.state import PartState, StackState, read_state
from vol_platform.local.supervisor import Supervisor


def _service(name: str, code: str, **keywords: Any) -> Part:
    command = (sys.executable, "-I", "-S", "-c", code)
    return Part(name, "test", command, **{"settle_seconds": 0.3, **keywords})


SLEEPER = "import time\nwhile True: time.sleep(60)"


class Stack:
    """A supervisor with its layout and what it said."""

    def __init__(self, directory: Path, parts: list[Part]) -> None:
        self.layout = Layout(directory, "vol_test")
        self.layout.create_run()
        self.layout.create()
        self.said: list[tuple[str, str]] = []
        state = StackState(os.getpid(), 0.0, 0.0, "simulator", "vol_test")
        self.supervisor = Supervisor(parts, self.layout, state, self._hear)

    def _hear(self, state: PartState, _words: str) -> None:
        self.said.append((state.name, state.status))

    async def __aenter__(self) -> Self:
        await self.supervisor.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.supervisor.stop()

    def pid(self, name: str) -> int | None:
        return self.supervisor.states[name].pid

    async def wait_for(self, what: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline = monotonic_seconds() + seconds
        while not what():
            assert monotonic_seconds() < deadline, f"did not happen; was {self.supervisor.states}"
            await asyncio.sleep(0.02)


async def test_parts_start_after_those_they_wait_for_and_jobs_must_end_well(tmp_path: Path) -> None:
    marker = tmp_path / "done"
    stack = Stack(
        tmp_path,
        [
            _service("first", SLEEPER),
            _service("job", f"open({str(marker)!r}, 'w')", kind="job", after=("first",)),
            _service("last", f"open({str(marker)!r})\n{SLEEPER}", after=("job",)),
        ],
    )
    async with stack:
        await stack.supervisor.wait_up()
        ready = [name for name, status in stack.said if status in ("ready", "done")]
        assert ready == ["first", "job", "last"]


async def test_a_killed_part_comes_back_with_a_new_process(tmp_path: Path) -> None:
    stack = Stack(tmp_path, [_service("part", SLEEPER)])
    async with stack:
        await stack.supervisor.wait_up()
        before = stack.pid("part")
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await stack.wait_for(lambda: stack.pid("part") not in (None, before))
        assert stack.supervisor.states["part"].restarts == 1
        assert psutil.pid_exists(stack.pid("part") or 0)


async def test_a_part_that_never_starts_is_named_with_its_last_words(tmp_path: Path) -> None:
    stack = Stack(tmp_path, [_service("broken", "raise SystemExit('disk on fire; buy a new one')")])
    async with stack:
        with pytest.raises(LocalStackError, match=r"broken ended with exit code 1.*disk on fire"):
            await stack.supervisor.wait_up()


async def test_an_optional_part_that_fails_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    broken = _service("broken", "raise SystemExit(3)", optional=True)
    stack = Stack(tmp_path, [broken, _service("part", SLEEPER)])
    async with stack:
        await stack.supervisor.wait_up()
        await stack.wait_for(lambda: stack.supervisor.states["broken"].status == "failed")


async def test_stopping_ends_grandchildren_and_parts_that_ignore_the_request(
    tmp_path: Path,
) -> None:
    stubborn = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER
    child_pid = tmp_path / "child"
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-I', '-S', '-c', {stubborn!r}])\n"
        f"open({str(child_pid)!r}, 'w').write(str(child.pid))\n" + stubborn
    )
    stack = Stack(tmp_path, [_service("stubborn", parent, stop_seconds=0.5)])
    async with stack:
        await stack.wait_for(lambda: child_pid.exists() and child_pid.read_text() != "")
        pids = [stack.pid("stubborn") or 0, int(child_pid.read_text())]
        await stack.supervisor.stop()
        await stack.wait_for(lambda: not any(_runs(pid) for pid in pids))


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_the_state_file_names_every_process(tmp_path: Path) -> None:
    stack = Stack(tmp_path, [_service("part", SLEEPER, port=12345)])
    async with stack:
        await stack.supervisor.wait_up()
        state = read_state(stack.layout.run)
        assert state is not None
        assert [(part.name, part.status, part.pid, part.port) for part in state.parts] == [
            ("part", "ready", stack.pid("part"), 12345)
        ]


async def test_the_guard_stops_every_part_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
from vol_platform_tests.local.test_supervisor import Stack, _service, SLEEPER

async def main():
    stack = Stack(Path({str(tmp_path)!r}), [_service("one", SLEEPER), _service("two", SLEEPER)])
    await stack.supervisor.start()
    await stack.supervisor.wait_up()
    print(stack.pid("one"), stack.pid("two"), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pids = [int(word) for word in (await process.stdout.readline()).split()]
    assert all(_runs(pid) for pid in pids)
    assert len(pids) == 2
    process.kill()
    await process.wait()
    deadline = monotonic_seconds() + 20
    while any(_runs(pid) for pid in pids):
        assert monotonic_seconds() < deadline
        await asyncio.sleep(0.05)
