"""Processes payments: the tasks that hold, capture and release money, and their settlement.

Tasks call Stripe outside of any transaction. Every PaymentIntent that Stripe returns, to a task or
after a webhook event, goes through `settle_payment`. It is safe to repeat and in any order, because
each status change is conditional and each fact is booked once.
"""

from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Any

from domain import ledger
from domain.accounts.user import User
from domain.deals.charges import book_stripe_fee
from domain.deals.offer import CREATED, OPEN_OFFERS, Offer, OfferStatus, move_offer
from domain.deals.payment import PAYMENT_UPDATED, Payment, PaymentStatus, move_payment
from domain.jobs.applications import Application, ApplicationStatus, active_application
from domain.jobs.job import Job, JobStatus
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.notifications.templates.alerts import capture_failure, payment_failure
from domain.notifications.templates.refusals import stripe_says
from domain.notifications.text import failure_text
from domain.operations.post_once import post_once
from domain.operations.task import Task, TryAgain
from domain.payments.card_attempts import (
    TOO_MANY,
    card_has_to_wait,
    count_decline,
    count_new_card,
    shown_failure,
)
from domain.payments.caused_refunds import record_refund
from domain.payments.deal_steps import answer_application, assign_job, fail_offer
from domain.payments.delayed import answer_until, end_processing, settle_processing
from domain.payments.refunds import request_refund
from domain.payments.settlement_currency import note_settlement, settle_booked
from domain.payouts.allocation import rebook
from domain.ports.payment_gateway import GatewayRefused, Intent, StaleFailure
from domain.ports.ports import Ports
from domain.ports.refusal import Refusal

HOLD_MARGIN = timedelta(hours=1)  # an offer expires this long before its hold
CHUNK = 20
ENDED = ("succeeded", "canceled")  # PaymentIntent statuses that never change again
PROCESSING = "processing"  # a bank works on it; it can be neither cancelled nor confirmed


# -- tasks -------------------------------------------------------------------------------------


class HoldPayment(Task, frozen=True, tag="hold_payment"):
    """Create the PaymentIntent: it holds the money, or waits for the client to confirm it."""

    payment_id: str
    key: int = 0

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        payment = await uow.get(Payment, self.payment_id)
        offer = await uow.get(Offer, payment.offer_id)
        job = await uow.get(Job, payment.job_id)
        if job.status is not JobStatus.OPEN:  # assigned while the offer was made
            await ports.store.transact(
                lambda uow: close_offer(uow, offer, OfferStatus.BLOCKED, by="system")
            )
        wanted = offer.status is OfferStatus.AWAITING_PAYMENT and job.status is JobStatus.OPEN
        if wanted:
            intent = await self._hold(ports, payment)
        else:
            intent = await find_intent(ports, payment)
            if intent is None:
                await ports.store.transact(lambda uow: cancel_unheld(uow, payment))
        if intent:
            await apply_intent(ports, payment.id, intent)

    async def _hold(self, ports: Ports, payment: Payment) -> Intent | None:
        """The PaymentIntent; None when Stripe refused it, which fails the offer."""
        return await post_once(
            ports,
            key=self.key,
            since=payment.created_at,
            find=lambda: find_intent(ports, payment),
            find_first=payment.intent_id is not None,
            post=lambda: self._post(ports, payment),
            next_key=HoldPayment(self.payment_id, self.key + 1),
            refused=lambda refusal: self._refused(ports, payment, refusal),
        )

    async def _post(self, ports: Ports, payment: Payment) -> Intent | None:
        if await card_has_to_wait(ports, payment):
            await ports.store.transact(lambda uow: settle_decline(uow, payment, TOO_MANY))
            return None
        customer = await ports.store.single().get(User, payment.customer_id)
        return await ports.gateway.hold(
            key=f"hold:{payment.id}:{self.key}",
            amount=payment.amount,
            currency=payment.currency,
            payment_method=payment.payment_method,
            group=payment.offer_id,
            customer_id=customer.customer_id,
            metadata={"payment_id": payment.id, "offer_id": payment.offer_id},
        )

    async def _refused(self, ports: Ports, payment: Payment, refusal: GatewayRefused) -> None:
        says = stripe_says(refusal.refusal)
        await ports.store.transact(
            lambda uow: settle_decline(uow, payment, refusal.code, says=says)
        )


