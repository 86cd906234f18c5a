"""The operation core: who may call, valid input, one transaction, one reply per request id."""

import hashlib
import inspect
import secrets
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec
from msgspec import Meta as Limits

from domain import trail
from domain.errors import (
    Conflict,
    Forbidden,
    Invalid,
    RequestIdReused,
    RequestInProgress,
    Unauthenticated,
    Unavailable,
)
from domain.ports import Ports
from domain.record import Index, Record, wire
from domain.store import AWAY, TRANSACTION_SECONDS, Duplicate, UnitOfWork

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])
Rooms = Callable[[Any], Iterable[str]]

REPLY_KEPT = timedelta(hours=24)
CLAIM_HELD = timedelta(seconds=TRANSACTION_SECONDS + 5)  # then whoever had it was killed


class Role(StrEnum):
    CUSTOMER = "customer"
    CONTRACTOR = "contractor"
    ADMIN = "admin"


EVERYONE = frozenset(Role)
PARTIES = frozenset({Role.CUSTOMER, Role.CONTRACTOR})
ANYONE: frozenset[Role] = frozenset()  # signed in or not


class Style(StrEnum):
    """What an operation is handed: a transaction, a reading unit of work, or the ports."""

    WRITE = "write"
    READ = "read"
    DIRECT = "direct"


class Actor(msgspec.Struct, frozen=True):
    """Who calls, from a verified access token."""

    id: str
    role: Role
    session_id: str


class Meta(msgspec.Struct, frozen=True):
    """How the call came in. `text` input (a query string) has its numbers still to be read."""

    request_id: str | None = None
    address: str = ""
    text: bool = False
    committed: Callable[[], None] = lambda: None


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of one operation."""


Id = Annotated[str, Limits(min_length=1, max_length=64)]
CurrencyCode = Annotated[str, Limits(pattern="^[A-Z]{3}$", max_length=3)]
Cursor = Annotated[str, Limits(max_length=500)]
PageSize = Annotated[int, Limits(ge=1, le=100)]


class Nothing(Command, frozen=True):
    """An operation without fields."""


class Operation(msgspec.Struct, frozen=True):
    """A tagged function with what the executor and the documents need to know about it."""

    name: str
    run: Callable[..., Awaitable[Any]]
    command: type[Command]
    roles: frozenset[Role]
    style: Style
    reply: Callable[[str, Actor, Ports], Awaitable[Any]] | None = None
    audited: bool = False
    joins: Rooms | None = None
    leaves: Rooms | None = None
    pipelined: bool = False
    instant: bool = False

    def admit(self, actor: Actor | None) -> None:
        """Raises Unauthenticated or Forbidden."""
        if not self.roles:
            return
        if actor is None:
            raise Unauthenticated
        if actor.role not in self.roles:
            raise Forbidden(allowed=sorted(self.roles))

    def parse(self, fields: Any, text: bool) -> Command:
        """Raises Invalid, naming the field."""
        try:
            command = msgspec.convert(fields, self.command, strict=not text)
        except msgspec.ValidationError as refused:
            raise invalid(refused) from refused
        for name, value in fields.items():
            if _has_null(value):
                raise Invalid(f"{name}: null characters are not text.", field=name)
        return command


def operation(
    name: str,
    *,
    roles: frozenset[Role] | set[Role],
    style: Style = Style.WRITE,
    reply: Callable[[str, Actor, Ports], Awaitable[Any]] | None = None,
    audited: bool = False,
    joins: Rooms | None = None,
    leaves: Rooms | None = None,
    pipelined: bool = False,
    instant: bool = False,
) -> Callable[[F], F]:
    """Tag a function as an operation; what registers it is the handlers' explicit list.

    `reply` composes the answer after the commit, from the id of the record that the operation
    returned. It may wait, does not hold up the caller's other commands, and runs again when a
    request id is repeated: so secrets are re-read, never stored.

    What writes in a transaction leaves a row in the audit trail by itself, and so does whatever an
    administrator looks at; `audited` is for what acts directly.

    `joins` and `leaves` name, from the answer, the rooms that the calling socket listens to from
    then on, or no longer.

    A `pipelined` one says itself, by `meta.committed()`, from when on its place among the caller's
    commands is fixed: the next one begins then, and the answer comes when it is there.

    `instant` is for what hardly ever waits for anything. It begins where its packet is read, which
    is no task: until it has waited for something, it must not use `asyncio.timeout` and the like.
    """

    def tag(function: F) -> F:
        first = next(iter(inspect.signature(function).parameters))
        command = get_type_hints(function)[first]
        tagged = Operation(
            name,
            function,
            command,
            frozenset(roles),
            style,
            reply,
            audited,
            joins,
            leaves,
            pipelined,
            instant,
        )
        function.operation = tagged  # type: ignore[attr-defined]
        return function

    return tag


async def execute(op: Operation, fields: Any, actor: Actor | None, meta: Meta, ports: Ports) -> Any:
    """Run one operation and return its wire value. Raises DomainError."""
    op.admit(actor)
    command = op.parse(fields, meta.text)
    try:
        return await _run(op, command, fields, actor, meta, ports)
    except AWAY as away:
        raise Unavailable from away


async def _run(
    op: Operation, command: Command, fields: Any, actor: Actor | None, meta: Meta, ports: Ports
) -> Any:
    if op.style is not Style.WRITE:
        if op.style is Style.DIRECT:
            answer = wire(await op.run(command, actor, ports, meta))
        else:
            answer = wire(await op.run(command, actor, ports.store.single()))
        await looked(op, fields, actor, meta, ports, _subject(answer))
        return answer
    assert actor is not None, "an operation that writes has roles"
    answer = await _write(op, command, fields, actor, meta, ports)
    meta.committed()
    if op.reply is None:
        return answer
    return wire(await op.reply(answer["id"], actor, ports))


async def looked(
    op: Operation,
    fields: Any,
    actor: Actor | None,
    meta: Meta,
    ports: Ports,
    subjects: Iterable[str] = (),
) -> None:
    """Leave a row of what an administrator has been shown, or of what is `audited`."""
    shown = actor and actor.role is Role.ADMIN and not op.name.startswith("account.")
    if op.audited or shown:
        deed = _deed(op, fields, actor, meta)
        await trail.record(ports.store.single(), ports.seal, deed, subjects)


async def _write(
    op: Operation, command: Command, fields: Any, actor: Actor, meta: Meta, ports: Ports
) -> Any:
    claim = await _claim(op, fields, actor, meta, ports) if meta.request_id else None
    if isinstance(claim, Reply):
        return claim.answer

    async def work(uow: UnitOfWork) -> Any:
        value = wire(await op.run(command, actor, uow))
        if uow.changes or uow.rows or actor.role is Role.ADMIN:
            await trail.record(uow, ports.seal, _deed(op, fields, actor, meta))
        if claim:
            await claim.settle(uow, value)
        return value

    try:
        return await ports.store.transact(work)
    except BaseException as failed:
        if claim:
            await claim.drop(ports)
        if isinstance(failed, Duplicate):
            raise Conflict from failed
        raise


def _deed(op: Operation, fields: Any, actor: Actor | None, meta: Meta) -> trail.Deed:
    return trail.Deed(
        operation=op.name,
        fields=fields,
        request_id=meta.request_id,
        address=meta.address,
        actor_id=actor.id if actor else None,
        role=actor.role if actor else None,
        session_id=actor.session_id if actor else None,
    )


def _subject(answer: Any) -> list[str]:
    """Who has registered or signed in, when nobody was; or whose talk was read."""
    if not isinstance(answer, dict):
        return []
    user, talk = answer.get("user"), answer.get("conversation_id")
    return [user["id"]] if isinstance(user, dict) else [talk] if isinstance(talk, str) else []


# -- idempotent replies ----------------------------------------------------------------------


class Reply(Record, frozen=True):
    """The first success of a request id; `claimed_by` while it still runs."""

    COLLECTION = "requests"
    PREFIX = "req"
    INDEXES = (Index((("expires_at", 1),), ttl_seconds=0),)

    fingerprint: str
    expires_at: datetime
    claimed_by: str | None = None
    claimed_until: datetime | None = None
    answer: Any = None


class Claim(msgspec.Struct, frozen=True):
    """The right to run a request id; lost when another process takes over after a crash."""

    id: str
    token: str

    async def settle(self, uow: UnitOfWork, answer: Any) -> None:
        """Part of the command's own transaction. Raises RequestInProgress when taken over."""
        done = await uow.change(
            Reply,
            self.id,
            only_if={"claimed_by": self.token},
            claimed_by=None,
            claimed_until=None,
            answer=answer,
            expires_at=uow.now + REPLY_KEPT,
        )
        if done is None:
            raise RequestInProgress

    async def drop(self, ports: Ports) -> None:
        """Failures are not kept, so that the caller may correct and try again."""
        await ports.store.single().remove(Reply, {"_id": self.id, "claimed_by": self.token})


