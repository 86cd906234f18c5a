"""The operations on payments: get, list, and confirm after 3-D Secure."""

from datetime import datetime
from typing import Annotated

import msgspec

from domain.deals.payment import Payment, PaymentStatus
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.documents import given
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.kernel.visibility import visible_to
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.limits import stripe_calls
from domain.operations.operation import operation
from domain.payments.processing import ReadPayment
from domain.ports.ports import Ports


class PaymentSheet(msgspec.Struct, frozen=True):
    """What the customer's client needs to pay: the secret for Stripe.js, or a URL to open."""

    id: Annotated[str, about("The id of the payment.")]
    status: Annotated[PaymentStatus, about("Its state.")]
    client_secret: Annotated[
        str | None,
        about(
            "Stripe.js or Stripe's mobile SDKs confirm the payment with it, and with the "
            "`payments.stripe_publishable_key` of `GET /api/meta`. Null for others than the "
            "customer, and while Stripe is slow."
        ),
    ]
    processing_since: Annotated[
        datetime | None,
        about(
            "Since when the customer's bank works on it, for days with some methods; null if it "
            "does not. Nothing is left to confirm then."
        ),
    ]
    redirect_url: Annotated[
        str | None, about("Open it to pay; null if the method needs no page, and for others.")
    ]
    failure: Annotated[
        str | None,
        about("Stripe's code of why it failed, such as generic_decline; null if it did not."),
    ]


class ById(Command, frozen=True):
    payment_id: Annotated[Id, about("The id of the payment.")]


class List(Command, frozen=True):
    status: Annotated[PaymentStatus | None, about("Only payments in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("payment.get", roles=EVERYONE, style=Style.READ, errors=(NotFound,))
async def get(cmd: ById, actor: Actor, uow: UnitOfWork) -> Payment:
    """One payment. Raises NotFound, also when the actor is not a party to it."""
    return await uow.get(Payment, cmd.payment_id, **visible_to(actor, Payment))


@operation("payment.list", roles=EVERYONE, style=Style.READ)
async def list_payments(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[Payment]:
    """The actor's payments, newest first; all payments for an admin."""
    where = visible_to(actor, Payment) | given(status=cmd.status)
    return await uow.page(Payment, where, cursor=cmd.cursor, limit=cmd.limit)


def payment_sheet(payment: Payment, actor: Actor) -> PaymentSheet:
    """Only the paying customer receives the secret and the URL."""
    own = payment.customer_id == actor.id
    return PaymentSheet(
        id=payment.id,
        status=payment.status,
        failure=payment.failure,
        processing_since=payment.processing_since,
        client_secret=payment.client_secret if own else None,
        redirect_url=payment.redirect_url if own else None,
    )


async def payment_reply(payment_id: str, actor: Actor, ports: Ports) -> PaymentSheet:
    await ports.waiter.settled(payment_id)
    return payment_sheet(await ports.store.single().get(Payment, payment_id), actor)


@operation(
    "payment.confirm",
    roles=EVERYONE,
    reply=payment_reply,
    limits=(stripe_calls(1),),
    errors=(NotFound,),
)
async def confirm(cmd: ById, actor: Actor, uow: UnitOfWork) -> Payment:
    """Read the payment from Stripe after the client has confirmed it, such as by 3-D Secure."""
    payment = await uow.get(Payment, cmd.payment_id, **visible_to(actor, Payment))
    if payment.status is PaymentStatus.REQUIRES_PAYMENT:
        uow.later(ReadPayment(payment.id))
    return payment
