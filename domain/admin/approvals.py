"""What administrators decide about the commands of others: list, approve, decline."""

from typing import Annotated, Any

import msgspec

from domain.accounts.user import User
from domain.admin.approval import Action, Approval, ApprovalStatus, move_approval
from domain.admin.corrections import CORRECT
from domain.admin.dispute_decisions import RESOLVE
from domain.admin.foreign_lines import ASSIGN
from domain.admin.ownerless_actions import PAY_OUT, WRITE_OFF
from domain.admin.refund_decisions import DECIDE_REFUND
from domain.admin.stranded_money import END, SETTLE
from domain.admin.wallet_actions import ADJUST, REFUND, RELEASE
from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.documents import given
from domain.kernel.errors import (
    AmountNotPayable,
    Conflict,
    DisputeNotOpen,
    DisputeOpen,
    Forbidden,
    InsufficientFunds,
    NotFound,
    NotRefundable,
    PaymentDisputed,
)
from domain.kernel.fields import about
from domain.kernel.independent import transact_due
from domain.kernel.record import Page, wire
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Cursor, Id, OptionalReason, PageSize, Reason, Style
from domain.operations.idempotency import store_reply
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.ports.ports import Ports
from domain.ports.step_up import StepUpFor

ACTIONS: dict[str, Action[Any]] = {
    action.operation: action
    for action in (
        REFUND,
        RELEASE,
        RESOLVE,
        ADJUST,
        SETTLE,
        END,
        PAY_OUT,
        WRITE_OFF,
        ASSIGN,
        CORRECT,
        DECIDE_REFUND,
    )
}
CHUNK = 100


class List(Command, frozen=True):
    status: Annotated[ApprovalStatus | None, about("Only requests in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class Approve(Command, frozen=True):
    approval_id: Annotated[Id, about("The id of the request.")]
    reason: OptionalReason = None


class Decline(Command, frozen=True):
    approval_id: Annotated[Id, about("The id of the request.")]
    reason: Reason


@operation("admin.approvals", roles=ADMINS, style=Style.READ)
async def list_(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[Approval]:
    """List the commands that wait for a second administrator, or waited; newest first."""
    where = given(status=cmd.status)
    return await uow.page(Approval, where, cursor=cmd.cursor, limit=cmd.limit)


@operation(
    "admin.approve",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(
        AmountNotPayable,
        DisputeNotOpen,
        DisputeOpen,
        Forbidden,
        InsufficientFunds,
        NotFound,
        NotRefundable,
        PaymentDisputed,
    ),
)
async def approve(cmd: Approve, actor: Actor, uow: UnitOfWork) -> Approval:
    """Carry out the command of another administrator, once.

    Raises NotFound, Forbidden for one's own, Conflict, and what the command raises. Then it waits
    on.
    """
    approval = await uow.get(Approval, cmd.approval_id)
    if approval.requested_by == actor.id:
        raise Forbidden("Another administrator has to approve this.")
    executed = await move_approval(
        uow,
        approval.id,
        ApprovalStatus.EXECUTED,
        only_if={"expires_at": {"$gt": uow.now}},
        decided_by=actor.id,
        decided_at=uow.now,
        reason=cmd.reason or "",
    )
    if executed is None:
        raise _not_pending(approval)
    active = {"role": Role.ADMIN, "banned_at": None, "deleted_at": None}
    if await uow.find(User, {"_id": approval.requested_by, **active}) is None:
        raise Conflict("The administrator who asked for this is no longer one: decline it.")
    action = ACTIONS[approval.operation]
    command = msgspec.convert(approval.fields, action.command)
    done = await action.perform(command, approval.requested_by, uow)
    if (done.amount, done.currency) != (approval.amount, approval.currency):
        raise Conflict("The amount has changed since: decline it, and ask again.")
    if approval.request_id:
        await store_reply(
            uow,
            approval.requested_by,
            approval.request_id,
            approval.fingerprint,
            wire(done.value),
        )
    return executed


@operation("admin.decline", roles=ADMINS, errors=(NotFound,))
async def decline(cmd: Decline, actor: Actor, uow: UnitOfWork) -> Approval:
    """Decline the command of another administrator, or take back one's own.

    Raises NotFound, Conflict.
    """
    declined = await move_approval(
        uow,
        cmd.approval_id,
        ApprovalStatus.DECLINED,
        decided_by=actor.id,
        decided_at=uow.now,
        reason=cmd.reason,
    )
    if declined is None:
        raise _not_pending(await uow.get(Approval, cmd.approval_id))
    return declined


def _not_pending(approval: Approval) -> Conflict:
    pending = approval.status is ApprovalStatus.PENDING
    status = ApprovalStatus.EXPIRED if pending else approval.status
    return Conflict(f"This request is {status}.", status=status)


async def expire_due(ports: Ports) -> int:
    """End the requests that were not decided in time; returns their number."""
    uow = ports.store.single()
    due = {"status": ApprovalStatus.PENDING, "expires_at": {"$lte": uow.now}}
    return await transact_due(ports.store, Approval, due, (("expires_at", 1),), CHUNK, _expire)


async def _expire(uow: UnitOfWork, approval: Approval) -> None:
    await move_approval(uow, approval.id, ApprovalStatus.EXPIRED)
