"""What a command can end with instead of an answer, and the policy of repeating it."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

# Codes that pass by themselves: the same command, under the same request id, can succeed later.
PASSING = frozenset({"unavailable", "request_in_progress", "rate_limited"})
# Codes that end a session: only a new sign-in helps.
ENDING = frozenset({"unauthenticated", "forbidden", "banned", "second_factor_setup_required"})
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds


class Refusal(Exception):
    """The server refused a command. `code` is one of the contract, `details` depend on it."""

    def __init__(self, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = dict(details or {})

    @property
    def retry_after(self) -> float:
        """Seconds that the server asks to wait, or 0."""
        return float(self.details.get("retry_after") or 0)


class NoAnswer(Refusal):
    """The server could not be reached, or the connection ended before its answer: it is unknown
    whether the command was carried out."""

    def __init__(self, message: str = "The server did not answer.") -> None:
        super().__init__("unavailable", message)


class ConnectionLost(NoAnswer):
    """The connection ended before the answer. The command waits for the next one: commands that
    were sent one after the other are repeated in that order."""


class Missed(Exception):
    """A subscription raises this where pushes are missing: read the lists again, then go on.

    `reason` is `too_old` when the server keeps the missed events no longer, or `overflow` when
    the subscription was not read in time.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def passes(refused: Refusal) -> bool:
    """Whether a command may be repeated that does nothing twice."""
    return refused.code in PASSING


def was_not_executed(refused: Refusal) -> bool:
    """Whether any command may be repeated."""
    return refused.code == "rate_limited"


def was_not_answered(refused: Refusal) -> bool:
    return isinstance(refused, NoAnswer)


def pauses() -> Callable[[float], float]:
    """Growing random pauses in seconds, each at least as long as the server asks."""
    steps = (min(FIRST_PAUSE * 2**n, LONGEST_PAUSE) for n in itertools.count())
    return lambda least: max(least, next(steps) * random.uniform(0.5, 1.0))


async def repeat(
    attempt: Callable[[], Awaitable[T]],
    *,
    again: Callable[[Refusal], bool],
    patience: float,
    on_repeat: Callable[[Refusal], None],
) -> T:
    """Call `attempt` until it answers, is refused without `again`, or `patience` seconds have
    passed. Raises the last Refusal."""
    loop, pause = asyncio.get_running_loop(), pauses()
    end = loop.time() + patience
    while True:
        try:
            return await attempt()
        except Refusal as refused:
            wait = 0 if isinstance(refused, ConnectionLost) else pause(refused.retry_after)
            if not again(refused) or loop.time() + wait > end:
                raise
            on_repeat(refused)
        await asyncio.sleep(wait)
