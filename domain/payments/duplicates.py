"""Second charges: another PaymentIntent of a payment that was settled by the first.

It can exist when the answer to the first request was lost, and both succeeded. The customer was
charged twice, so the second one is refunded in full. It belongs to no party: its money passes
through the platform's losses, which end where they began.
"""

from enum import StrEnum
from typing import Annotated

from domain import ledger
from domain.deals.payment import Payment
from domain.kernel.fields import about
from domain.kernel.independent import transact_each
from domain.kernel.money import display
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.alerts import alert
from domain.notifications.text import job_path
from domain.operations.post_once import post_once
from domain.operations.task import Task
from domain.payments.refunds import FAILED_STATUSES
from domain.ports.payment_gateway import GatewayRefused, Intent, StripeMovement
from domain.ports.ports import Ports


class DuplicateStatus(StrEnum):
    """`refunding`: the refund is under way. `failed`: an administrator pays the customer back."""

    REFUNDING = "refunding"
    REFUNDED = "refunded"
    FAILED = "failed"


class DuplicateCharge(Record, frozen=True):
    """A second charge of a payment. `amount` is in minor units of `currency`."""

    COLLECTION = "duplicate_charges"
    PREFIX = "dup"
    INDEXES = (
        Index((("intent_id", 1),), unique=True),
        Index((("status", 1), ("updated_at", 1))),
    )

    intent_id: str
    charge_id: str
    payment_id: str
    offer_id: str
    amount: int
    currency: str
    status: Annotated[DuplicateStatus, about("Its state.")] = DuplicateStatus.REFUNDING
    refund_id: str | None = None
    key: int = 0


async def settle_second_intent(ports: Ports, payment: Payment, intent: Intent) -> None:
    """Cancel a second hold of a payment, created when the response to the first was lost, or refund
    a second charge. Stripe cancels none that is being processed: its next event decides."""
    if intent.status == "succeeded":
        await settle_duplicate(ports, payment, intent)
    elif intent.status not in ("canceled", "processing"):
        await ports.gateway.cancel(intent.id, key=f"stray:{intent.id}:0")


async def settle_duplicate(ports: Ports, payment: Payment, intent: Intent) -> None:
    """Refund a second charge in full, or read its refund again."""
    uow = ports.store.single()
    known = await uow.find(DuplicateCharge, {"intent_id": intent.id})
    if known is None:
        await ports.store.transact(lambda uow: _book_charge(uow, payment.id, intent))
    else:
        await _read_refunds(ports, known)


async def _book_charge(uow: UnitOfWork, payment_id: str, intent: Intent) -> None:
    if await uow.find(DuplicateCharge, {"intent_id": intent.id}) or not intent.charge_id:
        return
    payment = await uow.get(Payment, payment_id)
    amount, currency = intent.captured_amount, intent.currency
    duplicate = uow.new(
        DuplicateCharge,
        intent_id=intent.id,
        charge_id=intent.charge_id,
        payment_id=payment.id,
        offer_id=payment.offer_id,
        amount=amount,
        currency=currency,
    )
    await uow.add(duplicate)
    await ledger.book(
        uow,
        f"duplicate:{intent.charge_id}",
        "duplicate_charged",
        currency,
        [ledger.Posting(ledger.STRIPE, ledger.LOSSES, amount)],
        offer_id=payment.offer_id,
    )
    if intent.fee_amount and intent.fee_currency:
        await ledger.book(
            uow,
            f"fee:{intent.charge_id}",
            "stripe_fee",
            intent.fee_currency,
            [ledger.Posting(ledger.PLATFORM, ledger.STRIPE_FEES, intent.fee_amount)],
            offer_id=payment.offer_id,
        )
    uow.later(RefundDuplicate(duplicate.id))
    shown = display(amount, currency)
    await notices.notify(
        uow,
        [payment.customer_id],
        "charged_twice",
        f"{shown} for “{payment.job_title}” was charged twice",
        "The second charge was a mistake and is on its way back to you. "
        "Banks need five to ten days to show it.",
        duplicate.id,
        path=job_path(payment.job_id),
    )
    text = f"{shown} for {payment.job_title} was charged twice: the second charge is refunded."
    await alert(uow, "charged_twice", payment.id, text, urgent=False)


