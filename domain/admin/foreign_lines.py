"""Lines of Stripe's books that are not ours, as administrators list and assign them."""

from typing import Annotated

from domain import ledger
from domain.admin.approval import Action, Done
from domain.admin.assignments import unassign
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.documents import given
from domain.kernel.errors import ApprovalRequired, Conflict, InsufficientFunds, NotFound
from domain.kernel.fields import about
from domain.kernel.record import Page
from domain.kernel.state_machine import move
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Cursor, Id, PageSize, Reason, Style
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.ports.step_up import StepUpFor
from domain.reconciliation.foreign_lines import LINE_STEPS, ForeignLine, LineOwner, LineStatus


class List(Command, frozen=True):
    status: Annotated[LineStatus | None, about("Only lines in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class Assign(Command, frozen=True):
    line_id: Annotated[Id, about("The id of the line, such as fln_txn_...")]
    owner: Annotated[
        LineOwner,
        about(
            "`platform`: it is the platform's, and is booked to its earnings. `losses`: the "
            "platform bears it as a loss. `not_ours`: other business has it, and nothing is booked."
        ),
    ]
    reason: Reason


@operation("admin.foreign_lines", roles=ADMINS, style=Style.READ)
async def foreign_lines(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[ForeignLine]:
    """List lines of Stripe's books that no rule here books, those that came last first."""
    where = given(status=cmd.status)
    return await uow.page(ForeignLine, where, cursor=cmd.cursor, limit=cmd.limit)


@operation(
    "admin.line_assign",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(ApprovalRequired, InsufficientFunds, NotFound),
)
async def line_assign(cmd: Assign, actor: Actor, uow: UnitOfWork) -> ForeignLine:
    """Say whose a line is, and book it if it is the platform's. Raises NotFound, Conflict,
    ApprovalRequired."""
    line: ForeignLine = await ASSIGN.perform_or_ask(cmd, actor, uow)
    return line


async def _assign(cmd: Assign, admin_id: str, uow: UnitOfWork) -> Done:
    found = await uow.get(ForeignLine, cmd.line_id)
    line = await move(
        uow,
        ForeignLine,
        found.id,
        LineStatus.ASSIGNED,
        steps=LINE_STEPS,
        owner=cmd.owner,
        assigned_by=admin_id,
        assigned_at=uow.now,
        reason=cmd.reason,
    )
    if line is None:
        raise Conflict("The line is assigned already.")
    if cmd.owner is not LineOwner.NOT_OURS:
        account = ledger.PLATFORM if cmd.owner is LineOwner.PLATFORM else ledger.LOSSES
        await ledger.book(
            uow,
            f"line:{line.line_id}",
            "line_assigned",
            line.currency,
            ledger.postings_for({account: line.net, ledger.STRIPE: -line.net}),
        )
    await unassign(uow, line.id)
    return Done(line, abs(line.net), line.currency, line.id, adds_up=False)


ASSIGN = Action("admin.line_assign", Assign, _assign)
