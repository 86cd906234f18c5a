"""Every action of an administrator takes a reason, which the audit trail keeps."""

import msgspec
import pytest

from domain.disputes.chargeback_evidence import ChargebackEvidence
from domain.kernel.outbox import OutboxRow
from domain.payments.processing import ReadPayment
from domain.stripe_events.inbox import WebhookEvent
from tests.support.job_in_progress import JobInProgress

WHY = "The customer has called us"


async def test_reasons_are_in_the_audit_trail(completed_work: JobInProgress) -> None:
    """Guard: `reason` of each of these commands; evidence for the bank does not quote it."""
    work, market = completed_work, completed_work.market
    chargeback = await work.open_chargeback()
    await market.settled()
    uow = market.store.single()
    dead = uow.row(ReadPayment(work.offer["payment_id"]), at=uow.now)
    await uow.add(msgspec.structs.replace(dead, dead=True))
    event = await uow.find(WebhookEvent, {"status": "done"})
    assert event
    await work.as_admin("ban", user_id=work.customer.id, reason="Fraud")
    evidence = {"chargeback_id": chargeback["id"], "uncategorized_text": "As agreed."}
    asked = {
        "unban": {"user_id": work.customer.id},
        "retry": {"row_id": dead.id},
        "replay": {"event_id": event.id},
        "reconcile": {},
        "evidence": evidence,
    }
    for name, fields in asked.items():
        await work.as_admin(name, **fields, reason=WHY)
        [row] = await market.trail(operation=f"admin.{name}")
        assert WHY in row.detail, name
    await market.settled()
    assert await uow.count(OutboxRow, {"dead": True}) == 0
    [kept] = await uow.all(ChargebackEvidence, {})
    assert WHY not in str(msgspec.to_builtins(kept))
    with pytest.raises(Exception, match="reason"):
        await work.as_admin("unban", user_id=work.customer.id, reason=" ")
