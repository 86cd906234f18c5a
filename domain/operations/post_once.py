"""One effect at Stripe for each request, even when earlier answers were lost.

Stripe replays the first result of an idempotency key, a stored failure as well, and forgets the key
after 24 hours. A repeated request is therefore safe under its first key, within KEY_LIFETIME. Under
a later key, or when the first is older, the object that an earlier request may have created is
looked for first. Source: Stripe, "Idempotent requests".
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from domain.operations.task import Task, TryAgain
from domain.ports.payment_gateway import KEY_LIFETIME, GatewayRefused, StaleFailure
from domain.ports.ports import Ports

T = TypeVar("T")


async def post_once(
    ports: Ports,
    *,
    key: int,
    since: datetime,
    find: Callable[[], Awaitable[T | None]],
    post: Callable[[], Awaitable[T]],
    next_key: Task | Callable[[], Awaitable[None]],
    refused: Callable[[GatewayRefused], Awaitable[T]] | None = None,
    find_first: bool = False,
) -> T:
    """Return what `find` finds of an earlier request, or what `post` creates.

    `key` is the number in the idempotency key that `post` sends; number 0 was first used at `since`
    or later. `find_first` looks in any case, where the caller knows of an earlier request. The rest
    is described at `post_repeatable`.
    """
    if find_first or key or ports.clock.now() - since > KEY_LIFETIME:
        found = await find()
        if found is not None:
            return found
    return await post_repeatable(post, next_key, refused)


async def post_repeatable(
    post: Callable[[], Awaitable[T]],
    next_key: Task | Callable[[], Awaitable[None]],
    refused: Callable[[GatewayRefused], Awaitable[T]] | None = None,
) -> T:
    """Post what has the same effect when it is done twice.

    After a stale failure the task runs again with the next number in its idempotency key:
    `next_key` is that task, or stores the number in the task's record. `refused` says what a
    definite refusal means. Raises TryAgain, GatewayUnknown, and GatewayRefused without `refused`.
    """
    try:
        return await post()
    except StaleFailure as stale:
        if isinstance(next_key, Task):
            raise TryAgain(str(stale), next_key) from stale
        await next_key()
        raise TryAgain(str(stale)) from stale
    except GatewayRefused as refusal:
        if refused is None:
            raise
        return await refused(refusal)
