"""Refunds of captured payments: requested in a transaction, made at Stripe once, then booked.

A refund is stored in its offer, so that it conflicts with every other change of the same money.
It uses money that is not earned yet first; the rest lowers the completed amount and is clawed back
from the contractor. It is booked when its money has moved: while the platform's balance at Stripe
does not suffice, it waits there (`waiting_refunds.py`). A bank may return a refund: its money is
parked until an administrator decides (`returned_refunds.py`). It stays the customer's, so no
other person gets it.
"""

import msgspec

from domain import ledger
from domain.deals.offer import Offer, Refund, RefundStatus, change_offer, with_completed_capped
from domain.deals.payment import Payment, PaymentStatus, move_payment
from domain.kernel.errors import AmountNotPayable
from domain.kernel.independent import transact_each
from domain.kernel.money import CURRENCIES, display
from domain.kernel.store import UnitOfWork, new_id
from domain.notifications.alerts import alert
from domain.notifications.refusals import alert_refused, tell_refused
from domain.notifications.text import job_path
from domain.operations.post_once import post_once
from domain.operations.task import Task
from domain.payments.waiting_refunds import (
    alert_waiting,
    give_back,
    keep_waiting,
    undo_by_chargebacks,
    with_refund,
)
from domain.payouts.allocation import rebook
from domain.ports.payment_gateway import GatewayRefused, StripeMovement
from domain.ports.ports import Ports

FAILED_STATUSES = ("failed", "canceled")
PENDING = "pending"  # Stripe's status
MAX_REFUNDS = 50  # of one offer; bounds the size of its document


async def request_refund(uow: UnitOfWork, offer: Offer, amount: int, reason: str, by: str) -> Offer:
    """Reserve `amount` for the customer and send it after the commit. Raises AmountNotPayable."""
    step = CURRENCIES[offer.currency].step
    if not 0 < amount <= offer.refundable or amount % step or len(offer.refunds) >= MAX_REFUNDS:
        raise AmountNotPayable(
            f"amount: up to {offer.refundable} minor units of {offer.currency} can be refunded"
            + (f", in steps of {step}." if step > 1 else "."),
            field="amount",
            maximum=offer.refundable,
            step=step,
        )
    refund = Refund(
        id=new_id("rfd"),
        amount=amount,
        completed_amount=max(0, amount - offer.earnable),
        reason=reason,
        by=by,
        asked_at=uow.now,
    )
    changed = await change_offer(uow, offer, refunds=(*offer.refunds, refund))
    uow.later(SendRefund(offer.id, refund.id))
    return changed


class SendRefund(Task, frozen=True, tag="send_refund"):
    """Make a requested refund at Stripe."""

    offer_id: str
    refund_id: str

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        offer = await uow.get(Offer, self.offer_id)
        refund = next(refund for refund in offer.refunds if refund.id == self.refund_id)
        if refund.status is not RefundStatus.REQUESTED:
            return
        intent_id = (await uow.get(Payment, offer.payment_id)).intent_id
        assert intent_id, "only a captured payment is refunded"
        if refund.stripe_id:  # it waits at Stripe; its key would only repeat that
            state = await ports.gateway.refund_state(refund.stripe_id)
        else:
            state = await post_once(
                ports,
                key=refund.key,
                since=refund.asked_at,
                find=lambda: ports.gateway.find_refund(intent_id, refund.id),
                post=lambda: ports.gateway.refund(
                    intent_id,
                    refund.amount,
                    key=f"refund:{refund.id}:{refund.key}",
                    metadata={"fact": refund.id, "offer_id": self.offer_id},
                ),
                next_key=lambda: self._use_next_key(ports, refund.key),
                refused=lambda refusal: self._refused(ports, refund, intent_id, refusal),
            )
        await ports.store.transact(lambda uow: settle_refund(uow, self.offer_id, state))

    async def _refused(
        self, ports: Ports, refund: Refund, intent_id: str, refusal: GatewayRefused
    ) -> StripeMovement:
        """It has failed, unless an earlier request made it and left nothing more to refund."""
        made = await ports.gateway.find_refund(intent_id, refund.id)
        return made or StripeMovement(
            "",
            "failed",
            refund.amount,
            "",
            refusal.code,
            {"fact": refund.id},
            refusal=refusal.refusal,
        )

    async def _use_next_key(self, ports: Ports, used: int) -> None:
        await ports.store.transact(lambda uow: self._store_next_key(uow, used))

    async def _store_next_key(self, uow: UnitOfWork, used: int) -> None:
        offer = await uow.get(Offer, self.offer_id)
        refund = next(refund for refund in offer.refunds if refund.id == self.refund_id)
        if refund.key == used:
            await uow.change(Offer, offer.id, refunds=with_refund(offer, refund, key=used + 1))


