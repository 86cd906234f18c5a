"""One payment with everything that is known about its money: the page behind a row of the list.

Each list is the newest part of what there is and has its share of the bytes of an answer; the
lists of `admin` with the same filter have the rest.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from domain.accounts.user import User
from domain.admin.lists import SeenPayment, SeenTransaction, view_of
from domain.admin.offers import SeenOffer, seen_offer
from domain.admin.payment_timeline import Facts, TimelineFact, timeline
from domain.audit_trail.listing import AuditListing, newest_rows
from domain.deals.chargeback import Chargeback, ChargebackStatus
from domain.deals.offer import Offer, RefundStatus
from domain.deals.payment import Payment
from domain.disputes.dispute import Dispute, DisputeStatus
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import Currency, MinorUnits, about
from domain.kernel.outbox import Lane, OutboxRow
from domain.kernel.store import NEWEST, UnitOfWork
from domain.ledger.transaction import Transaction
from domain.operations.command import Command, Id, Style
from domain.operations.operation import operation
from domain.payouts.transfer import Reversal, Transfer
from domain.stripe_events.inbox import RECEIVED_LAST, WebhookEvent

SHOWN, SHARE = 50, 8  # of each list, and its part of the bytes of an answer
AUDIT_SHOWN = 20


class PaymentById(Command, frozen=True):
    payment_id: Annotated[Id, about("The id of the payment.")]


class SeenRefund(msgspec.Struct, frozen=True):
    """A refund with its id at Stripe."""

    id: Annotated[str, about("The id of the refund.")]
    amount: MinorUnits
    completed_amount: Annotated[
        int, about("The part of it that the contractor had earned, in minor units.")
    ]
    reason: Annotated[str, about("Why it is refunded.")]
    by: Annotated[str, about("The id of the user who decided it, `system` or `stripe`.")]
    asked_at: Annotated[datetime, about("When it was decided.")]
    status: Annotated[RefundStatus, about("Its state.")]
    stripe_id: Annotated[str | None, about("The refund at Stripe; null until there is one.")]
    failure: Annotated[str | None, about("Stripe's code of why it failed; null if it did not.")]
    parked: Annotated[
        bool, about("Whether the bank returned it, and its money waits for a decision.")
    ] = False


class SeenReversal(msgspec.Struct, frozen=True):
    """Money of a transfer that returns from the contractor to the platform."""

    id: Annotated[str, about("The id of the reversal.")]
    created_at: Annotated[datetime, about("When it was decided.")]
    transfer_id: Annotated[str, about("The id of the transfer.")]
    amount: MinorUnits
    currency: Currency
    stripe_id: Annotated[str | None, about("The reversal at Stripe; null until there is one.")]
    done: Annotated[bool, about("Whether Stripe has it.")]


class PaymentDispute(msgspec.Struct, frozen=True):
    """A dispute about the payment, without its timeline."""

    id: Annotated[str, about("The id of the dispute.")]
    created_at: Annotated[datetime, about("When it was opened.")]
    status: Annotated[DisputeStatus, about("Its state.")]
    amount: MinorUnits
    currency: Currency
    reason: Annotated[str, about("Why it was opened.")]
    opened_by: Annotated[str, about("The id of the user who opened it, or `system`.")]
    answer_by: Annotated[datetime, about("When it goes to an administrator.")]
    refund_amount: Annotated[
        int | None, about("What went back to the customer, in minor units; null while it is open.")
    ]
    resolved_at: Annotated[datetime | None, about("When it was resolved; null if it is not.")]


class PaymentChargeback(msgspec.Struct, frozen=True):
    """A chargeback of the payment, with its id at Stripe."""

    id: Annotated[str, about("The id of the chargeback.")]
    created_at: Annotated[datetime, about("When it was opened.")]
    updated_at: Annotated[datetime, about("When it was last changed.")]
    stripe_id: Annotated[str, about("The dispute at Stripe.")]
    status: Annotated[ChargebackStatus, about("Its state.")]
    amount: MinorUnits
    currency: Currency
    reason: Annotated[str, about("The reason that the bank gives.")]
    due_by: Annotated[
        datetime | None, about("Until when evidence counts; null if none is awaited.")
    ]
    submissions: Annotated[int, about("How often evidence was submitted.")]
    fee_amount: Annotated[int, about("Stripe's fee for it, in minor units.")]
    fee_currency: Annotated[
        str | None, about("The currency of Stripe's fee; null if there is none.")
    ]
    held_amount: Annotated[int, about("What is held of the contractor's money, in minor units.")]


class QueuedTask(msgspec.Struct, frozen=True):
    """Work at Stripe that is queued, or has failed too often (`dead`)."""

    id: Annotated[str, about("Identifies it; that of the dead letter if it is one.")]
    created_at: Annotated[datetime, about("When it was queued.")]
    kind: Annotated[str, about("What kind of work it is, such as send_refund.")]
    subject: Annotated[str, about("The id of what it is about.")]
    attempts: Annotated[int, about("How often it was tried.")]
    dead: Annotated[bool, about("Whether it is a dead letter.")]
    next_at: Annotated[datetime, about("When it is tried again, at the earliest.")]
    last_error: Annotated[str | None, about("Why the last attempt failed; null if none did.")]


class PaymentDetails(msgspec.Struct, frozen=True):
    """A payment with all records about its money, each list newest first."""

    payment: Annotated[SeenPayment, about("The payment.")]
    job_title: Annotated[str, about("The title of the job.")]
    customer_name: Annotated[str, about("The name of the customer.")]
    contractor_name: Annotated[str, about("The name of the contractor.")]
    offer: Annotated[SeenOffer, about("The offer that it is for.")]
    refunds: Annotated[list[SeenRefund], about("Its refunds.")]
    transfers: Annotated[list[Transfer], about("The transfers to the contractor.")]
    reversals: Annotated[list[SeenReversal], about("What was taken back of the transfers.")]
    transactions: Annotated[list[SeenTransaction], about("The journal's transactions.")]
    disputes: Annotated[list[PaymentDispute], about("The disputes about the work.")]
    chargebacks: Annotated[list[PaymentChargeback], about("The chargebacks of the bank.")]
    events: Annotated[list[WebhookEvent], about("Stripe's events about it.")]
    tasks: Annotated[list[QueuedTask], about("What is queued at Stripe about it.")]
    audit: Annotated[list[AuditListing], about("The latest rows of the audit trail about it.")]
    timeline: Annotated[list[TimelineFact], about("All of this as one list, oldest first.")]


@operation("admin.payment", roles=ADMINS, style=Style.READ, errors=(NotFound,))
async def payment_details(cmd: PaymentById, actor: Actor, uow: UnitOfWork) -> PaymentDetails:
    """One payment with all records about its money.

    They are its offer, refunds, transfers, journal, disputes, chargebacks, Stripe's events, queued
    work and audit rows, also as one timeline. Raises NotFound.
    """
    payment = await uow.get(Payment, cmd.payment_id)
    offer = await uow.get(Offer, payment.offer_id)
    names = await _names(uow, payment)
    same = {"offer_id": offer.id}
    transfers = await uow.first(Transfer, same, NEWEST, SHOWN, SHARE)
    reversals = await _reversals(uow, transfers)
    transactions = await uow.first(Transaction, same, NEWEST, SHOWN, SHARE)
    chargebacks = await uow.first(Chargeback, same, NEWEST, SHOWN, SHARE)
    disputes = await uow.first(Dispute, {"job_id": offer.job_id, **same}, NEWEST, SHOWN, SHARE)
    refunds = [view_of(SeenRefund, refund) for refund in offer.refunds[::-1][:SHOWN]]
    at_stripe = [
        payment.charge_id,
        *(transfer.stripe_id for transfer in transfers),
        *(reversal.stripe_id for reversal in reversals),
        *(refund.stripe_id for refund in refunds),
        *(chargeback.stripe_id for chargeback in chargebacks),
    ]
    events = await _events(uow, payment, [id for id in at_stripe if id])
    subjects = (payment.id, offer.id)
    audit = await newest_rows(uow, {"subjects": subjects}, AUDIT_SHOWN, share=SHARE)
    facts = Facts(offer, transactions, transfers, disputes, chargebacks, events, audit)
    return PaymentDetails(
        payment=view_of(SeenPayment, payment),
        job_title=payment.job_title,
        customer_name=names.get(payment.customer_id, ""),
        contractor_name=names.get(payment.contractor_id, ""),
        offer=seen_offer(offer),
        refunds=refunds,
        transfers=transfers,
        reversals=[view_of(SeenReversal, reversal) for reversal in reversals],
        transactions=[view_of(SeenTransaction, row) for row in transactions],
        disputes=[view_of(PaymentDispute, dispute) for dispute in disputes],
        chargebacks=[view_of(PaymentChargeback, chargeback) for chargeback in chargebacks],
        events=events,
        tasks=await _tasks(uow, [*subjects, *_work_of(transfers, reversals, chargebacks, events)]),
        audit=audit,
        timeline=timeline(facts),
    )


async def _names(uow: UnitOfWork, payment: Payment) -> dict[str, str]:
    sides = (payment.customer_id, payment.contractor_id)
    return {user.id: user.name for user in await uow.all(User, {"_id": sides})}


async def _reversals(uow: UnitOfWork, transfers: list[Transfer]) -> list[Reversal]:
    of_these = {"transfer_id": tuple(transfer.id for transfer in transfers)}
    return await uow.first(Reversal, of_these, NEWEST, SHOWN, SHARE) if transfers else []


async def _events(uow: UnitOfWork, payment: Payment, ids: list[str]) -> list[WebhookEvent]:
    """Stripe's events that name the payment, its PaymentIntent, or an object that followed from it.

    One query for each, since some servers find no index for `$or`.
    """
    found = await uow.first(
        WebhookEvent, {"payment_id": payment.id}, RECEIVED_LAST, SHOWN, 3 * SHARE
    )
    if payment.intent_id:
        about = {"intent_id": payment.intent_id}
        found += await uow.first(WebhookEvent, about, RECEIVED_LAST, SHOWN, 3 * SHARE)
    if ids:
        about_objects = {"object_id": tuple(ids)}
        found += await uow.first(WebhookEvent, about_objects, RECEIVED_LAST, SHOWN, 3 * SHARE)
    unique = {event.id: event for event in found}.values()
    return sorted(unique, key=lambda event: (event.created_at, event.id), reverse=True)[:SHOWN]


def _work_of(
    transfers: list[Transfer],
    reversals: list[Reversal],
    chargebacks: list[Chargeback],
    events: list[WebhookEvent],
) -> list[str]:
    """The subjects of tasks that may be queued about these records."""
    found = [each.id for each in (*transfers, *reversals, *chargebacks)]
    found += [chargeback.stripe_id for chargeback in chargebacks]
    return found + [event.id for event in events]


async def _tasks(uow: UnitOfWork, subjects: list[str]) -> list[QueuedTask]:
    where = {"lane": Lane.STRIPE, "subject": tuple(subjects), "dead": (False, True)}
    rows = await uow.first(OutboxRow, where, NEWEST, SHOWN, SHARE)
    return [
        view_of(QueuedTask, row, kind=str(row.body["type"]), next_at=row.lease_until)
        for row in rows
    ]
