"""What HTTP and sockets share: how an operation is called, and the check of a request id."""

from collections.abc import Awaitable, Callable
from typing import Any

from domain.kernel.actor import Actor
from domain.kernel.errors import Code, DomainError, Invalid, Rule
from domain.operations.command import Meta
from domain.operations.operation import Operation

REQUEST_ID = 128  # characters

# Both return an answer; neither raises.
RunOperation = Callable[[Operation, Any, Actor | None, Meta], Awaitable[Any]]
Refuse = Callable[[DomainError], Any]
# Charges an answer's size in bytes to the caller.
ChargeAnswer = Callable[[Actor | None, int], None]
# Logs a refusal: its code, the operation, the user's id and the address.
Note = Callable[[Code, str, str, str], None]


def checked_request_id(value: Any) -> str | None:
    """Raises Invalid."""
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= REQUEST_ID or not value.isprintable():
        raise Invalid(
            f"use 1 to {REQUEST_ID} printable characters.", field="request_id", rule=Rule.FORMAT
        )
    return value
