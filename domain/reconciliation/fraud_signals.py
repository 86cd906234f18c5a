"""Takes over early fraud warnings and reviews whose events were missed.

A charge is named by each of them. Stripe lists no reviews that were closed, so those that are open
here are read again.
"""

from datetime import datetime
from functools import partial

from domain.deals.payment import FraudKind, Payment
from domain.kernel.batches import batches
from domain.kernel.record import ANY_TIME
from domain.payments.fraud import read_fraud_signal, settle_fraud_signal
from domain.ports.payment_gateway import FraudReport
from domain.ports.ports import Ports
from domain.reconciliation.stripe_lines import Comparison

CHUNK = 200


async def compare_fraud_signals(ports: Ports, since: datetime, result: Comparison) -> None:
    """Take over the signals since then, and the ends of reviews that are open here."""
    gateway = ports.gateway
    for kind, listed in (
        (FraudKind.WARNING, gateway.fraud_warnings(since)),
        (FraudKind.REVIEW, gateway.reviews(since)),
    ):
        async for reports in batches(listed, CHUNK):
            await _settle_unknown(ports, kind, reports, result)
    held = {"release_held_at": ANY_TIME}
    async for payment in ports.store.single().each(Payment, held, (("release_held_at", 1),)):
        for signal in payment.fraud_signals:
            if signal.kind is FraudKind.REVIEW and signal.open:
                await read_fraud_signal(ports, signal.kind, signal.id)


async def _settle_unknown(
    ports: Ports, kind: FraudKind, reports: list[FraudReport], result: Comparison
) -> None:
    """Those about charges of other business on the same account are left out."""
    charges = tuple({report.charge_id for report in reports if report.charge_id})
    found = await ports.store.single().all(Payment, {"charge_id": charges}, limit=len(charges))
    payments = {payment.charge_id: payment for payment in found}
    for report in reports:
        payment = payments.get(report.charge_id)
        if payment is None:
            continue
        result.seen(f"fraud_{kind}")
        if report.id not in {signal.id for signal in payment.fraud_signals}:
            settle = partial(settle_fraud_signal, payment_id=payment.id, kind=kind, report=report)
            await ports.store.transact(settle)