async def _claim(
    op: Operation, fields: Any, actor: Actor, meta: Meta, ports: Ports
) -> Claim | Reply:
    uow = ports.store.single()
    claim = Claim(f"{actor.id}:{meta.request_id}", secrets.token_hex(8))
    row = Reply(
        id=claim.id,
        created_at=uow.now,
        updated_at=uow.now,
        fingerprint=fingerprint(op.name, fields),
        expires_at=uow.now + REPLY_KEPT,
        claimed_by=claim.token,
        claimed_until=uow.now + CLAIM_HELD,
    )
    try:
        await uow.add(row)
        return claim
    except Duplicate:
        first = await uow.find(Reply, {"_id": claim.id})
    if first is None:
        raise RequestInProgress
    if first.fingerprint != row.fingerprint:
        raise RequestIdReused
    if first.claimed_by is None:
        return first
    abandoned = {"claimed_by": first.claimed_by, "claimed_until": {"$lt": uow.now}}
    taken = await uow.change(
        Reply,
        claim.id,
        only_if=abandoned,
        claimed_by=claim.token,
        claimed_until=uow.now + CLAIM_HELD,
    )
    if taken is None:
        raise RequestInProgress
    return claim


def fingerprint(name: str, fields: Any) -> str:
    """What tells one command with its fields from another."""
    canonical = msgspec.json.encode([name, fields], order="deterministic")
    return hashlib.sha256(canonical).hexdigest()


def _has_null(value: Any) -> bool:
    """Whether some text in it has a null character. For what has been checked already."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_null(item) for pair in value.items() for item in pair)
    return isinstance(value, list) and any(map(_has_null, value))


def invalid(refused: msgspec.ValidationError) -> Invalid:
    """Say which field is wrong: msgspec's own words with its path in front."""
    text = str(refused)
    reason, _, path = text.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    for opening in ("Object missing required field `", "Object contains unknown field `"):
        if reason.startswith(opening):
            name = reason.removeprefix(opening).rstrip("`")
            field = f"{field}.{name}" if field else name
    return Invalid(f"{field}: {reason}." if field else f"{reason}.", field=field or None)
