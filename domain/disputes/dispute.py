"""The dispute record, its states, and the timeline that both sides see."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from domain.files.file import Attachment
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import DisputeNotOpen
from domain.kernel.outbox import Event
from domain.kernel.record import Index, Record
from domain.kernel.rooms import role_room
from domain.kernel.state_machine import Steps, states_before
from domain.kernel.store import UnitOfWork

UPDATED = Event("/payment", "dispute.updated")
MAX_ENTRIES = 200
SYSTEM = "system"


class DisputeStatus(StrEnum):
    OPEN = "open"
    PROPOSED = "proposed"
    ESCALATED = "escalated"
    RESOLVED = "resolved"


STEPS: Steps = {
    DisputeStatus.OPEN: (
        DisputeStatus.OPEN,
        DisputeStatus.PROPOSED,
        DisputeStatus.ESCALATED,
        DisputeStatus.RESOLVED,
    ),
    DisputeStatus.PROPOSED: (
        DisputeStatus.PROPOSED,
        DisputeStatus.ESCALATED,
        DisputeStatus.RESOLVED,
    ),
    DisputeStatus.ESCALATED: (DisputeStatus.ESCALATED, DisputeStatus.RESOLVED),
}


class Proposal(msgspec.Struct, frozen=True):
    """A side's proposal: `refund_amount` goes to the customer, the rest to the contractor."""

    by: str
    refund_amount: int
    at: datetime


class Entry(msgspec.Struct, frozen=True):
    """A timeline entry. `kind` is the name of its command; `by` is a user id or `system`."""

    at: datetime
    by: str
    kind: str
    text: str = ""
    refund_amount: int | None = None
    attachments: tuple[Attachment, ...] = ()


class Dispute(Record, frozen=True):
    """A dispute about milestones of one offer; `amount` is their total in minor units.

    At `answer_by` it is escalated to an administrator, unless the awaited side answers before.
    `warned_at` is when both sides were reminded of that, `called_at` when administrators were last
    alerted.
    """

    COLLECTION = "disputes"
    PREFIX = "dsp"
    INDEXES = (
        Index((("job_id", 1),)),
        Index((("customer_id", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("_id", -1))),
        Index((("status", 1), ("_id", -1))),
        Index((("status", 1), ("answer_by", 1), ("warned_at", 1))),
        Index((("status", 1), ("called_at", 1))),
    )
    PRIVATE = frozenset({"warned_at", "called_at"})

    job_id: str
    job_title: str
    offer_id: str
    payment_id: str
    customer_id: str
    contractor_id: str
    milestones: tuple[int, ...]
    amount: int
    currency: str
    opened_by: str
    reason: str
    answer_by: datetime
    warned_at: datetime | None = None
    called_at: datetime | None = None
    status: DisputeStatus = DisputeStatus.OPEN
    proposal: Proposal | None = None
    timeline: tuple[Entry, ...] = ()
    refund_amount: int | None = None
    resolved_at: datetime | None = None

    @property
    def parties(self) -> tuple[str, str]:
        return (self.customer_id, self.contractor_id)

    @property
    def waits_for(self) -> str:
        """The side that has to answer: not the one that opened or that proposed last."""
        last = self.proposal.by if self.proposal else self.opened_by
        return self.contractor_id if last == self.customer_id else self.customer_id


async def add_entry(
    uow: UnitOfWork,
    dispute: Dispute,
    actor: Actor | None,
    kind: str,
    text: str = "",
    refund_amount: int | None = None,
    *,
    attachments: tuple[Attachment, ...] = (),
    status: DisputeStatus | None = None,
    **fields: Any,
) -> Dispute:
    """Add an entry to the timeline and set other fields. Raises DisputeNotOpen."""
    if len(dispute.timeline) >= MAX_ENTRIES and kind in ("say", "evidence", "propose"):
        raise DisputeNotOpen("The timeline is full: agree or escalate.")
    to = status or dispute.status
    by = actor.id if actor else SYSTEM
    entry = Entry(uow.now, by, kind, text, refund_amount, attachments)
    changed = await uow.change(
        Dispute,
        dispute.id,
        only_if={"status": states_before(STEPS, to)},
        status=to,
        timeline=(*dispute.timeline, entry),
        **fields,
    )
    if changed is None:
        raise DisputeNotOpen(status=dispute.status)
    publish_dispute(uow, changed)
    return changed


def publish_dispute(uow: UnitOfWork, dispute: Dispute) -> None:
    """Push a dispute to both sides and to administrators."""
    uow.publish(UPDATED, dispute, to=dispute.parties, room=role_room(Role.ADMIN))