class CapturePayment(Task, frozen=True, tag="capture_payment"):
    """Capture the held money of an offer that is being accepted."""

    payment_id: str
    key: int = 0

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        payment = await uow.get(Payment, self.payment_id)
        offer = await uow.get(Offer, payment.offer_id)
        if offer.status is not OfferStatus.ACCEPTING or payment.intent_id is None:
            return
        if payment.status is PaymentStatus.CAPTURED:  # its method allows no hold
            return await ports.store.transact(lambda uow: accept_captured(uow, payment))
        id = payment.intent_id
        intent, failure = await change_intent(
            ports, id, ports.gateway.capture(id, key=f"capture:{payment.id}:{self.key}")
        )
        if intent.status in ENDED:
            await apply_intent(ports, payment.id, intent)
        elif isinstance(failure, GatewayRefused):
            refusal = failure.refusal
            await ports.store.transact(lambda uow: settle_failed_capture(uow, payment, refusal))
        else:
            key = self.key + 1 if failure else self.key
            raise TryAgain(f"the capture is {intent.status}", CapturePayment(self.payment_id, key))


class ReleasePayment(Task, frozen=True, tag="release_payment"):
    """Cancel the hold of a closed offer, or refund its captured money."""

    payment_id: str
    key: int = 0

    async def run(self, ports: Ports) -> None:
        payment = await ports.store.single().get(Payment, self.payment_id)
        intent = await find_intent(ports, payment)
        if intent is None:
            return await ports.store.transact(lambda uow: cancel_unheld(uow, payment))
        if intent.status not in ENDED and intent.status != PROCESSING:
            intent, failure = await change_intent(
                ports,
                intent.id,
                ports.gateway.cancel(intent.id, key=f"cancel:{payment.id}:{self.key}"),
            )
            if failure and intent.status not in ENDED:
                again = ReleasePayment(self.payment_id, self.key + 1)
                raise TryAgain(f"it is still {intent.status}", again) from failure
        await apply_intent(ports, payment.id, intent)
        await ports.store.transact(lambda uow: refund_unaccepted(uow, payment.offer_id))


async def change_intent(
    ports: Ports, id: str, request: Awaitable[Intent]
) -> tuple[Intent, StaleFailure | GatewayRefused | None]:
    """The PaymentIntent after a request to capture or cancel it, and the request's failure.

    After a failure the PaymentIntent is read: an earlier request, or an administrator in Stripe's
    dashboard, may have ended it already.
    """
    try:
        return await request, None
    except (StaleFailure, GatewayRefused) as failure:
        return await ports.gateway.intent(id), failure


class BlockRivalOffers(Task, frozen=True, tag="block_rival_offers"):
    """Close all open offers and applications of an assigned or cancelled job, in chunks."""

    job_id: str

    async def run(self, ports: Ports) -> None:
        while await ports.store.transact(self._block_some):
            pass

    async def _block_some(self, uow: UnitOfWork) -> bool:
        rivals = await uow.all(Offer, {"job_id": self.job_id, "status": OPEN_OFFERS}, limit=CHUNK)
        for offer in rivals:
            await close_offer(uow, offer, OfferStatus.BLOCKED, by="system")
        pending = {"job_id": self.job_id, "status": ApplicationStatus.PENDING}
        waiting = await uow.all(Application, pending, limit=CHUNK)
        for application in waiting:
            await answer_application(uow, application, ApplicationStatus.REJECTED)
        return bool(rivals or waiting)


