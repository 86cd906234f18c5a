"""Background tasks end, also when a library swallows a cancellation."""

import asyncio

import pytest

from server.runtime import background_tasks
from server.runtime.background_tasks import end


@pytest.fixture(autouse=True)
def prompt(monkeypatch):
    monkeypatch.setattr(background_tasks, "TRY_SECONDS", 0.05)


async def test_a_lost_cancellation_is_repeated():
    """Guard: the loop in `end`; asyncio.wait_for of Python 3.11 can lose one."""
    lost = asyncio.Event()

    async def work():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            lost.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end([task])
    assert lost.is_set() and task.cancelled()


async def test_what_never_ends_does_not_hold_up_the_others(monkeypatch):
    """Guard: TRIES; without a bound a process could not be stopped but by SIGKILL."""
    monkeypatch.setattr(background_tasks, "TRIES", 1)
    stop = asyncio.Event()

    async def stubborn():
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end([task])
    assert not task.done()
    stop.set()
    await task
