"""Starts every part in order, starts again what ends, and stops everything in reverse order.

One task per part.  A part that ends is started again after a pause that doubles up to fifteen
seconds and is forgotten after a minute of health.  A part that never became ready and failed
several times in a row stops the start-up with its own last words.  Each part is a process group
of its own, so that Ctrl-C reaches only the supervisor, which then stops the parts in the right
order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from vol_platform.clock import monotonic_seconds, utc_now
from vol_platform.errors import LocalStackError
from vol_platform.local.layout import Layout
from vol_platform.local.logs import BoundedLog
from vol_platform.local.parts import Part
from vol_platform.local.state import PartState, StackState, write_state
from vol_platform.settings import child_environment

__all__ = ["Supervisor"]

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0
_HEALTHY_SECONDS = 60.0
_PROBE_SECONDS = 0.1
_FAILURES_BEFORE_GIVING_UP = 4

Listener = Callable[[PartState, str], None]
"""Called with a part's state at every change, and what to say about it."""


class Supervisor:
    """Keeps `parts` running until told to stop.

    Parameters
    ----------
    parts : sequence of Part
        In start order; each names those it waits for.
    layout : Layout
        Where logs and the state file go.
    state : StackState
        Filled in and written at every change.
    listener : callable
        Told about every change.
    """

    def __init__(
        self, parts: Sequence[Part], layout: Layout, state: StackState, listener: Listener
    ) -> None:
        self._parts = list(parts)
        self._layout = layout
        self._state = state
        self._listener = listener
        self._states = {
            part.name: PartState(part.name, "waiting", port=part.port) for part in parts
        }
        self._up = {part.name: asyncio.Event() for part in parts}
        self._logs = {part.name: BoundedLog(layout.logs / f"{part.name}.log") for part in parts}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._pumps: dict[str, asyncio.Task[None]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._guard: subprocess.Popen[bytes] | None = None
        self._stopping = False
        state.parts = list(self._states.values())

    @property
    def states(self) -> dict[str, PartState]:
        """Return the state of each part by name."""
        return self._states

    async def start(self) -> None:
        """Start keeping every part; returns at once."""
        # Starting it takes milliseconds; our own interpreter on our own file.
        self._guard = subprocess.Popen(  # noqa: ASYNC220 - see above
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py"))],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        for part in self._parts:
            self._tasks[part.name] = asyncio.create_task(self._keep(part), name=part.name)

    async def wait_up(self) -> None:
        """Wait until every part that is not optional is ready or done.

        Raises
        ------
        LocalStackError
            A part failed several times in a row without ever becoming ready.
        """
        needed = [self._up[part.name].wait() for part in self._parts if not part.optional]
        everything = asyncio.gather(*needed)
        failures = [self._tasks[part.name] for part in self._parts if not part.optional]
        try:
            while not everything.done():
                await asyncio.wait([everything], timeout=0.1)
                for task in failures:
                    if task.done() and (error := task.exception()) is not None:
                        raise error
            await everything
        finally:
            everything.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await everything

    async def stop(self) -> None:
        """Stop every part, the last started first, and the guard."""
        self._stopping = True
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for level in _levels(self._parts):
            await asyncio.gather(*(self._stop_part(part) for part in level))
        for log in self._logs.values():
            log.close()
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.close()
            await asyncio.to_thread(self._guard.wait)

    def kill(self) -> None:
        """Kill every part at once: the user asked a second time to stop."""
        for process in self._processes.values():
            _signal_group(process.pid, signal.SIGKILL)

    async def _keep(self, part: Part) -> None:
        """Run `part` for as long as the stack is up."""
        for name in part.after:
            await self._up[name].wait()
        pause = _FIRST_PAUSE_SECONDS
        failures = 0
        while True:
            began = monotonic_seconds()
            problem = await self._run_once(part)
            if problem is None:
                self._set(part, "done", "done")
                self._up[part.name].set()
                return
            if monotonic_seconds() - began > _HEALTHY_SECONDS:
                pause, failures = _FIRST_PAUSE_SECONDS, 0
            failures += 1
            never_ready = not self._up[part.name].is_set()
            if never_ready and failures >= _FAILURES_BEFORE_GIVING_UP:
                self._set(part, "failed", problem)
                raise LocalStackError(self._last_words(part, problem))
            self._states[part.name].restarts += 1
            self._set(part, "restarting", f"{problem}; starting again in {pause:.1f} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _run_once(self, part: Part) -> str | None:
        """Start `part` and wait until it ends; None is a job done, text is what went wrong."""
        self._set(part, "starting", "starting")
        began = monotonic_seconds()
        process = await asyncio.create_subprocess_exec(
            *part.command,
            env=child_environment({"PYTHONUNBUFFERED": "1", **part.environment}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self._processes[part.name] = process
        self._tell_guard("+", process.pid)
        state = self._states[part.name]
        state.pid = process.pid
        with contextlib.suppress(psutil.NoSuchProcess):
            state.process_created = psutil.Process(process.pid).create_time()
        self._write_state()
        self._pumps[part.name] = asyncio.create_task(self._pump(part, process))
        ended = asyncio.create_task(process.wait())
        try:
            if part.kind == "service":
                problem = await self._wait_ready(part, ended, began)
                if problem is not None:
                    return problem
            code = await ended
            if part.kind == "job" and code == 0:
                return None
            return f"ended with {_exit_words(code)}"
        finally:
            if not self._stopping:
                # Whatever it started itself goes with it, so that its ports are free again.
                _signal_group(process.pid, signal.SIGKILL)
                await ended
                await self._forget(part, process)

    async def _wait_ready(self, part: Part, ended: asyncio.Task[int], began: float) -> str | None:
        while not ended.done():
            seconds = monotonic_seconds() - began
            settled = seconds >= part.settle_seconds
            if settled if part.probe is None else await part.probe():
                where = f" on 127.0.0.1:{part.port}" if part.port else ""
                self._set(part, "ready", f"ready{where} after {seconds:.1f} s")
                self._up[part.name].set()
                return None
            if seconds > part.ready_seconds:
                return f"was not ready within {part.ready_seconds:.0f} s"
            await asyncio.wait([ended], timeout=_PROBE_SECONDS)
        return None

    async def _pump(self, part: Part, process: asyncio.subprocess.Process) -> None:
        """Copy what the part says into its log."""
        stream, log = process.stdout, self._logs[part.name]
        if stream is None:
            return
        while chunk := await stream.read(65536):
            log.write(chunk)

    async def _stop_part(self, part: Part) -> None:
        process = self._processes.get(part.name)
        if process is None:
            return
        _signal_group(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(part.stop_seconds):
                await process.wait()
        except TimeoutError:
            self._set(part, "stopping", f"did not stop within {part.stop_seconds:.0f} s; killed")
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()
        await self._forget(part, process)
        self._set(part, "stopped", "stopped")

    async def _forget(self, part: Part, process: asyncio.subprocess.Process) -> None:
        await self._pumps.pop(part.name)
        self._processes.pop(part.name, None)
        self._tell_guard("-", process.pid)
        state = self._states[part.name]
        state.pid = state.process_created = None

    def _tell_guard(self, sign: str, pid: int) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.write(f"{sign} {pid}\n".encode())
                self._guard.stdin.flush()

    def _set(self, part: Part, status: str, words: str) -> None:
        state = self._states[part.name]
        state.status, state.detail, state.since = status, words, utc_now().timestamp()
        self._write_state()
        self._listener(state, words)

    def _write_state(self) -> None:
        # A full disk must not stop the feed; the state file is a convenience.
        with contextlib.suppress(OSError):
            write_state(self._layout.run, self._state)

    def _last_words(self, part: Part, problem: str) -> str:
        log = self._logs[part.name]
        last = log.tail[-1] if log.tail else "it said nothing"
        return f"{part.name} {problem}; its last words: {last}; the whole log is {log.path}"


def _levels(parts: Sequence[Part]) -> list[list[Part]]:
    """Return the parts in groups that may stop together, those that others wait for last."""
    remaining = list(parts)
    levels = []
    while remaining:
        needed = {name for part in remaining for name in part.after}
        level = [part for part in remaining if part.name not in needed]
        levels.append(level)
        remaining = [part for part in remaining if part.name in needed]
    return levels


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _exit_words(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