class ReadPayment(Task, frozen=True, tag="read_payment"):
    """Read a payment from Stripe and settle it."""

    payment_id: str

    async def run(self, ports: Ports) -> None:
        payment = await ports.store.single().get(Payment, self.payment_id)
        intent = await find_intent(ports, payment)
        if intent:
            await apply_intent(ports, payment.id, intent)


async def find_intent(ports: Ports, payment: Payment) -> Intent | None:
    """By its id, or by its metadata if the response with the id was lost."""
    if payment.intent_id:
        return await ports.gateway.intent(payment.intent_id)
    return await ports.gateway.find_intent(payment.id, payment.created_at)


async def apply_intent(ports: Ports, payment_id: str, intent: Intent) -> None:
    await ports.store.transact(lambda uow: settle_payment(uow, payment_id, intent))


# -- settlement --------------------------------------------------------------------------------


async def settle_payment(uow: UnitOfWork, payment_id: str, intent: Intent) -> None:
    """Bring a payment and its offer to the state that Stripe reports."""
    payment = await uow.get(Payment, payment_id)
    if intent.status == "requires_capture":
        await settle_hold(uow, payment, intent)
    elif intent.status == "succeeded":
        await settle_capture(uow, payment, intent)
    elif intent.status == "canceled":
        await settle_cancellation(uow, payment, intent)
    elif intent.status == PROCESSING:
        await settle_processing(uow, payment, intent)
    elif intent.status == "requires_payment_method" and intent.failure and _is_final(payment):
        await settle_decline(uow, payment, intent.failure, intent)
    elif payment.status is PaymentStatus.REQUIRES_PAYMENT:
        await settle_unfinished(uow, payment, intent)


def _is_final(payment: Payment) -> bool:
    """Whether a failed attempt ends the payment: the customer is not there to try another method
    when the server confirmed it, or a bank has worked on it for days."""
    return bool(payment.payment_method or payment.processing_since)


async def settle_unfinished(uow: UnitOfWork, payment: Payment, intent: Intent) -> None:
    """The customer still has to confirm, choose a card or pass 3-D Secure.

    Stripe lets one PaymentIntent be tried with many cards, so it ends with the customer's bound.
    """
    if intent.failure and await count_decline(uow, payment, intent):
        return await _end_declined(uow, payment, intent.failure, intent)
    changed = await uow.change(
        Payment,
        payment.id,
        only_if={"status": PaymentStatus.REQUIRES_PAYMENT},
        intent_id=intent.id,
        client_secret=intent.client_secret,
        redirect_url=intent.redirect_url,
        failure=shown_failure(intent.failure),
        decline_code=intent.failure,
    )
    offer = await uow.get(Offer, payment.offer_id)
    if changed and offer.status is OfferStatus.AWAITING_PAYMENT:
        uow.publish(PAYMENT_UPDATED, changed, to=changed.audience)
    elif changed:
        uow.later(ReleasePayment(payment.id))


async def settle_hold(uow: UnitOfWork, payment: Payment, intent: Intent) -> None:
    """The money is held: the offer becomes pending, or the hold is released if it is closed."""
    offer = await uow.get(Offer, payment.offer_id)
    authorized = await move_payment(
        uow,
        payment.id,
        PaymentStatus.AUTHORIZED,
        intent_id=intent.id,
        charge_id=intent.charge_id,
        client_secret=intent.client_secret,
        redirect_url=None,
        failure=None,
        capture_before=intent.capture_before,
        authorized_at=uow.now,
        visible=offer.status is OfferStatus.AWAITING_PAYMENT,
    )
    if authorized:
        await count_new_card(uow, payment, intent)
    expires_at = offer.expires_at
    if intent.capture_before:
        expires_at = min(expires_at, intent.capture_before - HOLD_MARGIN)
    pending = authorized and await make_pending(uow, offer, expires_at)
    if not pending and offer.status not in (OfferStatus.PENDING, OfferStatus.ACCEPTING):
        uow.later(ReleasePayment(payment.id))


