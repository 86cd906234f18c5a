"""The decision of an administrator about a refund that the customer's bank returned."""

from enum import StrEnum
from typing import Annotated

from domain.admin.approval import Action, Done
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.disputes import resolution
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import ApprovalRequired, Conflict, InsufficientFunds, NotFound
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id, Reason
from domain.operations.expected_amount import ExpectedAmount, check_expected
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.payments.returned_refunds import refund_again, settle_otherwise, undo_refund
from domain.ports.step_up import StepUpFor


class RefundDecision(StrEnum):
    """`again`: the refund is made again. `paid_otherwise`: the customer was paid in another way.
    `undo`: the sides of the job have the money again."""

    AGAIN = "again"
    PAID_OTHERWISE = "paid_otherwise"
    UNDO = "undo"


class DecideRefund(Command, frozen=True):
    payment_id: Annotated[Id, about("The id of the payment.")]
    refund_id: Annotated[Id, about("The id of the refund that the bank returned.")]
    decision: Annotated[
        RefundDecision,
        about(
            "`again`: the refund is made again. `paid_otherwise`: the customer was paid in another "
            "way. `undo`: the sides of the job have the money again."
        ),
    ]
    reason: Reason
    expected_amount: ExpectedAmount = None


@operation(
    "admin.refund_decide",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(ApprovalRequired, InsufficientFunds, NotFound),
)
async def decide_refund(cmd: DecideRefund, actor: Actor, uow: UnitOfWork) -> Payment:
    """Decide about the parked money of a refund that the bank returned.

    Raises NotFound, ApprovalRequired, Conflict.
    """
    payment: Payment = await DECIDE_REFUND.perform_or_ask(cmd, actor, uow)
    return payment


async def _decide(cmd: DecideRefund, admin_id: str, uow: UnitOfWork) -> Done:
    payment = await uow.get(Payment, cmd.payment_id)
    offer = await uow.get(Offer, payment.offer_id)
    refund = next((refund for refund in offer.refunds if refund.id == cmd.refund_id), None)
    if refund is None:
        raise NotFound
    if not refund.parked:
        raise Conflict("The bank has not returned this refund, or it is decided already.")
    check_expected(cmd.expected_amount, refund.amount, offer.currency)
    match cmd.decision:
        case RefundDecision.AGAIN:
            await refund_again(uow, offer, refund, cmd.reason, admin_id)
        case RefundDecision.PAID_OTHERWISE:
            await settle_otherwise(uow, offer, refund)
        case RefundDecision.UNDO:
            after = await undo_refund(uow, offer, refund)
            await resolution.dispute_recovered_money(uow, after)
    return Done(payment, refund.amount, offer.currency, payment.id)


DECIDE_REFUND = Action("admin.refund_decide", DecideRefund, _decide)
