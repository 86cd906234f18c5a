"""Receipts of payments that were taken, for both sides."""

from datetime import datetime
from typing import Annotated

import msgspec

from domain.accounts.user import User
from domain.deals.offer import Milestone, Offer, Refund
from domain.deals.payment import Payment, PaymentStatus
from domain.kernel.actor import PARTIES, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import Currency, JobId, JobTitle, OfferId, PaymentId, about
from domain.kernel.store import UnitOfWork
from domain.kernel.visibility import owned_by
from domain.operations.command import Style
from domain.operations.operation import operation
from domain.payments.operations import ById


class Receipt(msgspec.Struct, frozen=True):
    """What was paid for a job, what of it went back, and who has the rest."""

    number: Annotated[str, about("Its number, the same for both sides.")]
    payment_id: PaymentId
    offer_id: OfferId
    job_id: JobId
    job_title: JobTitle
    customer_name: Annotated[str, about("The customer's name today.")]
    contractor_name: Annotated[str, about("The contractor's name today.")]
    status: Annotated[PaymentStatus, about("The state of the payment.")]
    paid_at: Annotated[datetime | None, about("When it was taken; null if that is not known.")]
    currency: Currency
    paid_amount: Annotated[int, about("What was taken from the customer, in minor units.")]
    refunded_amount: Annotated[int, about("What went back to the customer, in minor units.")]
    charged_back_amount: Annotated[int, about("What was lost in chargebacks, in minor units.")]
    contractor_amount: Annotated[int, about("The contractor's part so far, in minor units.")]
    platform_amount: Annotated[int, about("The platform's fees so far, in minor units.")]
    escrow_amount: Annotated[
        int, about("What is kept for work that is not approved yet, in minor units.")
    ]
    milestones: Annotated[tuple[Milestone, ...], about("The parts of the work.")]
    refunds: Annotated[tuple[Refund, ...], about("All refunds, oldest first.")]


@operation("payment.receipt", roles=PARTIES, style=Style.READ, errors=(NotFound,))
async def receipt(cmd: ById, actor: Actor, uow: UnitOfWork) -> Receipt:
    """The receipt of a payment that was taken. Raises NotFound, also before that."""
    payment = await uow.get(Payment, cmd.payment_id, **owned_by(actor, Payment))
    if not payment.captured_amount:
        raise NotFound("Nothing was taken yet.")
    offer = await uow.get(Offer, payment.offer_id)
    sides = (payment.customer_id, payment.contractor_id)
    names = {user.id: user.name for user in await uow.all(User, {"_id": sides})}
    held = offer.holdings
    return Receipt(
        payment.id.partition("_")[2].upper(),
        payment.id,
        offer.id,
        offer.job_id,
        offer.job_title,
        names[payment.customer_id],
        names[payment.contractor_id],
        payment.status,
        payment.captured_at,
        offer.currency,
        offer.captured_amount,
        offer.refunded_amount,
        offer.charged_back_amount,
        held.contractor,
        held.platform,
        held.escrow,
        offer.milestones,
        offer.refunds,
    )