CAPTURABLE = (
    PaymentStatus.REQUIRES_PAYMENT,
    PaymentStatus.AUTHORIZED,
    PaymentStatus.CAPTURING,
    PaymentStatus.FAILED,
    PaymentStatus.CANCELED,
)


async def settle_capture(uow: UnitOfWork, payment: Payment, intent: Intent) -> None:
    """Book the captured money, then let the offer follow.

    Usually the offer is being accepted. A payment whose method allows no hold is captured when the
    offer is made, which then becomes pending. For an offer that was closed before, the money is
    refunded.
    """
    offer = await uow.get(Offer, payment.offer_id)
    if not await _move_to_captured(uow, payment, offer, intent):
        return await settle_booked(uow, payment, intent)
    offer = await _book_capture(uow, payment, offer, intent)
    if payment.status is PaymentStatus.REQUIRES_PAYMENT:
        await count_new_card(uow, payment, intent)
    await book_stripe_fee(uow, payment, intent)
    await note_settlement(uow, payment, intent)
    if intent.captured_amount != offer.amount:  # partly captured in Stripe's dashboard
        await fail_offer(uow, offer, OfferStatus.EXPIRED)
    elif offer.status is OfferStatus.AWAITING_PAYMENT:
        await make_pending(uow, offer, answer_until(uow, payment, offer))
    elif offer.status is OfferStatus.ACCEPTING:
        await accept_offer(uow, offer)
    await refund_unaccepted(uow, offer.id)


async def _move_to_captured(
    uow: UnitOfWork, payment: Payment, offer: Offer, intent: Intent
) -> bool:
    """False if the capture was settled before."""
    moved = await move_payment(
        uow,
        payment.id,
        PaymentStatus.CAPTURED,
        only_if={"status": CAPTURABLE},
        intent_id=intent.id,
        charge_id=intent.charge_id,
        captured_amount=intent.captured_amount,
        captured_at=uow.now,
        failed_at=None,
        available_on=intent.available_on,
        redirect_url=None,
        failure=None,
        visible=payment.visible or offer.status is OfferStatus.AWAITING_PAYMENT,
    )
    return moved is not None


async def _book_capture(uow: UnitOfWork, payment: Payment, offer: Offer, intent: Intent) -> Offer:
    changed = await uow.change(
        Offer, offer.id, captured_amount=intent.captured_amount, processing_since=None
    )
    assert changed is not None, "an offer is never removed"
    await ledger.book(
        uow,
        f"capture:{payment.id}",
        "captured",
        payment.currency,
        [ledger.Posting(ledger.STRIPE, ledger.escrow(offer.id), intent.captured_amount)],
        users=[offer.customer_id],
        offer_id=offer.id,
    )
    return changed


async def accept_captured(uow: UnitOfWork, payment: Payment) -> None:
    offer = await uow.get(Offer, payment.offer_id)
    if offer.status is OfferStatus.ACCEPTING:
        await accept_offer(uow, offer)


async def refund_unaccepted(uow: UnitOfWork, offer_id: str) -> None:
    """Refund the captured money of an offer that was closed without acceptance, once."""
    offer = await uow.get(Offer, offer_id)
    if offer.accepted_at is None and not offer.live and offer.refundable > 0:
        await record_refund(uow, offer)
        await request_refund(uow, offer, offer.refundable, "The offer has ended.", "system")


async def make_pending(uow: UnitOfWork, offer: Offer, expires_at: datetime) -> Offer | None:
    """Show the paid offer to its contractor; None if it was closed before."""
    pending = await move_offer(
        uow, offer.id, OfferStatus.PENDING, by="stripe", visible=True, expires_at=expires_at
    )
    if pending:
        uow.publish(CREATED, pending, to=pending.audience)
    return pending


