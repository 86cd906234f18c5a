"""The one way in: one line exposes an operation on Socket.IO and HTTP; `answer` runs it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec
import structlog

from domain.kernel.actor import Actor
from domain.kernel.errors import DomainError, InternalError, Unavailable
from domain.kernel.store import AWAY
from domain.operations.command import Meta
from domain.operations.operation import Operation, execute
from domain.ports.ports import Ports

log = structlog.get_logger()


class Problem(msgspec.Struct, frozen=True):
    """The `error` of an answer."""

    code: str
    message: str
    details: dict[str, Any]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What every command is acknowledged with. `status` is for HTTP only."""

    ok: bool
    data: Any = None
    error: Problem | None = None
    status: int = 200

    def ack(self) -> dict[str, Any]:
        """The Socket.IO form."""
        if self.error is None:
            return {"ok": True, "data": self.data}
        return {"ok": False, "error": msgspec.to_builtins(self.error)}


def refusal(refused: DomainError) -> Answer:
    """The one mapper from an error to its answer."""
    problem = Problem(refused.code, str(refused), refused.details)
    return Answer(ok=False, error=problem, status=refused.status)


async def answer(
    op: Operation, fields: Any, actor: Actor | None, meta: Meta, ports: Ports
) -> Answer:
    """Never raises: every refusal and every crash becomes an answer."""
    return await attempt(op, execute(op, fields, actor, meta, ports))


async def attempt(op: Operation, doing: Awaitable[Any]) -> Answer:
    """The same for what is not read from JSON, or not answered with it."""
    try:
        return Answer(ok=True, data=await doing)
    except DomainError as refused:
        return refusal(refused)
    except AWAY:
        return refusal(Unavailable())
    except Exception:
        log.exception("operation failed", operation=op.name)
        return refusal(InternalError())


class Stream(msgspec.Struct, frozen=True):
    """A file on its way out; `pieces` reads it from one byte to before another.

    Without a `size` it is read once, as a whole. `etag` stands for content that never changes.
    """

    name: str
    type: str
    pieces: Callable[[int, int], AsyncGenerator[bytes, None]]
    size: int | None = None
    etag: str | None = None


class Route(msgspec.Struct, frozen=True):
    """An HTTP twin: `POST /api/bidding/{offer_id}/accept`."""

    method: str
    path: str


class Exposed(msgspec.Struct, frozen=True):
    """One operation with the wires it is reachable on."""

    operation: Operation
    event: str | None
    route: Route | None
    streamed: bool = False  # the body of its request or answer is no JSON


class Namespace:
    """The operations of one Socket.IO namespace and their HTTP twins."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.exposed: list[Exposed] = []

    def expose(
        self,
        function: Callable[..., Awaitable[Any]],
        *,
        http: str | None = None,
        socket: bool = True,
        streamed: bool = False,
    ) -> None:
        """`bidding.accept` becomes the event `accept` of `/bidding`, and its HTTP route."""
        op: Operation = function.operation  # type: ignore[attr-defined]
        event = op.name.partition(".")[2] if socket else None
        route = Route(*http.split(" ", 1)) if http else None
        self.exposed.append(Exposed(op, event, route, streamed))