class CheckWaitingRefund(Task, frozen=True, tag="check_waiting_refund"):
    """Alert administrators of a refund that still waits when its money should have been there."""

    offer_id: str
    refund_id: str

    async def run(self, ports: Ports) -> None:
        refund = await self._read(ports.store.single())
        if refund.status is not RefundStatus.REQUESTED or refund.stripe_id is None:
            return
        state = await ports.gateway.refund_state(refund.stripe_id)
        await ports.store.transact(lambda uow: settle_refund(uow, self.offer_id, state))
        await ports.store.transact(self._alert)

    async def _alert(self, uow: UnitOfWork) -> None:
        refund = await self._read(uow)
        if refund.status is RefundStatus.REQUESTED:
            await alert_waiting(uow, await uow.get(Offer, self.offer_id), refund)

    async def _read(self, uow: UnitOfWork) -> Refund:
        offer = await uow.get(Offer, self.offer_id)
        return next(refund for refund in offer.refunds if refund.id == self.refund_id)


async def read_refunds(ports: Ports, payment_id: str) -> None:
    """Settle every refund that Stripe has of a payment, including those made in its dashboard."""
    payment = await ports.store.single().get(Payment, payment_id)
    if payment.intent_id is None:
        return

    async def settle(uow: UnitOfWork, refund: StripeMovement) -> None:
        await settle_refund(uow, payment.offer_id, refund)

    refunds = await ports.gateway.refunds(payment.intent_id)
    await transact_each(ports.store, reversed(refunds), settle)


async def settle_refund(uow: UnitOfWork, offer_id: str, state: StripeMovement) -> None:
    """Bring one refund to the state that Stripe reports. Safe to repeat, in any order."""
    offer = await uow.get(Offer, offer_id)
    refund = next((refund for refund in offer.refunds if _matches(refund, state)), None)
    failed = state.status in FAILED_STATUSES
    if failed and refund is None:
        await _book_round_trip(uow, offer, state)
    elif failed and refund and refund.status is RefundStatus.REQUESTED and state.id and state.moved:
        # Made and returned before it was read: as if it had been read twice.
        await _settle_made(uow, offer, refund, state)
        return await settle_refund(uow, offer_id, state)
    if refund is None:
        if failed or not (state.moved or state.status == PENDING):
            return
        offer, refund = _with_external_refund(uow, offer, state)
    if failed and refund.status is RefundStatus.MADE:
        await _settle_returned(uow, offer, refund, state)
    elif failed and refund.status is RefundStatus.REQUESTED:
        await _settle_refused(uow, offer, refund, state)
    elif refund.status is RefundStatus.REQUESTED and state.moved:
        await _settle_made(uow, offer, refund, state)
    elif refund.status is RefundStatus.REQUESTED and refund.stripe_id is None:
        await _settle_waiting(uow, offer, refund, state)


def _with_external_refund(
    uow: UnitOfWork, offer: Offer, state: StripeMovement
) -> tuple[Offer, Refund]:
    """The offer with the record of a refund that was made in Stripe's dashboard.

    One of the amount of a returned refund makes that again, with its parked money.
    """
    refund = Refund(
        id=new_id("rfd"),
        amount=state.amount,
        completed_amount=max(0, state.amount - offer.earnable),
        reason="Made at Stripe.",
        by="stripe",
        asked_at=uow.now,
    )
    same = [each for each in offer.refunds if each.parked and each.amount == state.amount]
    refunds = offer.refunds
    if same:
        earned = same[0].completed_amount
        refund = msgspec.structs.replace(refund, again=True, completed_amount=earned)
        refunds = with_refund(offer, same[0], parked=False)
    return msgspec.structs.replace(offer, refunds=(*refunds, refund)), refund


def _matches(refund: Refund, state: StripeMovement) -> bool:
    """By its id, or by its metadata while the response with the id has not arrived."""
    if refund.stripe_id:
        return refund.stripe_id == state.id
    return refund.id == state.metadata.get("fact")


async def _settle_made(
    uow: UnitOfWork, offer: Offer, refund: Refund, state: StripeMovement
) -> None:
    if refund.again:
        return await _settle_made_again(uow, offer, refund, state)
    total = offer.refunded_amount + state.amount
    completed = with_completed_capped(
        offer,
        refunded_amount=total,
        completed_amount=offer.completed_amount - refund.completed_amount,
    ).completed_amount
    undone = offer.completed_amount - completed + refund.taken_amount
    await undo_by_chargebacks(uow, offer, max(0, undone - state.amount))
    after = await change_offer(
        uow,
        offer,
        refunded_amount=total,
        completed_amount=completed,
        refunds=with_refund(
            offer,
            refund,
            status=RefundStatus.MADE,
            stripe_id=state.id,
            amount=state.amount,
            completed_amount=min(undone, state.amount),
            taken_amount=0,
        ),
    )
    await _move_payment(uow, after)
    outside = {ledger.STRIPE: state.amount}
    await rebook(uow, f"refund:{state.id}", "refunded", offer, after, outside)