async def accept_offer(uow: UnitOfWork, before: Offer) -> None:
    """Book the fees, assign the job, accept the application and block all rival offers."""
    offer = await move_offer(uow, before.id, OfferStatus.ACCEPTED, by="stripe", accepted_at=uow.now)
    assert offer is not None, "the caller has checked that the offer is being accepted"
    await rebook(uow, f"accept:{offer.id}", "accepted", before, offer)
    await assign_job(uow, offer)
    application = await active_application(uow, offer.job_id, offer.contractor_id)
    if application:
        await answer_application(uow, application, ApplicationStatus.ACCEPTED)
    uow.later(BlockRivalOffers(offer.job_id))


async def settle_cancellation(uow: UnitOfWork, payment: Payment, intent: Intent) -> None:
    """The hold was cancelled by us or expired; an offer that still needed it ends."""
    if await move_payment(uow, payment.id, PaymentStatus.CANCELED, intent_id=intent.id) is None:
        return
    offer = await uow.get(Offer, payment.offer_id)
    await fail_offer(uow, offer, OfferStatus.EXPIRED)
    if offer.status is OfferStatus.ACCEPTING:
        await _alert_capture_failed(uow, offer, "the hold has ended")


async def settle_decline(
    uow: UnitOfWork,
    payment: Payment,
    failure: str,
    intent: Intent | None = None,
    says: str | None = None,
) -> None:
    """The card was declined: the offer fails, and the PaymentIntent is cancelled, so that it cannot
    be confirmed later. `says` is why Stripe refused to create one."""
    if intent:
        await count_decline(uow, payment, intent)
    await _end_declined(uow, payment, failure, intent, says)


async def _end_declined(
    uow: UnitOfWork,
    payment: Payment,
    failure: str,
    intent: Intent | None = None,
    says: str | None = None,
) -> None:
    failed = await move_payment(
        uow,
        payment.id,
        PaymentStatus.FAILED,
        only_if={"status": PaymentStatus.REQUIRES_PAYMENT},
        failure=shown_failure(failure),
        decline_code=failure,
        failed_at=uow.now,
        intent_id=intent.id if intent else None,
    )
    if failed:
        await end_processing(uow, payment)
        offer = await move_offer(uow, payment.offer_id, OfferStatus.FAILED, by="stripe")
        if offer:  # declines are common and need no action: not urgent
            why = says or failure_text(failure)
            text = payment_failure(offer.job_title, offer.amount, offer.currency, why)
            await alert(uow, "payment_failed", offer.id, text, urgent=False)
        if intent:
            uow.later(ReleasePayment(payment.id))


async def settle_failed_capture(uow: UnitOfWork, payment: Payment, refusal: Refusal) -> None:
    """Stripe refused the capture: the offer fails, the job is open again, nothing is booked."""
    failed = await move_payment(
        uow,
        payment.id,
        PaymentStatus.FAILED,
        failure=shown_failure(refusal.reason),
        decline_code=refusal.reason,
        failed_at=uow.now,
    )
    if failed:
        offer = await uow.get(Offer, payment.offer_id)
        await fail_offer(uow, offer, OfferStatus.FAILED)
        await _alert_capture_failed(uow, offer, f"Stripe says {stripe_says(refusal)}")
        uow.later(ReleasePayment(payment.id))


async def _alert_capture_failed(uow: UnitOfWork, offer: Offer, failure: str) -> None:
    text = capture_failure(offer.job_title, offer.amount, offer.currency, failure)
    await alert(uow, "capture_failed", offer.id, text)


async def cancel_unheld(uow: UnitOfWork, payment: Payment) -> None:
    """Cancel a payment for which Stripe has no PaymentIntent."""
    if payment.intent_id is None:
        await move_payment(uow, payment.id, PaymentStatus.CANCELED)


async def close_offer(
    uow: UnitOfWork, offer: Offer, status: OfferStatus, *, by: str, **fields: Any
) -> Offer | None:
    """Close an open offer and release its payment; None if it is not open any more."""
    closed = await move_offer(uow, offer.id, status, by=by, **fields)
    if closed:
        uow.later(ReleasePayment(offer.payment_id))
    return closed
