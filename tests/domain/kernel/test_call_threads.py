"""Calls in threads: their results, their refusal, and what a cancelled caller leaves."""

import asyncio
import threading

import pytest

from domain.kernel.call_threads import CallThreads


class Busy(Exception):
    pass


async def test_calls_are_answered_refused_and_skipped() -> None:
    """Guard: `Call.take` for a cancelled caller and for a refused call; `self.size` in
    `CallThreads.run`; `except BaseException` in `_serve`."""
    loop, release, begun = asyncio.get_running_loop(), threading.Event(), []
    threads = CallThreads(2, "test", Busy)

    def work(name: str) -> str:
        begun.append(name)
        release.wait(10)
        return name

    running = [threads.run(loop, lambda name=name: work(name), 10) for name in "ab"]
    waiting, cancelled = (threads.run(loop, lambda name=name: work(name), 10) for name in "cd")
    with pytest.raises(Busy):
        await threads.run(loop, lambda: work("refused"), 0.01)
    cancelled.cancel()
    release.set()
    assert await asyncio.gather(*running, waiting) == ["a", "b", "c"]
    for failure in (ValueError("no"), SystemExit("no")):

        def fail(failure: BaseException = failure) -> None:
            raise failure

        with pytest.raises(type(failure)):
            await threads.run(loop, fail, 10)
    assert await threads.run(loop, lambda: threading.current_thread().name, 10) in (
        "test_1",
        "test_2",
    )
    assert sorted(begun) == ["a", "b", "c"]


async def test_a_thread_that_cannot_be_started_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Guard: `self._threads += 1` after the start in `CallThreads.run`: otherwise the next call
    waits for a thread that does not exist."""
    loop, threads = asyncio.get_running_loop(), CallThreads(1, "test", Busy)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full, pytest.raises(RuntimeError):
        full.setattr(threading.Thread, "start", refuse)
        threads.run(loop, lambda: "refused", 10)
    async with asyncio.timeout(10):
        assert await threads.run(loop, lambda: "answered", 10) == "answered"
