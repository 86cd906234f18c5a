"""Sending captured money back: once per reason, booked by the holdings before and after."""

import msgspec

from domain import ledger
from domain.deal import Offer, Payment, PaymentStatus, move_payment
from domain.outbox import Task, TryAgain
from domain.ports import Ports, Settled, StaleFailure
from domain.store import UnitOfWork

P = PaymentStatus


class Refund(Task, frozen=True):
    """Refund `amount` of a captured payment. `reason` names the fact, so that it is sent once."""

    payment_id: str
    amount: int
    reason: str
    key: int = 0

    async def run(self, ports: Ports) -> None:
        payment = await ports.store.single().get(Payment, self.payment_id)
        assert payment.intent_id, "only a captured payment is refunded"
        fact = f"{self.reason}:{payment.id}"
        again = msgspec.structs.replace(self, key=self.key + 1)
        refund = await ports.gateway.find_refund(payment.intent_id, fact)
        if refund is None:
            try:
                refund = await ports.gateway.refund(
                    payment.intent_id, self.amount, key=f"refund:{fact}:{self.key}",
                    metadata={"fact": fact, "payment_id": payment.id},
                )  # fmt: skip
            except StaleFailure as stale:
                raise TryAgain(str(stale), again) from stale
        if refund.status in ("failed", "canceled"):
            raise TryAgain(f"the refund {refund.status}: {refund.failure}", again)
        done = refund
        await ports.store.transact(lambda uow: refunded(uow, payment.id, done))


async def refunded(uow: UnitOfWork, payment_id: str, refund: Settled) -> None:
    """Book a refund that Stripe has made; once."""
    fact = f"refund:{refund.id}"
    if await ledger.booked(uow, fact):
        return
    payment = await uow.get(Payment, payment_id)
    total = payment.refunded_amount + refund.amount
    whole = total >= payment.captured_amount
    await move_payment(
        uow, payment.id, P.REFUNDED if whole else P.PARTIALLY_REFUNDED, refunded_amount=total
    )
    before = await uow.get(Offer, payment.offer_id)
    after = await uow.change(Offer, before.id, refunded_amount=total)
    assert after is not None, "the offer was just read in this transaction"
    deltas = {
        ledger.STRIPE: refund.amount,
        ledger.PLATFORM: after.holdings.platform - before.holdings.platform,
        ledger.escrow(before.id): after.holdings.escrow - before.holdings.escrow,
    }
    await ledger.book(
        uow, fact, "refunded", payment.currency, ledger.flows(deltas),
        users=[payment.customer_id], offer_id=before.id,
    )  # fmt: skip
