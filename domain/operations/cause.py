"""The cause of what the platform does without a command: an event of Stripe, a task or a job."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """The cause of a transaction. `task` is the kind of the task in the outbox row `row`; `event`
    is the id of Stripe's event; `job` is a periodic job; `operation` is a command that acts
    outside of a transaction of its own."""

    event: str = ""
    event_type: str = ""
    task: str = ""
    row: str = ""
    job: str = ""
    operation: str = ""


NONE = Cause()
_cause: ContextVar[Cause] = ContextVar("cause", default=NONE)


def current_cause() -> Cause:
    return _cause.get()


@contextmanager
def caused_by(**known: str) -> Iterator[None]:
    """Add to the cause of all transactions within."""
    token = _cause.set(msgspec.structs.replace(_cause.get(), **known))
    try:
        yield
    finally:
        _cause.reset(token)