async def _settle_made_again(
    uow: UnitOfWork, offer: Offer, refund: Refund, state: StripeMovement
) -> None:
    """A refund that a bank had returned is made again, with the parked money."""
    after = await change_offer(
        uow,
        offer,
        refunded_amount=offer.refunded_amount + refund.amount,
        returned_amount=offer.returned_amount - refund.amount,
        refunds=with_refund(offer, refund, status=RefundStatus.MADE, stripe_id=state.id),
    )
    await _move_payment(uow, after)
    outside = {ledger.STRIPE: state.amount, ledger.returned(offer.id): -refund.amount}
    await rebook(uow, f"refund:{state.id}", "refunded", offer, after, outside)


async def _settle_waiting(
    uow: UnitOfWork, offer: Offer, refund: Refund, state: StripeMovement
) -> None:
    """Stripe makes it once the platform's balance suffices. Nothing is refunded until then."""
    patience = await keep_waiting(uow, offer, refund, state)
    if patience:
        uow.later(CheckWaitingRefund(offer.id, refund.id), at=patience)
    else:
        await alert_waiting(uow, offer, refund)


async def _settle_returned(
    uow: UnitOfWork, offer: Offer, refund: Refund, state: StripeMovement
) -> None:
    """The bank returned the money: park it, and alert the admins, who decide."""
    after = await change_offer(
        uow,
        offer,
        refunded_amount=offer.refunded_amount - refund.amount,
        returned_amount=offer.returned_amount + refund.amount,
        refunds=with_refund(
            offer, refund, status=RefundStatus.FAILED, failure=state.failure, parked=True
        ),
    )
    await _move_payment(uow, after)
    outside = {ledger.STRIPE: -refund.amount, ledger.returned(offer.id): refund.amount}
    await rebook(uow, f"refund_failed:{state.id}", "refund_failed", offer, after, outside)
    await _alert_failed(uow, offer, refund, state, parked=True)


async def _book_round_trip(uow: UnitOfWork, offer: Offer, state: StripeMovement) -> None:
    """Book the two balance transactions of a refund that was made in the dashboard and returned
    before either was read. They cancel each other out."""
    if not (state.id and state.moved) or await ledger.is_booked(uow, f"refund:{state.id}"):
        return
    out = ledger.Posting(ledger.LOSSES, ledger.STRIPE, state.amount)
    back = ledger.Posting(ledger.STRIPE, ledger.LOSSES, state.amount)
    ways = ("refund", "refunded", out), ("refund_failed", "refund_failed", back)
    for fact, kind, posting in ways:
        await ledger.book(
            uow, f"{fact}:{state.id}", kind, offer.currency, [posting], offer_id=offer.id
        )


async def _settle_refused(
    uow: UnitOfWork, offer: Offer, refund: Refund, state: StripeMovement
) -> None:
    await give_back(
        uow,
        offer,
        refund,
        status=RefundStatus.FAILED,
        failure=state.failure,
        stripe_id=state.id or None,
        parked=refund.again,
    )
    await _alert_failed(uow, offer, refund, state, parked=refund.again)
    if state.refusal:
        await tell_refused(
            uow,
            offer.customer_id,
            "refund_refused",
            refund.id,
            state.refusal,
            f"Your refund of {display(refund.amount, offer.currency)} could not be made",
            "Our administrators know of it, and see to it that you get what is yours.",
            path=job_path(offer.job_id),
        )


async def _move_payment(uow: UnitOfWork, offer: Offer) -> None:
    """Derive the payment's status from the sum of its refunds."""
    total, status = offer.refunded_amount, PaymentStatus.CAPTURED
    if total:
        status = (
            PaymentStatus.REFUNDED
            if total >= offer.captured_amount
            else PaymentStatus.PARTIALLY_REFUNDED
        )
    await move_payment(uow, offer.payment_id, status, refunded_amount=total)


async def _alert_failed(
    uow: UnitOfWork, offer: Offer, refund: Refund, state: StripeMovement, *, parked: bool
) -> None:
    amount = display(refund.amount, offer.currency)
    what = f"The refund of {amount} for {offer.job_title} failed"
    next_step = "Refund it again, or pay the customer in another way"
    if parked:
        next_step = "The money is parked: decide about it in the payment's refunds"
    if state.refusal:
        await alert_refused(uow, "refund_failed", offer.payment_id, state.refusal, what, next_step)
    else:
        text = f"{what} ({state.failure}). {next_step}."
        await alert(uow, "refund_failed", offer.payment_id, text)
