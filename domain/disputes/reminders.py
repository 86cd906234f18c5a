"""Reminds both sides and administrators of the deadlines of disputes and chargebacks."""

from datetime import timedelta
from typing import Any

from domain.deals.chargeback import Chargeback, ChargebackStatus
from domain.disputes.dispute import UNDECIDED, Dispute, DisputeStatus
from domain.disputes.resolution import alert_admins
from domain.kernel.independent import Attempts, transact_due
from domain.kernel.money import display
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.alerts import alert
from domain.notifications.text import date_text, job_path
from domain.ports.ports import Ports

CHUNK = 200
REMIND_BEFORE = timedelta(hours=24)
ALERT_AGAIN_AFTER = timedelta(days=1)
REMIND_ADMINS_BEFORE = timedelta(days=3)  # time to collect evidence

UNANSWERED: dict[str, Any] = {
    "status": (ChargebackStatus.INQUIRY, ChargebackStatus.OPEN),
    "submissions": 0,
}


async def remind_of_deadlines(ports: Ports) -> int:
    """Send every reminder that is due; returns the number of disputes and chargebacks.

    Both sides are reminded once before a dispute is escalated, administrators once before the
    deadline for evidence, and administrators daily of each escalated dispute.
    """
    count = 0
    with Attempts() as attempts:
        for remind in (_remind_disputing_sides, _remind_of_evidence, _alert_of_escalated):
            with attempts.next():
                count += await remind(ports)
    return count


async def _remind_disputing_sides(ports: Ports) -> int:
    uow = ports.store.single()
    soon = {"$gt": uow.now, "$lte": uow.now + REMIND_BEFORE}
    waiting = {"status": UNDECIDED, "answer_by": soon, "warned_at": None}
    by_time = (("answer_by", 1),)
    return await transact_due(ports.store, Dispute, waiting, by_time, CHUNK, _remind_sides)


async def _remind_of_evidence(ports: Ports) -> int:
    uow = ports.store.single()
    soon = {"$gt": uow.now, "$lte": uow.now + REMIND_ADMINS_BEFORE}
    waiting = {**UNANSWERED, "due_by": soon, "warned_at": None}
    by_time = (("due_by", 1),)
    return await transact_due(ports.store, Chargeback, waiting, by_time, CHUNK, _remind_admins)


async def _alert_of_escalated(ports: Ports) -> int:
    uow = ports.store.single()
    due, by_time = _due_for_alert(uow), (("called_at", 1),)
    return await transact_due(ports.store, Dispute, due, by_time, CHUNK, _alert_again)


def _due_for_alert(uow: UnitOfWork) -> dict[str, Any]:
    long_ago = {"called_at": {"$lte": uow.now - ALERT_AGAIN_AFTER}}
    return {"status": DisputeStatus.ESCALATED, "$or": [{"called_at": None}, long_ago]}


async def _remind_sides(uow: UnitOfWork, found: Dispute) -> None:
    dispute = await uow.change(
        Dispute, found.id, only_if={"status": UNDECIDED, "warned_at": None}, warned_at=uow.now
    )
    if dispute is None:
        return
    ends = date_text(dispute.answer_by)
    awaited = dispute.awaited
    texts = {
        awaited: f"Agree or propose how to end it until {ends}; then an administrator decides.",
        **{
            side: f"The other side has not answered. On {ends} it goes to an administrator."
            for side in dispute.parties
            if side != awaited
        },
    }
    for side, text in texts.items():
        await notices.notify(
            uow,
            [side],
            "dispute_ends_soon",
            f"{dispute.job_title}: the dispute is decided soon",
            text,
            dispute.id,
            path=job_path(dispute.job_id),
        )


async def _remind_admins(uow: UnitOfWork, found: Chargeback) -> None:
    chargeback = await uow.change(
        Chargeback, found.id, only_if={**UNANSWERED, "warned_at": None}, warned_at=uow.now
    )
    if chargeback and chargeback.due_by:
        amount = display(chargeback.amount, chargeback.currency)
        await alert(
            uow,
            "evidence_due",
            chargeback.id,
            f"The bank takes evidence about {amount} for {chargeback.job_title} "
            f"until {date_text(chargeback.due_by)}: without it that is lost.",
        )


async def _alert_again(uow: UnitOfWork, found: Dispute) -> None:
    dispute = await uow.change(Dispute, found.id, only_if=_due_for_alert(uow), called_at=uow.now)
    if dispute:
        await alert_admins(uow, dispute)
