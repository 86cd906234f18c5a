"""Narrating: what happens to offers and to the work is told in the conversation of its two sides.

Whatever a transaction has changed of them leaves one task in it for each conversation concerned,
which has the messages written like all others. A deed's message has a client id made of what was
changed and its version, so however often the task runs, there is one.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from domain.chat.conversation import SYSTEM, Conversation, Draft, open_between
from domain.deals.offer import MilestoneStatus, Offer, OfferStatus
from domain.jobs.job import Job, JobStatus
from domain.kernel.errors import Unavailable
from domain.kernel.money import display
from domain.kernel.outbox import Lane
from domain.kernel.record import Change
from domain.kernel.store import UnitOfWork
from domain.notifications.text import quoted
from domain.operations.task import Task, TryAgain
from domain.ports.ports import Ports

AGAIN = timedelta(seconds=2)

CUSTOMER, CONTRACTOR = "customer_id", "contractor_id"

Said = tuple[str, str | None, str]  # kind, whose deed it is, words

OFFERS: dict[str, Said] = {
    OfferStatus.PENDING: ("offer.created", CUSTOMER, "An offer of {amount} was made."),
    OfferStatus.COUNTERED: (
        "offer.countered",
        CONTRACTOR,
        "The offer of {amount} was answered with {counter}.",
    ),
    OfferStatus.ACCEPTED: ("offer.accepted", CONTRACTOR, "The offer of {amount} was accepted."),
    OfferStatus.REJECTED: ("offer.rejected", CONTRACTOR, "The offer of {amount} was turned down."),
    OfferStatus.WITHDRAWN: ("offer.withdrawn", CUSTOMER, "The offer of {amount} was withdrawn."),
    OfferStatus.EXPIRED: ("offer.expired", None, "The offer of {amount} has expired."),
    OfferStatus.BLOCKED: (
        "offer.blocked",
        None,
        "The offer of {amount} has ended: the job is taken.",
    ),
    OfferStatus.FAILED: (
        "offer.failed",
        None,
        "The offer of {amount} has ended: its payment failed.",
    ),
}
JOBS: dict[str, Said] = {
    JobStatus.IN_PROGRESS: ("job.started", CONTRACTOR, "The work has begun."),
    JobStatus.COMPLETED: ("job.completed", None, "The work is completed."),
    JobStatus.CANCELLED: ("job.cancelled", None, "The job was cancelled."),
}
MILESTONES: dict[str, Said] = {
    MilestoneStatus.DELIVERED: ("milestone.delivered", CONTRACTOR, "Delivered: {title}."),
    MilestoneStatus.COMPLETED: ("milestone.completed", None, "Completed: {title}."),
    MilestoneStatus.CANCELLED: ("milestone.cancelled", None, "Cancelled: {title}."),
}
DELIVERED = ("job.delivered", CONTRACTOR, "The work was delivered.")


class Deed(msgspec.Struct, frozen=True):
    """One thing that happened; `name` is its own among all deeds."""

    name: str
    kind: str
    subject_id: str
    by: str | None
    text: str


class Narrate(Task, frozen=True, tag="post_system_messages"):
    """Tell both sides what one transaction has changed between them."""

    lane = Lane.NOTICE

    job_id: str
    job_title: str
    customer_id: str
    contractor_id: str
    deeds: tuple[Deed, ...]

    @property
    def subject(self) -> str:
        return f"{self.job_id}:{self.contractor_id}"

    async def run(self, ports: Ports) -> None:
        place = await self._place(ports)
        try:
            posted = [ports.messages.post(self._draft(place.id, deed)) for deed in self.deeds]
            for message in posted:
                await message
        except Unavailable as away:
            raise TryAgain(str(away), at=ports.clock.now() + AGAIN) from away

    async def _place(self, ports: Ports) -> Conversation:
        between = {"job_id": self.job_id, "contractor_id": self.contractor_id}
        there = await ports.store.single().find(Conversation, between)
        if there:
            return there
        enter = partial(
            open_between,
            job_id=self.job_id,
            job_title=self.job_title,
            customer_id=self.customer_id,
            contractor_id=self.contractor_id,
        )
        return await ports.store.transact(enter)

    def _draft(self, conversation_id: str, deed: Deed) -> Draft:
        return Draft(
            conversation_id=conversation_id,
            author_id=SYSTEM,
            text=deed.text,
            client_id=deed.name,
            kind=deed.kind,
            subject_id=deed.subject_id,
            by=deed.by,
        )


def follow(uow: UnitOfWork) -> None:
    """Leave a task for each conversation that a transaction has given something to tell; called
    before each commit."""
    tasks: dict[str, Narrate] = {}
    for change in uow.changes:
        deeds = tuple(deeds_of(change))
        if deeds:
            told = _task(change.after, deeds)
            before = tasks.get(told.subject)
            tasks[told.subject] = (
                msgspec.structs.replace(before, deeds=before.deeds + deeds) if before else told
            )
    for task in tasks.values():
        uow.later(task)


def _task(row: Mapping[str, Any], deeds: tuple[Deed, ...]) -> Narrate:
    title = row.get("job_title") or row.get("title") or ""
    return Narrate(
        row["job_id"] if "job_id" in row else row["_id"],
        title,
        row[CUSTOMER],
        row[CONTRACTOR],
        deeds,
    )


def deeds_of(change: Change) -> Iterator[Deed]:
    """What one changed document has to tell."""
    if change.kind is Offer and change.after.get("visible"):
        yield from _offer(change.before or {}, change.after)
    if change.kind is Job and change.after.get(CONTRACTOR):
        yield from _job(change.before or {}, change.after)


def _offer(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Deed]:
    currency, counter = after["currency"], after["counter"]
    if before.get("status") != after["status"] and (said := OFFERS.get(after["status"])):
        yield _deed(
            after,
            after["_id"],
            said,
            amount=display(after["amount"], currency),
            counter=display(counter["amount"], currency) if counter else "",
        )
    for n, now in enumerate(after["milestones"]):
        was = before["milestones"][n] if before else now
        if all(was[name] == now[name] for name in ("status", "delivered_at")):
            continue
        if len(after["milestones"]) > 1 and (said := MILESTONES.get(now["status"])):
            yield _deed(after, after["_id"], said, n + 1, title=quoted(now["title"]))
        elif now["status"] == MilestoneStatus.DELIVERED:
            yield _deed(after, after["job_id"], DELIVERED)


def _job(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Deed]:
    if before.get("status") != after["status"] and (said := JOBS.get(after["status"])):
        yield _deed(after, after["_id"], said)


def _deed(
    row: Mapping[str, Any], subject_id: str, said: Said, number: int = 0, **words: str
) -> Deed:
    kind, side, text = said
    name = f"{row['_id']}:{row['version']}:{kind}" + (f":{number}" if number else "")
    return Deed(name, kind, subject_id, row[side] if side else None, text.format(**words))
