"""What both wires share: who answers, and what a request id may be."""

from collections.abc import Awaitable, Callable
from typing import Any

from domain.kernel.actor import Actor
from domain.kernel.errors import Invalid
from domain.operations.command import Meta
from domain.operations.operation import Operation

REQUEST_ID = 128

Answering = Callable[[Operation, Any, Actor | None, Meta], Awaitable[Any]]


def checked_request_id(value: Any) -> str | None:
    """Raises Invalid."""
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= REQUEST_ID or not value.isprintable():
        raise Invalid(f"request_id: 1 to {REQUEST_ID} printable characters.", field="request_id")
    return value
