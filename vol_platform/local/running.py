"""What another process needs to know of a running stack: its settings, its end."""

from __future__ import annotations

import contextlib
import os
import signal
from time import sleep

from vol_platform.clock import monotonic_seconds
from vol_platform.local.layout import Layout
from vol_platform.local.ports import HOST
from vol_platform.local.state import (
    StackState,
    clean_leftovers,
    hold_lock,
    is_running,
    read_state,
)
from vol_platform.settings import Settings, load_settings

__all__ = ["running_stack", "settings_of_running_stack", "shut_down"]


def running_stack(settings: Settings) -> StackState | None:
    """Return the state of the stack that runs in the data directory, None when none does."""
    run_directory = Layout(settings.data_directory, "").run
    return read_state(run_directory) if is_running(run_directory) else None


def settings_of_running_stack() -> Settings:
    """Return the settings with the ports and the database of the running stack.

    A value that the configuration sets itself stays as it is.
    """
    settings = load_settings()
    state = running_stack(settings)
    if state is None:
        return settings
    clickhouse = {
        name: value
        for name, value in (("port", state.ports["store"]), ("database", state.database))
        if name not in settings.clickhouse.model_fields_set
    }
    changes: dict[str, object] = {
        "clickhouse": settings.clickhouse.model_copy(update=clickhouse),
        "exchange": settings.exchange.model_copy(update={"name": state.exchange}),
    }
    if "url" not in settings.redis.model_fields_set:
        url = f"redis://{HOST}:{state.ports['redis']}/0"
        changes["redis"] = settings.redis.model_copy(update={"url": url})
    if "dagster" in state.ports and "port" not in settings.dagster.model_fields_set:
        changes["dagster"] = settings.dagster.model_copy(update={"port": state.ports["dagster"]})
    return settings.model_copy(update=changes)


def shut_down(settings: Settings, patience_seconds: float = 90.0) -> str:
    """Stop the stack that runs in the data directory, and whatever a killed one left behind.

    Returns what was done, in a sentence.
    """
    layout = Layout(settings.data_directory, "")
    state = read_state(layout.run)
    if is_running(layout.run) and state is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.supervisor_pid, signal.SIGTERM)
        deadline = monotonic_seconds() + patience_seconds
        while is_running(layout.run) and monotonic_seconds() < deadline:
            sleep(0.1)
        if not is_running(layout.run):
            return f"Stopped {len(state.parts)} parts."
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.supervisor_pid, signal.SIGKILL)
        while is_running(layout.run):
            sleep(0.1)
    if not layout.run.exists():
        return "Nothing was running."
    with hold_lock(layout.run):
        leftovers = clean_leftovers(layout.run)
    return (
        f"Stopped what was left behind: {', '.join(leftovers)}."
        if leftovers
        else "Nothing was running."
    )
