"""Eager coroutines: the first step runs at the call, and a task is needed only if it waits.

A task costs more than most of the work of an instant command. Python 3.12 has the same as
`asyncio.eager_task_factory`; here, for 3.11, the first step runs outside of any task.
"""

import types
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any


def start_eagerly(work: Coroutine[Any, Any, None]) -> Awaitable[None] | None:
    """Run `work` up to its first wait; returns the rest, to be awaited, or None if it is done."""
    try:
        waits_for = work.send(None)
    except StopIteration:
        return None
    return _rest(work, waits_for)


@types.coroutine
def _rest(work: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """What `yield from` does, starting with the future that `work` already waits for."""
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
