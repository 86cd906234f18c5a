"""Payments that Stripe settles in another currency than their own.

Stripe converts a payment when the platform has no bank account in its currency. The platform then
has an amount in another currency, at a rate of its own, and cannot transfer the contractor's part
of it. So it is noticed at the capture, the transfer is parked, and no further offer is made in that
currency until an administrator closes the alert about it. The books follow the conversion: the
money leaves Stripe in one currency and arrives in the other, over the account `exchange`.
"""

from domain import ledger
from domain.deals.charges import settle_charge
from domain.deals.payment import Payment
from domain.kernel.errors import CurrencyNotSupported
from domain.kernel.money import display
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import AlertRecord, alert
from domain.ports.payment_gateway import Intent

CONVERTED = "currency_converted"  # the kind of the alert, whose subject is the currency


async def note_settlement(uow: UnitOfWork, payment: Payment, intent: Intent) -> None:
    """Book the conversion of a captured payment and stop its currency, once."""
    settled, amount = intent.settled_currency, intent.settled_amount
    if not settled or settled == payment.currency or amount is None or not intent.charge_id:
        return
    fact = f"converted:{intent.charge_id}"
    if await ledger.is_booked(uow, fact):
        return
    taken = intent.captured_amount
    await uow.change(Payment, payment.id, settled_currency=settled, settled_amount=amount)
    await book_conversion(uow, fact, payment.currency, taken, settled, amount, payment.offer_id)
    await alert(
        uow,
        CONVERTED,
        payment.currency,
        f"Stripe has converted {display(taken, payment.currency)} for {payment.job_title} to "
        f"{display(amount, settled)}: the platform does not settle {payment.currency}. The "
        "contractor's part cannot be transferred, and new offers in this currency are refused. Add "
        f"a bank account in {payment.currency} at Stripe, or remove it from CURRENCY. Then close "
        "this alert: that allows offers in it again.",
    )


async def settle_booked(uow: UnitOfWork, payment: Payment, intent: Intent) -> None:
    """What Stripe reports of a charge after its capture was booked."""
    await settle_charge(uow, payment, intent)
    await note_settlement(uow, payment, intent)


async def book_conversion(
    uow: UnitOfWork,
    fact: str,
    currency: str,
    amount: int,
    settled: str,
    settled_amount: int,
    offer_id: str | None,
) -> None:
    """Money of `currency` left Stripe's balance, and that of `settled` came; negative amounts are
    the way back. Raises Duplicate when it is booked already."""
    out = ledger.postings_for({ledger.STRIPE: amount, ledger.EXCHANGE: -amount})
    back = ledger.postings_for({ledger.STRIPE: -settled_amount, ledger.EXCHANGE: settled_amount})
    await ledger.book(uow, fact, "converted", currency, out, offer_id=offer_id)
    await ledger.book(uow, f"{fact}:in", "converted", settled, back, offer_id=offer_id)


async def require_settled(uow: UnitOfWork, currency: str) -> None:
    """Raises CurrencyNotSupported while an alert about the currency is open."""
    where = {"subject": currency, "kind": CONVERTED, "open": True}
    if await uow.find(AlertRecord, where):
        raise CurrencyNotSupported(
            f"currency: payments in {currency} are stopped for now; our administrators have been "
            "notified.",
            field="currency",
        )
