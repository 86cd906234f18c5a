"""Charges: the payment they belong to, and what Stripe reports later: fee and availability."""

from domain import ledger
from domain.deals.payment import Payment
from domain.kernel.store import UnitOfWork
from domain.ports.payment_gateway import Intent
from domain.ports.ports import Ports


async def settle_charge(uow: UnitOfWork, payment: Payment, intent: Intent) -> None:
    """Store when the money is available and book Stripe's fee, once Stripe reports them."""
    if payment.available_on is None and intent.available_on:
        await uow.change(Payment, payment.id, available_on=intent.available_on)
        if not await ledger.is_booked(uow, f"fee:{intent.charge_id}"):
            await book_stripe_fee(uow, payment, intent)


async def book_stripe_fee(uow: UnitOfWork, payment: Payment, intent: Intent) -> None:
    if intent.fee_amount and intent.fee_currency and intent.charge_id:
        await ledger.book(
            uow,
            f"fee:{intent.charge_id}",
            "stripe_fee",
            intent.fee_currency,
            [ledger.Posting(ledger.PLATFORM, ledger.STRIPE_FEES, intent.fee_amount)],
            offer_id=payment.offer_id,
        )


async def refresh_charge(ports: Ports, payment: Payment) -> Payment:
    """Settle the charge of a captured payment; returns the payment."""
    assert payment.intent_id, "only a captured payment is read for its charge"
    intent = await ports.gateway.intent(payment.intent_id)
    await ports.store.transact(lambda uow: settle_charge(uow, payment, intent))
    return await ports.store.single().get(Payment, payment.id)


async def payment_of_intent(ports: Ports, intent_id: str) -> Payment | None:
    """By the PaymentIntent's id, or by its metadata while the response with the id has not
    arrived."""
    uow = ports.store.single()
    payment = await uow.find(Payment, {"intent_id": intent_id})
    if payment:
        return payment
    intent = await ports.gateway.intent(intent_id)
    payment_id = intent.metadata.get("payment_id", "")
    return await uow.find(Payment, {"_id": payment_id, "intent_id": None})
