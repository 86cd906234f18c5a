"""Declaration and execution of operations: roles, input, transaction, replies, audit."""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext
from functools import cached_property
from typing import Any, TypeVar, get_type_hints

import msgspec

from domain.kernel.actor import EVERYONE, Actor, Role
from domain.kernel.errors import (
    Code,
    Conflict,
    DomainError,
    Forbidden,
    InternalError,
    Invalid,
    RateLimited,
    RequestIdReused,
    RequestInProgress,
    SecondFactorSetupRequired,
    StepUpRequired,
    TokenExpired,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from domain.kernel.networks import network_of
from domain.kernel.record import wire
from domain.kernel.store import UNREACHABLE, Duplicate, UnitOfWork
from domain.operations import audit_log
from domain.operations.cause import caused_by
from domain.operations.command import Command, Meta, Style
from domain.operations.idempotency import ClaimLost, Reply, claim_request, fingerprint
from domain.operations.input_errors import (
    broken_limit,
    missing_value,
    null_character,
    refused_input,
)
from domain.operations.limits import Limit
from domain.operations.normalization import (
    NormalizedField,
    OutOfLimits,
    normalize,
    normalized_fields,
    with_whole_numbers,
)
from domain.operations.postponed import Postponed
from domain.ports.ports import Ports
from domain.ports.step_up import StepUpFor

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])
FromAnswer = Callable[[Any], Iterable[str]]
Errors = tuple[type[DomainError], ...]

# What callers of any operation, of one for signed-in users, and of one that writes may be answered.
OF_ALL: Errors = (Invalid, RateLimited, Unavailable, InternalError)
OF_USERS: Errors = (Unauthenticated, TokenExpired)
OF_WRITES: Errors = (Conflict, RequestIdReused, RequestInProgress)


class Operation(msgspec.Struct, frozen=True, dict=True):
    """A function with the declarations that the executor, the server and the docs read.

    `answer` is the type of its answer: what it returns, or what its `reply` returns.
    """

    name: str
    run: Callable[..., Awaitable[Any]]
    command: type[Command]
    answer: Any
    roles: frozenset[Role]
    style: Style
    reply: Callable[[str, Actor, Ports], Awaitable[Any]] | None = None
    audited: bool | None = None
    subjects: FromAnswer | None = None
    joins: Callable[[Any, Actor], Iterable[str]] | None = None
    leaves: FromAnswer | None = None
    pipelined: bool = False
    instant: bool = False
    limits: tuple[Limit, ...] = ()
    step_up: StepUpFor | None = None
    during_setup: bool = False
    searches: bool = False
    errors: Errors = ()
    normalized: tuple[NormalizedField, ...] = ()

    @cached_property
    def codes(self) -> frozenset[Code]:
        """The codes of all errors that it may answer. Another one is logged as an error."""
        errors = [*self.errors, *OF_ALL]
        errors += OF_USERS if self.roles else ()
        errors += (Forbidden,) if self.roles and self.roles != EVERYONE else ()
        if Role.ADMIN in self.roles and not self.during_setup:
            errors.append(SecondFactorSetupRequired)
        errors += OF_WRITES if self.style is Style.WRITE else ()
        errors += (StepUpRequired,) if self.step_up else ()
        errors += (TooMany,) if self.joins else ()
        return frozenset(error.code for error in errors)

    def admit(self, actor: Actor | None) -> None:
        """Check the role of the caller. Raises Unauthenticated, Forbidden, or
        SecondFactorSetupRequired in a limited session."""
        if not self.roles:
            return
        if actor is None:
            raise Unauthenticated
        if actor.role not in self.roles:
            raise Forbidden(allowed=sorted(self.roles))
        if actor.limited and not self.during_setup:
            raise SecondFactorSetupRequired

    def parse(self, fields: Any, text: bool) -> tuple[Any, Command]:
        """The input with normalized values, and the command made of it.

        Raises Invalid, which names the field.
        """
        try:
            for field in self.normalized:
                fields = normalize(fields, field)
        except OutOfLimits as broken:
            raise broken_limit(broken.rule, broken.field, self.command) from broken
        try:
            command = msgspec.convert(fields, self.command, strict=not text)
        except msgspec.ValidationError:
            fields = with_whole_numbers(fields)
            try:
                command = msgspec.convert(fields, self.command, strict=not text)
            except msgspec.ValidationError as refused:
                raise refused_input(refused, self.command) from refused
        for name, value in fields.items():
            if text and getattr(command, name) is None:
                raise missing_value(name, self.command)
            if type(value) is str:
                null = "\0" in value
            else:
                null = type(value) in NESTED and _has_null(value)
            if null:
                raise null_character(name, value)
        return fields, command


