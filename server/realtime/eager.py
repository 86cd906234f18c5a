"""Coroutines that take their first step where they are made, and become a task only if they wait.

A task costs more than most of what an instant command does. Python 3.12 can do the same by itself
(`asyncio.eager_task_factory`); with 3.11 the first step has no task around it.
"""

import types
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any


def begun(work: Coroutine[Any, Any, None]) -> Awaitable[None] | None:
    """None when `work` is done already, or else the rest of it, to be awaited."""
    try:
        waits_for = work.send(None)
    except StopIteration:
        return None
    return _rest(work, waits_for)


@types.coroutine
def _rest(work: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """As `yield from` would go on, with what it waits for already."""
    while True:
        try:
            try:
                given = yield waits_for
            except BaseException as failed:
                waits_for = work.throw(failed)
            else:
                waits_for = work.send(given)
        except StopIteration:
            return
