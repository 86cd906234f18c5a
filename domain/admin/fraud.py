"""The decision of an administrator that a payment with a fraud signal is good."""

from typing import Annotated

from domain.deals.payment import Payment
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id, Reason
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.payments.fraud import clear_fraud_signals
from domain.ports.step_up import StepUpFor


class ClearFraud(Command, frozen=True):
    payment_id: Annotated[Id, about("The id of the payment.")]
    reason: Reason


@operation(
    "admin.fraud_clear",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(NotFound,),
)
async def clear_fraud(cmd: ClearFraud, actor: Actor, uow: UnitOfWork) -> Payment:
    """Release the money of a payment that is held for a fraud signal. Raises NotFound, Conflict."""
    return await clear_fraud_signals(uow, await uow.get(Payment, cmd.payment_id))