def operation(
    name: str,
    *,
    roles: frozenset[Role] | set[Role],
    style: Style = Style.WRITE,
    reply: Callable[[str, Actor, Ports], Awaitable[Any]] | None = None,
    audited: bool | None = None,
    subjects: FromAnswer | None = None,
    joins: Callable[[Any, Actor], Iterable[str]] | None = None,
    leaves: FromAnswer | None = None,
    pipelined: bool = False,
    instant: bool = False,
    limits: tuple[Limit, ...] = (),
    step_up: StepUpFor | None = None,
    during_setup: bool = False,
    searches: bool = False,
    errors: Errors = (),
) -> Callable[[F], F]:
    """Declare a function as an operation. An explicit list in handlers/ registers it.

    `reply` composes the answer after the commit, from the id of the record that the operation
    returned. It may wait without delaying other commands of the caller. It runs again for a
    repeated request id, so secrets are read again and not stored.

    Every transaction that writes leaves a row in the audit log, and so does every read by an
    administrator. `audited=True` is for operations that act directly; `audited=False` is for reads
    of the caller's own account. `subjects` takes from the answer the ids of what the row is about,
    besides the records that changed.

    `joins` and `leaves` take from the answer the rooms that the calling connection joins or leaves;
    `joins` gets the caller, too.

    A `pipelined` operation calls `meta.committed()` when its order among the caller's commands is
    fixed. The next command starts then, and the answer follows later. `instant` is for operations
    that rarely wait. They start in the reader of the connection, outside of a task, so they must
    not use `asyncio.timeout` and the like before their first suspension.

    `limits` are its own rate limits, besides the one on all commands of a user. `errors` are those
    that its own code raises; see `Operation.codes`. `step_up` asks for a recent confirmation of the
    caller's identity, for this reason; operations of administrators that move money have it. With
    `during_setup` it is allowed in a limited session. One that `searches` gets the job index, too.
    """

    def tag(function: F) -> F:
        command, answer = _types_of(function, reply)
        tagged = Operation(
            name,
            function,
            command,
            answer,
            frozenset(roles),
            style,
            reply,
            audited,
            subjects,
            joins,
            leaves,
            pipelined,
            instant,
            limits,
            step_up,
            during_setup,
            searches,
            errors,
            normalized_fields(command),
        )
        function.operation = tagged  # type: ignore[attr-defined]
        return function

    return tag


def _types_of(function: Any, reply: Any) -> tuple[Any, Any]:
    """The command that a function takes, and what it or its reply answers."""
    first = next(iter(inspect.signature(function).parameters))
    hints = get_type_hints(function, include_extras=True)
    answers = get_type_hints(reply, include_extras=True) if reply else hints
    return hints[first], answers["return"]


async def execute(op: Operation, fields: Any, actor: Actor | None, meta: Meta, ports: Ports) -> Any:
    """Run one operation and return its wire value. Raises DomainError."""
    op.admit(actor)
    fields, command = op.parse(fields, meta.text)
    try:
        if op.step_up and actor:
            await ports.step_up.check(actor, op.step_up)
        return await _run(op, command, fields, actor, meta, ports)
    except UNREACHABLE as error:
        raise Unavailable from error


