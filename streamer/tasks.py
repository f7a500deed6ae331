"""The end of tasks: cancelled, and cancelled again where a cancellation was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

__all__ = ["end_tasks"]

_PATIENCE_SECONDS = 2.0
"""Longer than a WebSocket takes to close, so that a task which is ending is left in peace."""


async def end_tasks(
    tasks: Iterable[asyncio.Task[Any]], *, patience_seconds: float = _PATIENCE_SECONDS
) -> list[Any]:
    """Cancel tasks until they have ended.

    Once is not enough: `asyncio.wait_for` of Python 3.11 returns as if nothing had happened when
    the cancellation comes in the moment in which it has what it waited for, and libraries wait
    with it (redis does before every command).  The loop around it would then run for ever.

    Parameters
    ----------
    tasks
        What shall end.
    patience_seconds
        How long a task may take to end before it is cancelled again.

    Returns
    -------
    list
        The result of each, or its exception.
    """
    all_tasks = list(tasks)
    while running := [task for task in all_tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=patience_seconds)
    return list(await asyncio.gather(*all_tasks, return_exceptions=True))
