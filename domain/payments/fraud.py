"""Fraud signals: early fraud warnings of card networks, and reviews that Stripe opens.

A warning comes before most chargebacks, days or weeks earlier. What is not with the contractor yet
stays with the platform until an administrator clears the payment, or refunds it.
"""

from functools import partial

import msgspec

from domain.deals.charges import payment_of_intent
from domain.deals.payment import (
    MAX_SIGNALS,
    PAYMENT_UPDATED,
    FraudKind,
    FraudSignal,
    Payment,
)
from domain.kernel.errors import Conflict
from domain.kernel.money import display
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.alerts import alert
from domain.notifications.text import job_path
from domain.payouts.transfer import Transfer, TransferStatus
from domain.payouts.transfer_tasks import send_transfers
from domain.ports.payment_gateway import FraudReport
from domain.ports.ports import Ports

APPROVED = "approved"  # by a person of the platform, in Stripe's dashboard
WORDS = {
    FraudKind.WARNING: "A card network warns of fraud",
    FraudKind.REVIEW: "Stripe has put a payment under review",
}


async def read_fraud_signal(ports: Ports, kind: FraudKind, stripe_id: str) -> bool:
    """Read a warning or a review from Stripe; False if it is about no payment of ours."""
    read = ports.gateway.fraud_warning if kind is FraudKind.WARNING else ports.gateway.review
    report = await read(stripe_id)
    payment = await payment_of_intent(ports, report.intent_id) if report.intent_id else None
    if payment is None:
        return False
    await ports.store.transact(
        partial(settle_fraud_signal, payment_id=payment.id, kind=kind, report=report)
    )
    return True


async def settle_fraud_signal(
    uow: UnitOfWork, payment_id: str, kind: FraudKind, report: FraudReport
) -> None:
    """Take over a signal: hold the release, or end a review that was approved at Stripe."""
    payment = await uow.get(Payment, payment_id)
    known = next((each for each in payment.fraud_signals if each.id == report.id), None)
    approved = report.closed_reason == APPROVED
    signal = FraudSignal(
        id=report.id,
        kind=kind,
        reason=report.reason,
        at=known.at if known else uow.now,
        open=report.open,
        closed_reason=report.closed_reason,
        cleared=approved or (known is not None and known.cleared),
    )
    if signal == known or (known is None and len(payment.fraud_signals) >= MAX_SIGNALS):
        return
    others = tuple(each for each in payment.fraud_signals if each.id != signal.id)
    await _store(uow, payment, (*others, signal))
    if known is None or not known.cleared:
        await _alert(uow, payment, signal)


async def clear_fraud_signals(uow: UnitOfWork, payment: Payment) -> Payment:
    """An administrator has decided that the payment is good. Raises Conflict if nothing is held."""
    if payment.release_held_at is None:
        raise Conflict("The release of this payment is not held.")
    cleared = tuple(
        msgspec.structs.replace(signal, cleared=True) for signal in payment.fraud_signals
    )
    return await _store(uow, payment, cleared)


async def _store(uow: UnitOfWork, payment: Payment, signals: tuple[FraudSignal, ...]) -> Payment:
    """Store the signals, and hold or release the money. Raises Conflict if the payment changed."""
    held = not all(signal.cleared for signal in signals)
    since = (payment.release_held_at or uow.now) if held else None
    changed = await uow.change(
        Payment,
        payment.id,
        only_if={"version": payment.version},
        fraud_signals=signals,
        release_held_at=since,
    )
    if changed is None:
        raise Conflict
    uow.publish(PAYMENT_UPDATED, changed, to=changed.audience)
    if held is (payment.release_held_at is None):
        await _notify_contractor(uow, changed, held)
    if not held:
        waiting = {"offer_id": payment.offer_id, "status": TransferStatus.WAITING}
        send_transfers(uow, await uow.all(Transfer, waiting))
    return changed


async def _notify_contractor(uow: UnitOfWork, payment: Payment, held: bool) -> None:
    if not payment.visible:
        return
    job = f"“{payment.job_title}”"
    title = f"The payment for {job} is being checked"
    text = "What you earn with it waits until our administrators have looked at it."
    if not held:
        title = f"The payment for {job} was checked"
        text = "What you earn with it goes to your wallet as usual."
    kind = "payment_checked" if not held else "payment_under_check"
    path = job_path(payment.job_id)
    await notices.notify(uow, [payment.contractor_id], kind, title, text, payment.id, path=path)


async def _alert(uow: UnitOfWork, payment: Payment, signal: FraudSignal) -> None:
    amount = display(payment.amount, payment.currency)
    about = f"{amount} for {payment.job_title} ({signal.reason})"
    if signal.open:
        todo = "Its release is held: clear it, or refund it. What has arrived is in the wallet."
        return await alert(
            uow, f"fraud_{signal.kind}", payment.id, f"{WORDS[signal.kind]}: {about}. {todo}"
        )
    ended = f"The review of {about} was closed at Stripe: {signal.closed_reason}."
    todo = "Its release goes on." if signal.cleared else "Its release is held until you decide."
    await alert(
        uow, "fraud_review_closed", payment.id, f"{ended} {todo}", urgent=not signal.cleared
    )
