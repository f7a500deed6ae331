"""`vol up`: one run of the local stack, from taking the lock to the last part stopped."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
from rich.console import Console

from vol_platform.clock import monotonic_seconds, utc_now
from vol_platform.local.first_surface import FirstSurface
from vol_platform.local.layout import Layout
from vol_platform.local.options import Options
from vol_platform.local.plan import Plan, make_plan
from vol_platform.local.screen import Screen
from vol_platform.local.state import StackState, clean_leftovers, hold_lock, read_state
from vol_platform.local.supervisor import Supervisor
from vol_platform.local.verify import verify
from vol_platform.settings import Settings

__all__ = ["bring_up"]

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAME_SIGNAL_SECONDS = 1.0
STOPPED_BY_USER = 0


def bring_up(settings: Settings, options: Options, console: Console, *, once: bool) -> int:
    """Start the stack and stay until it is told to stop.

    Parameters
    ----------
    settings : Settings
        The configuration.
    options : Options
        What was asked for.
    console : Console
        Where to show progress.
    once : bool
        Check the result as soon as it is there, stop, and answer with the exit code.

    Returns
    -------
    int
        The exit code: 0, or 1 when `once` found something missing.

    Raises
    ------
    LocalStackError
        A part did not start, or the data directory cannot be written to.
    """
    began = monotonic_seconds()
    layout = Layout(settings.data_directory, settings.clickhouse.database)
    layout.create_run()
    with hold_lock(layout.run) as ours:
        if not ours:
            _say_what_runs(layout.run, console)
            return 0
        for name in clean_leftovers(layout.run):
            console.print(f"Stopped {name}, left behind by a supervisor that was killed.")
        plan = make_plan(settings, options)
        for note in plan.notes:
            console.print(f"Note: {note}.", highlight=False, soft_wrap=True)
        try:
            return asyncio.run(_run(plan, console, began, once=once))
        finally:
            (layout.run / "state.json").unlink(missing_ok=True)


async def _run(plan: Plan, console: Console, began: float, *, once: bool) -> int:
    state = StackState(
        supervisor_pid=os.getpid(),
        supervisor_created=psutil.Process().create_time(),
        started=utc_now().timestamp(),
        exchange=plan.options.exchange,
        database=plan.settings.clickhouse.database,
        addresses=plan.addresses,
        ports=plan.ports,
    )
    screen = Screen(console, plan.parts, lambda: state.parts)
    supervisor = Supervisor(plan.parts, plan.layout, state, screen.part_changed)
    stop = _stop_on_signals(supervisor)
    with screen:
        await supervisor.start()
        work = asyncio.create_task(_work(plan, supervisor, screen, began, once=once))
        told = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([work, told], return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else STOPPED_BY_USER
        finally:
            work.cancel()
            told.cancel()
            screen.note = "stopping every part …"
            await supervisor.stop()
            screen.note = ""
            screen.say("Everything has stopped.")


def _stop_on_signals(supervisor: Supervisor) -> asyncio.Event:
    """Return an event that the first Ctrl-C sets; a later one kills every part at once."""
    stop = asyncio.Event()
    first_at: list[float] = []

    def on_signal() -> None:
        stop.set()
        first_at.append(monotonic_seconds())
        # One Ctrl-C may arrive more than once: from the terminal and from make.
        if monotonic_seconds() - first_at[0] > _SAME_SIGNAL_SECONDS:
            supervisor.kill()

    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal)
    return stop


async def _work(
    plan: Plan, supervisor: Supervisor, screen: Screen, began: float, *, once: bool
) -> int:
    screen.note = "starting"
    first_surface = FirstSurface(plan.settings, plan.options.currencies[0])
    showing = asyncio.create_task(first_surface.show(screen, began))
    try:
        await supervisor.wait_up()
        screen.say(f"Every part is up after {monotonic_seconds() - began:.0f} s.")
        for name, address in plan.addresses.items():
            screen.say(f"  {name:<18} {address}")
        if not showing.done():
            screen.note = "waiting for the first surface"
        if once:
            return await verify(plan, supervisor, screen)
        await showing
        screen.note = "running; Ctrl-C stops everything"
        await asyncio.Event().wait()
    finally:
        showing.cancel()
    return 0


def _say_what_runs(run_directory: Path, console: Console) -> None:
    state = read_state(run_directory)
    if state is None:
        console.print("A stack is starting in this data directory; `vol status` shows it.")
        return
    seconds = utc_now().timestamp() - state.started
    console.print(
        f"Already running for {seconds:.0f} s on the {state.exchange} exchange "
        f"(supervisor {state.supervisor_pid}). "
        "`vol status` shows its parts, `vol down` stops it.",
        highlight=False,
        soft_wrap=True,
    )
    for name, address in state.addresses.items():
        console.print(f"  {name:<18} {address}", highlight=False)
