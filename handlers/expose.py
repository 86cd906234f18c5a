"""Exposes operations on Socket.IO and HTTP, and runs them: every command goes through `answer`."""

import errno
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec
import structlog

from domain.kernel.actor import Actor
from domain.kernel.errors import DomainError, InternalError, Unavailable
from domain.kernel.outbox import Event
from domain.kernel.store import UNREACHABLE
from domain.operations.command import Meta
from domain.operations.operation import Operation, execute
from domain.ports.ports import Ports

log = structlog.get_logger()

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class Problem(msgspec.Struct, frozen=True):
    """The `error` field of an answer."""

    code: str
    message: str
    details: dict[str, Any]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of a command. `status` is the HTTP status code."""

    ok: bool
    data: Any = None
    error: Problem | None = None
    status: int = 200

    def ack(self) -> dict[str, Any]:
        """The Socket.IO acknowledgement."""
        if self.error is None:
            return {"ok": True, "data": self.data}
        return {"ok": False, "error": msgspec.to_builtins(self.error)}


def refusal(refused: DomainError) -> Answer:
    """Map an error to its answer. No other code does."""
    problem = Problem(refused.code, str(refused), refused.details)
    return Answer(ok=False, error=problem, status=refused.status)


async def answer(
    op: Operation,
    fields: Any,
    actor: Actor | None,
    meta: Meta,
    ports: Ports,
    run: Callable[..., Awaitable[Any]] = execute,
) -> Answer:
    """Run an operation and return its answer; never raises.

    `run` replaces `execute` where a request or its response is a stream of bytes and not JSON.
    """
    try:
        return Answer(ok=True, data=await run(op, fields, actor, meta, ports))
    except DomainError as refused:
        if refused.code not in op.codes:
            log.error("undeclared error", operation=op.name, code=refused.code)
        return refusal(refused)
    except UNREACHABLE:
        return refusal(Unavailable())
    except Exception as failed:
        if isinstance(failed, OSError) and failed.errno in DISK_FULL:
            log.error("the disk is full", operation=op.name)
            return refusal(Unavailable())
        log.exception("operation failed", operation=op.name)
        return refusal(InternalError())


class Stream(msgspec.Struct, frozen=True):
    """A file to send. `pieces(start, end)` reads its bytes from `start` up to but without `end`.

    Without a `size` in bytes it is read once, from beginning to end. An `etag` promises that the
    content never changes.
    """

    name: str
    type: str
    pieces: Callable[[int, int], AsyncGenerator[bytes, None]]
    size: int | None = None
    etag: str | None = None


class Route(msgspec.Struct, frozen=True):
    """The HTTP route of an operation, such as `POST /api/bidding/{offer_id}/accept`."""

    method: str
    path: str


class Exposed(msgspec.Struct, frozen=True):
    """An operation with its Socket.IO event and its HTTP route, if it has them."""

    operation: Operation
    event: str | None
    route: Route | None
    streamed: bool = False  # the body of the request or of the response is not JSON
    kept_seconds: int = 0  # for which anybody may keep the response


class Namespace:
    """The operations of one Socket.IO namespace with their HTTP routes, and its pushes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.exposed: list[Exposed] = []
        self.pushes: tuple[Event, ...] = ()

    def expose(
        self,
        function: Callable[..., Awaitable[Any]],
        *,
        http: str | None = None,
        socket: bool = True,
        streamed: bool = False,
        kept_seconds: int = 0,
    ) -> None:
        """Expose `function`: `bidding.accept` becomes the event `accept` of `/bidding`.

        `http` is the method and path of its route. Without `socket` it has only the route.
        Caches may keep the response of a read that is the same for everybody for `kept_seconds`.
        """
        op: Operation = function.operation  # type: ignore[attr-defined]
        event = op.name.partition(".")[2] if socket else None
        route = Route(*http.split(" ", 1)) if http else None
        self.exposed.append(Exposed(op, event, route, streamed, kept_seconds))
