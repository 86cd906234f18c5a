"""A coroutine that begins where it is made: done at once, or its rest goes on like any other."""

import asyncio

import pytest

from server.realtime.eager import start_eagerly


async def test_what_waits_for_nothing_is_done_at_once():
    """Guard: `work.send(None)` in `start_eagerly`; no task, no turn of the loop."""
    done = []

    async def work():
        done.append(1)

    assert start_eagerly(work()) is None
    assert done == [1]


async def test_what_waits_goes_on_in_order():
    """Guard: `_rest` yields what is waited for already, and then whatever comes next."""
    steps, gate = [], asyncio.get_running_loop().create_future()

    async def work():
        steps.append("begun")
        steps.append(await gate)
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await asyncio.sleep(0.001)
        steps.append("done")

    rest = start_eagerly(work())
    assert rest is not None and steps == ["begun"]
    task = asyncio.ensure_future(rest)
    await asyncio.sleep(0)
    gate.set_result("given")
    await task
    assert steps == ["begun", "given", "done"]


async def test_failures_and_cancellation_reach_it():
    """Guard: `throw` in `_rest`; what it holds would never be let go."""
    told = []

    async def work(future):
        try:
            await future
        except BaseException as failed:
            told.append(type(failed))
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
    assert told == [ValueError, asyncio.CancelledError]


async def test_what_fails_at_once_fails_where_it_was_made():
    """Guard: nothing but StopIteration is caught in `start_eagerly`."""

    async def work():
        raise ValueError

    with pytest.raises(ValueError):
        start_eagerly(work())
