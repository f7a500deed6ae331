"""Tasks end when they are told to, whatever the libraries in them make of a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from streamer.clock import SYSTEM_CLOCK
from streamer.publish import Publisher
from streamer.tasks import end_tasks
from vol_platform_tests.streamer.support import RECEIVED_NS, ticker_frame

TURNS = 12


async def deaf(times: int) -> str:
    for _ in range(times):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
    return "ended"


async def failing() -> None:
    raise ValueError("it was broken before")


async def test_a_task_that_loses_a_cancellation_is_cancelled_again():
    tasks = [asyncio.create_task(deaf(times)) for times in (1, 3)]
    await asyncio.sleep(0)
    assert await end_tasks(tasks, patience_seconds=0.01) == ["ended", "ended"]


async def test_what_became_of_each_task_is_told_in_their_order():
    tasks = [asyncio.create_task(failing()), asyncio.create_task(asyncio.Event().wait())]
    await asyncio.sleep(0)
    failed, cancelled = await end_tasks(tasks)
    assert isinstance(failed, ValueError)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert await end_tasks([]) == []


async def test_a_task_that_is_about_to_end_is_left_in_peace():
    cleaned = []

    async def closing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            cleaned.append(True)

    task = asyncio.create_task(closing())
    await asyncio.sleep(0)
    await end_tasks([task])
    assert cleaned == [True]


@pytest.mark.parametrize("turns", range(TURNS))
async def test_the_publisher_ends_at_whatever_turn_of_the_loop_it_is_told_to(redis_url, turns):
    publisher = Publisher(redis_url, database="ended", collector="tested", clock=SYSTEM_CLOCK)
    publisher.add_frames([ticker_frame()], RECEIVED_NS)
    await publisher.flush()  # connected
    publisher.add_frames([ticker_frame()], RECEIVED_NS)
    flushing = asyncio.create_task(publisher.run())
    while publisher._waiting["options_quotes"]:  # noqa: ASYNC110 - turns of the loop are counted here
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    (outcome,) = await end_tasks([flushing], patience_seconds=0.2)
    await publisher.close()
    assert isinstance(outcome, asyncio.CancelledError)