async def _run(
    op: Operation, command: Command, fields: Any, actor: Actor | None, meta: Meta, ports: Ports
) -> Any:
    if op.style is not Style.WRITE:
        if op.style is Style.DIRECT:
            # An instant one may end in another context than it began in.
            with nullcontext() if op.instant else caused_by(operation=op.name):
                answer = wire(await op.run(command, actor, ports, meta))
        else:
            answer = wire(await _call(op, command, actor, ports.store.single(), ports))
        if audits_reads(op, actor):
            subjects = op.subjects(answer) if op.subjects else ()
            await record_read(op, fields, actor, meta, ports, subjects)
        return answer
    assert actor is not None, "an operation that writes has roles"
    answer = await _write(op, command, fields, actor, meta, ports)
    meta.committed()
    if op.reply is None:
        return answer
    return wire(await op.reply(answer["id"], actor, ports))


def _call(
    op: Operation, command: Command, actor: Actor | None, uow: UnitOfWork, ports: Ports
) -> Awaitable[Any]:
    if op.searches:
        return op.run(command, actor, uow, ports.job_index)
    return op.run(command, actor, uow)


def audits_reads(op: Operation, actor: Actor | None) -> bool:
    if op.audited is None:
        return actor is not None and actor.role is Role.ADMIN
    return op.audited


async def record_read(
    op: Operation,
    fields: Any,
    actor: Actor | None,
    meta: Meta,
    ports: Ports,
    subjects: Iterable[str] = (),
) -> None:
    """Write an audit row if the operation is `audited`, or an administrator has read something."""
    if audits_reads(op, actor):
        entry = _audit_entry(op, fields, actor, meta)
        await audit_log.record(ports.store.single(), ports.seal, entry, subjects)


async def _write(
    op: Operation, command: Command, fields: Any, actor: Actor, meta: Meta, ports: Ports
) -> Any:
    claim = (
        await claim_request(op.name, command, actor, meta.request_id, ports.store)
        if meta.request_id
        else None
    )
    if isinstance(claim, Reply):
        return claim.answer

    network = ports.seal.sign(f"network {network_of(meta.address)}".encode())[:32]

    async def work(uow: UnitOfWork) -> Any:
        uow.by, uow.network = actor.id, network
        value = wire(await _call(op, command, actor, uow, ports))
        if uow.changes or uow.rows or actor.role is Role.ADMIN:
            await audit_log.record(uow, ports.seal, _audit_entry(op, fields, actor, meta))
        if claim:
            await claim.settle(uow, value)
        return value

    try:
        return await ports.store.transact(work)
    except BaseException as failed:
        done = await claim.drop(ports.store) if claim else None
        if done and isinstance(failed, Exception):
            return done.answer
        if isinstance(failed, ClaimLost):
            raise RequestInProgress from failed
        if isinstance(failed, Duplicate):
            raise Conflict from failed
        if isinstance(failed, Postponed):
            raise await _postpone(failed, op, command, fields, actor, meta, ports) from failed
        raise


async def _postpone(
    postponed: Postponed,
    op: Operation,
    command: Command,
    fields: Any,
    actor: Actor,
    meta: Meta,
    ports: Ports,
) -> DomainError:
    """Record what waits, with its audit row. Returns the error for the caller."""

    async def work(uow: UnitOfWork) -> DomainError:
        refused = await postponed.record(uow, meta.request_id, fingerprint(op.name, command))
        if uow.changes:
            await audit_log.record(uow, ports.seal, _audit_entry(op, fields, actor, meta))
        return refused

    return await ports.store.transact(work)


def _audit_entry(
    op: Operation, fields: Any, actor: Actor | None, meta: Meta
) -> audit_log.AuditEntry:
    return audit_log.AuditEntry(
        operation=op.name,
        fields=fields,
        command=op.command,
        request_id=meta.request_id,
        address=meta.address,
        actor_id=actor.id if actor else None,
        role=actor.role if actor else None,
        session_id=actor.session_id if actor else None,
    )


NESTED = frozenset({dict, list})


def _has_null(value: Any) -> bool:
    """Whether a text in checked input contains a null character."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_null(item) for pair in value.items() for item in pair)
    return isinstance(value, list) and any(map(_has_null, value))
