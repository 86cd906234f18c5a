"""Reminders of dispute deadlines to both sides and to administrators."""

from datetime import timedelta
from typing import Any

from domain.disputes.chargebacks import Chargeback, ChargebackStatus
from domain.disputes.dispute import Dispute, DisputeStatus
from domain.disputes.resolution import call_admins
from domain.kernel.money import display
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.alerts import alert
from domain.notifications.text import date_text, job_path
from domain.ports.ports import Ports

CHUNK = 200
WARN_BEFORE = timedelta(hours=24)
CALL_AGAIN = timedelta(days=1)
WARN_ADMINS_BEFORE = timedelta(days=3)  # evidence has to be gathered


async def warn_of_deadlines(ports: Ports) -> int:
    """Once each: both sides before a dispute goes to an administrator, and administrators before
    a bank takes no more evidence; and these each day of what waits for them. Returns how many."""
    uow = ports.store.single()
    soon = {"$gt": uow.now, "$lte": uow.now + WARN_BEFORE}
    waiting = {"status": UNDECIDED, "answer_by": soon, "warned_at": None}
    ending = await uow.all(Dispute, waiting, (("answer_by", 1),), CHUNK)
    warned = await ports.store.transact_each(ending, _warn_sides)
    soon = {"$gt": uow.now, "$lte": uow.now + WARN_ADMINS_BEFORE}
    unanswered = {**UNANSWERED, "due_by": soon, "warned_at": None}
    chargebacks = await uow.all(Chargeback, unanswered, (("due_by", 1),), CHUNK)
    warned += await ports.store.transact_each(chargebacks, _warn_admins)
    uncalled = _uncalled(uow)
    escalated = await uow.all(Dispute, uncalled, (("called_at", 1),), CHUNK)
    return warned + await ports.store.transact_each(escalated, _call_again)


def _uncalled(uow: UnitOfWork) -> dict[str, Any]:
    long_ago = {"called_at": {"$lte": uow.now - CALL_AGAIN}}
    return {"status": DisputeStatus.ESCALATED, "$or": [{"called_at": None}, long_ago]}


UNDECIDED = (DisputeStatus.OPEN, DisputeStatus.PROPOSED)
UNANSWERED: dict[str, Any] = {
    "status": (ChargebackStatus.INQUIRY, ChargebackStatus.OPEN),
    "submissions": 0,
}


async def _warn_sides(uow: UnitOfWork, found: Dispute) -> None:
    dispute = await uow.change(
        Dispute, found.id, only_if={"status": UNDECIDED, "warned_at": None}, warned_at=uow.now
    )
    if dispute is None:
        return
    ends = date_text(dispute.answer_by)
    awaited = dispute.waits_for
    told = {
        awaited: f"Agree or propose how to end it until {ends}; then an administrator decides.",
        **{
            side: f"The other side has not answered. On {ends} it goes to an administrator."
            for side in dispute.parties
            if side != awaited
        },
    }
    for side, text in told.items():
        await notices.tell(
            uow,
            [side],
            "dispute_ends_soon",
            f"{dispute.job_title}: the dispute is decided soon",
            text,
            dispute.id,
            path=job_path(dispute.job_id),
        )


async def _warn_admins(uow: UnitOfWork, found: Chargeback) -> None:
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


async def _call_again(uow: UnitOfWork, found: Dispute) -> None:
    uncalled = _uncalled(uow)
    dispute = await uow.change(Dispute, found.id, only_if=uncalled, called_at=uow.now)
    if dispute:
        await call_admins(uow, dispute)
