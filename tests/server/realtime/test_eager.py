"""Eager coroutines: done at the call, or continued when awaited."""

import asyncio

import pytest

from server.realtime.eager import start_eagerly


async def test_a_coroutine_that_does_not_wait_is_done_at_the_call():
    """Guard: `work.send(None)` in `start_eagerly`; no task, no turn of the loop."""
    done = []

    async def work():
        done.append(1)

    assert start_eagerly(work()) is None
    assert done == [1]


async def test_a_coroutine_that_waits_continues_in_order():
    """Guard: `_rest` yields the future that is already awaited, then the next ones."""
    steps, gate = [], asyncio.get_running_loop().create_future()

    async def work():
        steps.append("started")
        steps.append(await gate)
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await asyncio.sleep(0.001)
        steps.append("done")

    rest = start_eagerly(work())
    assert rest is not None and steps == ["started"]
    task = asyncio.ensure_future(rest)
    await asyncio.sleep(0)
    gate.set_result("given")
    await task
    assert steps == ["started", "given", "done"]


async def test_failures_and_cancellation_reach_the_coroutine():
    """Guard: `throw` in `_rest`; without it the coroutine never releases its resources."""
    raised = []

    async def work(future):
        try:
            await future
        except BaseException as failed:
            raised.append(type(failed))
            await asyncio.sleep(0)
            raise

    loop = asyncio.get_running_loop()
    failing = loop.create_future()
    rest = start_eagerly(work(failing))
    failing.set_exception(ValueError())
    with pytest.raises(ValueError):
        await rest
    task = asyncio.ensure_future(start_eagerly(work(loop.create_future())))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert raised == [ValueError, asyncio.CancelledError]


async def test_an_immediate_failure_is_raised_at_the_call():
    """Guard: nothing but StopIteration is caught in `start_eagerly`."""

    async def work():
        raise ValueError

    with pytest.raises(ValueError):
        start_eagerly(work())
