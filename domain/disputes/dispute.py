"""The dispute record, its states, and adding to its timeline."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from domain.deals.offer import MAX_MILESTONES
from domain.disputes.timeline import SHOWN_ENTRIES, DisputeEntry, TimelineEntry, Written, latest
from domain.files.file import Attachment
from domain.kernel.actor import Role
from domain.kernel.bounds import Bounded
from domain.kernel.errors import DisputeNotOpen
from domain.kernel.fields import (
    ContractorId,
    ContractorName,
    Currency,
    CustomerId,
    CustomerName,
    JobId,
    JobTitle,
    OfferId,
    PaymentId,
    about,
)
from domain.kernel.outbox import Event, Numbering
from domain.kernel.record import Index, Record
from domain.kernel.rooms import role_room
from domain.kernel.state_machine import Steps, states_before
from domain.kernel.store import UnitOfWork


class DisputeStatus(StrEnum):
    """`proposed`: a side has proposed a split. `escalated`: an administrator decides."""

    OPEN = "open"
    PROPOSED = "proposed"
    ESCALATED = "escalated"
    RESOLVED = "resolved"


UNDECIDED = (DisputeStatus.OPEN, DisputeStatus.PROPOSED)  # they wait for one of the sides
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

    by: Annotated[str, about("The id of the user who proposes.")]
    refund_amount: Annotated[
        int, about("What goes back to the customer, in minor units; the rest is the contractor's.")
    ]
    at: Annotated[datetime, about("When it was made.")]


class Dispute(Record, frozen=True):
    """A dispute about milestones of one offer; `amount` is their total in minor units.

    At `answer_by` it is escalated to an administrator, unless the awaited side answers before.
    `warned_at` is when both sides were reminded of that, `called_at` when administrators were last
    alerted. `timeline` has the latest of `entry_count` entries; `payment.dispute_entries` reads all
    of them.
    """

    COLLECTION = "disputes"
    PREFIX = "dsp"
    DEED = "status"
    INDEXES = (
        Index((("job_id", 1),)),
        Index((("customer_id", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("_id", -1))),
        Index((("status", 1), ("_id", -1))),
        Index((("status", 1), ("answer_by", 1), ("warned_at", 1))),
        Index((("status", 1), ("called_at", 1))),
        Index((("waits_for", 1), ("answer_by", 1)), where={"waits_for": {"$gt": ""}}),
    )
    PRIVATE = frozenset({"warned_at", "called_at", "customer_written", "contractor_written"})
    PERSONAL = frozenset({"customer_name", "contractor_name"})
    ENCRYPTED_MESSAGES = frozenset({"timeline"})

    job_id: JobId
    job_title: JobTitle
    offer_id: OfferId
    payment_id: PaymentId
    customer_id: CustomerId
    contractor_id: ContractorId
    milestones: Annotated[
        tuple[int, ...],
        Bounded(MAX_MILESTONES),
        about("The numbers of the milestones in dispute, from 1."),
    ]
    amount: Annotated[int, about("Their total, in minor units.")]
    currency: Currency
    opened_by: Annotated[str, about("The id of the user who opened it, or `system`.")]
    reason: Annotated[str, about("Why it was opened.")]
    answer_by: Annotated[
        datetime, about("When it goes to an administrator, unless the awaited side answers before.")
    ]
    customer_name: CustomerName = ""
    contractor_name: ContractorName = ""
    waits_for: Annotated[
        str | None,
        about("The id of the user who has to answer; null if an administrator decides or has."),
    ] = None
    warned_at: datetime | None = None
    called_at: datetime | None = None
    status: Annotated[DisputeStatus, about("Its state.")] = DisputeStatus.OPEN
    proposal: Annotated[Proposal | None, about("The current proposal; null if there is none.")] = (
        None
    )
    timeline: Annotated[
        tuple[TimelineEntry, ...],
        Bounded(SHOWN_ENTRIES),
        about("The latest entries, oldest first; `payment.dispute_entries` reads all."),
    ] = ()
    entry_count: Annotated[int, about("How many entries there are.")] = 0
    customer_written: Written = Written()
    contractor_written: Written = Written()
    refund_amount: Annotated[
        int | None,
        about("What went back to the customer, in minor units; null until it is resolved."),
    ] = None
    resolved_at: Annotated[datetime | None, about("When it was resolved; null if it is not.")] = (
        None
    )

    @property
    def parties(self) -> tuple[str, str]:
        return (self.customer_id, self.contractor_id)

    @property
    def awaited(self) -> str:
        """The side that has to answer: not the one that opened or that proposed last."""
        last = self.proposal.by if self.proposal else self.opened_by
        return self.contractor_id if last == self.customer_id else self.customer_id


UPDATED = Event(
    "/payment",
    "dispute.updated",
    Dispute,
    Numbering.PARTIES,
    about="When a dispute is opened or changes: numbered to both sides, not numbered to all "
    "administrators.",
)


async def add_entry(
    uow: UnitOfWork,
    dispute: Dispute,
    by: str,
    kind: str,
    text: str = "",
    refund_amount: int | None = None,
    *,
    attachments: tuple[Attachment, ...] = (),
    status: DisputeStatus | None = None,
    **fields: Any,
) -> Dispute:
    """Add an entry to the timeline, set other fields and push. `by` is a user's id, or SYSTEM.

    Raises DisputeNotOpen. Entries that neither end nor escalate the dispute are added by
    `add_limited_entry`.
    """
    to = status or dispute.status
    entry = TimelineEntry(
        uow.now, by, kind, text, refund_amount, attachments, seq=dispute.entry_count + 1
    )
    wanted = msgspec.structs.replace(dispute, status=to, **fields)
    changed = await uow.change(
        Dispute,
        dispute.id,
        only_if={"status": states_before(STEPS, to)},
        status=to,
        waits_for=wanted.awaited if to in UNDECIDED else None,
        **entry_fields(dispute, entry),
        **fields,
    )
    if changed is None:
        raise DisputeNotOpen(status=dispute.status)
    await store_entry(uow, changed, entry)
    publish_dispute(uow, changed)
    return changed


async def add_limited_entry(
    uow: UnitOfWork, dispute: Dispute, by: str, kind: str, text: str, **more: Any
) -> Dispute:
    """The same, within the limits of what one side writes. Raises DisputeNotOpen, TooMany."""
    changed = await add_entry(uow, dispute, by, kind, text, **more)
    customers = by == dispute.customer_id
    (changed.customer_written if customers else changed.contractor_written).check()
    return changed


def entry_fields(dispute: Dispute, entry: TimelineEntry) -> dict[str, Any]:
    """The fields of a dispute that change with a new entry."""
    fields: dict[str, Any] = {
        "timeline": latest((*dispute.timeline, entry)),
        "entry_count": entry.seq,
    }
    if entry.by == dispute.customer_id:
        fields["customer_written"] = dispute.customer_written.plus(entry)
    if entry.by == dispute.contractor_id:
        fields["contractor_written"] = dispute.contractor_written.plus(entry)
    return fields


async def store_entry(uow: UnitOfWork, dispute: Dispute, entry: TimelineEntry) -> None:
    """Store an entry that the dispute counts already."""
    await uow.add(
        uow.new(
            DisputeEntry,
            id=f"{dispute.id}:{entry.seq}",
            dispute_id=dispute.id,
            seq=entry.seq,
            entry=entry,
        )
    )


def publish_dispute(uow: UnitOfWork, dispute: Dispute) -> None:
    """Push a dispute to both sides and to administrators."""
    uow.publish(UPDATED, dispute, to=dispute.parties, room=role_room(Role.ADMIN))
