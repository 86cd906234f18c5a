"""The decision of an administrator on a dispute, which divides its money."""

from typing import Annotated

from domain.admin.approval import Action, Done
from domain.disputes import resolution
from domain.disputes.dispute import Dispute, add_entry
from domain.disputes.operations import RefundAmount, Text
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import (
    AmountNotPayable,
    ApprovalRequired,
    DisputeNotOpen,
    InsufficientFunds,
    NotFound,
    PaymentDisputed,
)
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id
from domain.operations.expected_amount import ExpectedAmount
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.ports.step_up import StepUpFor


class Resolve(Command, frozen=True):
    """`refund_amount` is in minor units; the rest is for the contractor. `expected_amount` is both
    together."""

    dispute_id: Annotated[Id, about("The id of the dispute.")]
    refund_amount: Annotated[
        RefundAmount,
        about("What goes back to the customer, in minor units; the rest is the contractor's."),
    ]
    reason: Annotated[Text, about("Why, for both sides.")]
    expected_amount: ExpectedAmount = None


@operation(
    "admin.resolve",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(
        AmountNotPayable,
        ApprovalRequired,
        DisputeNotOpen,
        InsufficientFunds,
        NotFound,
        PaymentDisputed,
    ),
)
async def resolve(cmd: Resolve, actor: Actor, uow: UnitOfWork) -> Dispute:
    """Decide with any split.

    Raises NotFound, DisputeNotOpen, AmountNotPayable, PaymentDisputed, ApprovalRequired,
    Conflict.
    """
    dispute: Dispute = await RESOLVE.perform_or_ask(cmd, actor, uow)
    return dispute


async def _resolve(cmd: Resolve, admin_id: str, uow: UnitOfWork) -> Done:
    dispute = await uow.get(Dispute, cmd.dispute_id)
    resolution.check_split(dispute, cmd.refund_amount)
    await resolution.check_at_stake(uow, dispute, cmd.expected_amount)
    dispute = await add_entry(uow, dispute, admin_id, "resolve", cmd.reason, cmd.refund_amount)
    resolved = await resolution.resolve(uow, dispute, cmd.refund_amount, admin_id)
    # It moves the money once, and all of it, to one side or the other.
    return Done(resolved, dispute.amount, dispute.currency, dispute.id, adds_up=False)


RESOLVE = Action("admin.resolve", Resolve, _resolve)