class RefundDuplicate(Task, frozen=True, tag="refund_duplicate"):
    """Refund a second charge at Stripe."""

    duplicate_id: str

    async def run(self, ports: Ports) -> None:
        duplicate = await ports.store.single().get(DuplicateCharge, self.duplicate_id)
        if duplicate.status is not DuplicateStatus.REFUNDING:
            return
        if duplicate.refund_id:
            return await _read_refunds(ports, duplicate)
        state = await post_once(
            ports,
            key=duplicate.key,
            since=duplicate.created_at,
            find=lambda: ports.gateway.find_refund(duplicate.intent_id, duplicate.id),
            post=lambda: ports.gateway.refund(
                duplicate.intent_id,
                duplicate.amount,
                key=f"refund:{duplicate.id}:{duplicate.key}",
                metadata={"fact": duplicate.id, "offer_id": duplicate.offer_id},
            ),
            next_key=lambda: _use_next_key(ports, duplicate),
            refused=lambda refusal: _refused(ports, duplicate, refusal),
        )
        await ports.store.transact(lambda uow: _settle_refund(uow, duplicate.id, state))


async def _use_next_key(ports: Ports, duplicate: DuplicateCharge) -> None:
    await ports.store.single().change(
        DuplicateCharge, duplicate.id, only_if={"key": duplicate.key}, inc={"key": 1}
    )


async def _refused(
    ports: Ports, duplicate: DuplicateCharge, refusal: GatewayRefused
) -> StripeMovement:
    """It has failed, unless an earlier request made it, or an administrator in the dashboard."""
    for made in await ports.gateway.refunds(duplicate.intent_id):
        if made.status not in FAILED_STATUSES:
            return made
    return StripeMovement("", "failed", duplicate.amount, "", refusal.code, moved=False)


async def _read_refunds(ports: Ports, duplicate: DuplicateCharge) -> None:
    async def settle(uow: UnitOfWork, refund: StripeMovement) -> None:
        await _settle_refund(uow, duplicate.id, refund)

    refunds = await ports.gateway.refunds(duplicate.intent_id)
    await transact_each(ports.store, reversed(refunds), settle)


async def _settle_refund(uow: UnitOfWork, duplicate_id: str, state: StripeMovement) -> None:
    """Book the refund of a second charge, and its return by the bank, once each."""
    duplicate = await uow.get(DuplicateCharge, duplicate_id)
    failed = state.status in FAILED_STATUSES
    if state.moved:
        out = ledger.Posting(ledger.LOSSES, ledger.STRIPE, state.amount)
        await _book_once(uow, duplicate, f"refund:{state.id}", "duplicate_refunded", out)
    if failed and state.moved:
        back = ledger.Posting(ledger.STRIPE, ledger.LOSSES, state.amount)
        await _book_once(uow, duplicate, f"refund_failed:{state.id}", "duplicate_returned", back)
    status = DuplicateStatus.FAILED if failed else DuplicateStatus.REFUNDED
    if not failed and not state.moved:
        status = DuplicateStatus.REFUNDING
    changed = await uow.change(
        DuplicateCharge,
        duplicate.id,
        only_if={"status": {"$ne": status}},
        status=status,
        refund_id=state.id or duplicate.refund_id,
    )
    if changed and failed:
        amount = display(duplicate.amount, duplicate.currency)
        await alert(
            uow,
            "duplicate_refund_failed",
            duplicate.payment_id,
            f"A second charge of {amount} could not be refunded ({state.failure}): refund it in "
            "Stripe's dashboard, or pay the customer in another way.",
        )


async def _book_once(
    uow: UnitOfWork, duplicate: DuplicateCharge, fact: str, kind: str, posting: ledger.Posting
) -> None:
    if not await ledger.is_booked(uow, fact):
        await ledger.book(
            uow, fact, kind, duplicate.currency, [posting], offer_id=duplicate.offer_id
        )
