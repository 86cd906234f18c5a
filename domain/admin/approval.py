"""The two-person rule: a money command above an amount waits for a second administrator.

Decision: the command is carried out and rolled back before it is put to another administrator, so
that only what would succeed waits. When it is approved it runs again, in the transaction that
records the approval. Small commands about the same payment or wallet are added up over a day, so
that a large one in pieces needs approval as well. So are all commands of one administrator, who
could spread the pieces over several of these.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from domain.kernel.actor import Actor, Role
from domain.kernel.bounds import Bounded
from domain.kernel.errors import ApprovalRequired, Conflict, DomainError
from domain.kernel.fields import Currency, MinorUnits, about
from domain.kernel.money import display
from domain.kernel.outbox import Event, Numbering
from domain.kernel.record import Index, Record
from domain.kernel.rooms import role_room
from domain.kernel.state_machine import Steps, move
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.operations.command import Command
from domain.operations.postponed import Postponed

C = TypeVar("C", bound=Command)

LIFE = timedelta(hours=24)
PARTS = 26  # hours that may count at the same time


class ApprovalStatus(StrEnum):
    """`pending`: waits for another administrator. `executed`: approved, and carried out."""

    PENDING = "pending"
    EXECUTED = "executed"
    DECLINED = "declined"
    EXPIRED = "expired"


APPROVAL_STEPS: Steps = {
    ApprovalStatus.PENDING: (
        ApprovalStatus.EXECUTED,
        ApprovalStatus.DECLINED,
        ApprovalStatus.EXPIRED,
    ),
}


class Approval(Record, frozen=True):
    """A command of an administrator that waits for another one. `amount` is in minor units.

    `fields` are the command's. `attempt` names the request: a repetition finds the pending one.
    """

    COLLECTION = "approvals"
    PREFIX = "apr"
    INDEXES = (
        Index((("attempt", 1),), unique=True, where={"status": "pending"}),
        Index((("attempt", 1), ("_id", -1))),
        Index((("status", 1), ("expires_at", 1))),
        Index((("status", 1), ("_id", -1))),
    )
    PRIVATE = frozenset({"attempt", "request_id", "fingerprint"})

    operation: Annotated[str, about("The command that waits, such as admin.refund.")]
    fields: Annotated[dict[str, Any], Bounded(20), about("The fields of the command.")]
    subject: Annotated[str, about("The id of what it is about.")]
    amount: MinorUnits
    currency: Currency
    requested_by: Annotated[str, about("The id of the administrator who asked.")]
    expires_at: Annotated[datetime, about("When it expires if nobody decides.")]
    attempt: str
    fingerprint: str
    request_id: str | None = None
    status: Annotated[ApprovalStatus, about("Its state.")] = ApprovalStatus.PENDING
    decided_by: Annotated[
        str | None,
        about("The id of the administrator who decided; null while it is pending or expired."),
    ] = None
    decided_at: Annotated[
        datetime | None, about("When it was decided; null while it is pending or expired.")
    ] = None
    reason: Annotated[str, about("Why it was approved or declined; may be empty.")] = ""


UPDATED = Event(
    "/admin",
    "approval.updated",
    Approval,
    Numbering.NEVER,
    about="When an operation waits for another administrator, and when it is decided or expires, "
    "to all administrators. `admin.approvals` has those that were missed.",
)


class Part(msgspec.Struct, frozen=True):
    """What moved within one hour. It counts until a time that is 24 to 25 hours later."""

    until: datetime
    amount: int


class UnapprovedTotal(Record, frozen=True):
    """What moved without approval within 24 hours, for one subject or by one administrator; the id
    is `subject:currency` or `by:administrator:currency`. `amount` is the sum of the parts."""

    COLLECTION = "unapproved_totals"
    PREFIX = "una"
    INDEXES = (Index((("expires_at", 1),), ttl_seconds=0),)
    LOGGED = False

    amount: int
    expires_at: datetime
    parts: Annotated[tuple[Part, ...], Bounded(PARTS)] = ()


class Done(msgspec.Struct, frozen=True):
    """What a command did: its answer, and how much it moved for which subject.

    With `adds_up`, several commands about the subject count together; those of an administrator
    always do.
    """

    value: Any
    amount: int
    currency: str
    subject: str
    adds_up: bool = True


class Action(Generic[C]):
    """A command under the two-person rule. `perform(command, admin_id, uow)` carries it out."""

    def __init__(
        self,
        operation: str,
        command: type[C],
        perform: Callable[[C, str, UnitOfWork], Awaitable[Done]],
    ) -> None:
        self.operation = operation
        self.command = command
        self.perform = perform

    async def perform_or_ask(self, command: C, actor: Actor, uow: UnitOfWork) -> Any:
        """Carry the command out if one administrator suffices. Raises ApprovalRequired."""
        done = await self.perform(command, actor.id, uow)
        limit = uow.rates.approval_amount
        if limit and await _total(uow, done, actor.id) > limit:
            raise NeedsApproval(self.operation, command, actor.id, done)
        return done.value


async def _total(uow: UnitOfWork, done: Done, admin_id: str) -> int:
    """The highest sum that the amount belongs to, which it is added to."""
    sums = [await _add(uow, f"by:{admin_id}:{done.currency}", done.amount)]
    if done.adds_up:
        sums.append(await _add(uow, f"{done.subject}:{done.currency}", done.amount))
    return max(sums)


async def _add(uow: UnitOfWork, id: str, amount: int) -> int:
    """Returns the sum."""
    hour = uow.now.replace(minute=0, second=0, microsecond=0)
    until = hour + timedelta(hours=1) + LIFE
    found = await uow.find(UnapprovedTotal, {"_id": id})
    known = found.parts or (Part(found.expires_at, found.amount),) if found else ()
    sums = {part.until: part.amount for part in known if part.until > uow.now}
    sums[until] = sums.get(until, 0) + amount
    parts = tuple(Part(*each) for each in sums.items())
    total = sum(sums.values())
    if found is None:
        row = uow.new(UnapprovedTotal, id=id, amount=total, expires_at=until, parts=parts)
        await uow.add(row)
    else:
        await uow.change(UnapprovedTotal, id, amount=total, expires_at=until, parts=parts)
    return total


class NeedsApproval(Postponed):
    """Records what waits for another administrator."""

    def __init__(self, operation: str, command: Command, actor_id: str, done: Done) -> None:
        super().__init__()
        self._operation = operation
        self._command = command
        self._actor_id = actor_id
        self._done = done

    async def record(
        self, uow: UnitOfWork, request_id: str | None, fingerprint: str
    ) -> DomainError:
        """The error that the caller gets: of a new approval, or of the one that waits already.

        A request id stands for one request, so one that was declined is not asked for again.
        """
        attempt = f"{self._actor_id}:{request_id or fingerprint}"
        latest = await uow.find(Approval, {"attempt": attempt}, (("_id", -1),))
        if latest and latest.status is ApprovalStatus.PENDING:
            if latest.expires_at > uow.now:
                return _required(latest)
            latest = await move_approval(uow, latest.id, ApprovalStatus.EXPIRED)
        if latest and request_id:
            return Conflict(
                f"This request was {latest.status}: send a new one.", approval_id=latest.id
            )
        approval = uow.new(
            Approval,
            operation=self._operation,
            fields=msgspec.to_builtins(self._command),
            subject=self._done.subject,
            amount=self._done.amount,
            currency=self._done.currency,
            requested_by=self._actor_id,
            expires_at=uow.now + LIFE,
            attempt=attempt,
            fingerprint=fingerprint,
            request_id=request_id,
        )
        await uow.add(approval)
        uow.publish(UPDATED, approval, room=role_room(Role.ADMIN))
        kind = self._operation.partition(".")[2]
        amount = display(approval.amount, approval.currency)
        message = f"A {kind} of {amount} waits for another administrator, for 24 hours."
        await alert(uow, "approval_required", approval.id, message)
        return _required(approval)


def _required(approval: Approval) -> ApprovalRequired:
    return ApprovalRequired(
        approval_id=approval.id,
        amount=approval.amount,
        currency=approval.currency,
        expires_at=msgspec.to_builtins(approval.expires_at),
    )


async def move_approval(
    uow: UnitOfWork, id: str, to: ApprovalStatus, **fields: Any
) -> Approval | None:
    """Change the state and push it; None and no effect if the state forbids that."""
    moved = await move(uow, Approval, id, to, steps=APPROVAL_STEPS, **fields)
    if moved:
        uow.publish(UPDATED, moved, room=role_room(Role.ADMIN))
    return moved
