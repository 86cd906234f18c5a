"""System messages in a conversation about the offers and the work of its two sides.

Each transaction that changes an offer or a job queues one task for each conversation, and the task
writes the messages. The client id of a message consists of the changed record's id and version and
the kind of the message, so a task that runs again adds no second message.
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
from domain.notifications.text import quoted_title
from domain.operations.task import Task, TryAgain
from domain.ports.ports import Ports

RETRY_AFTER = timedelta(seconds=2)

CUSTOMER, CONTRACTOR = "customer_id", "contractor_id"

MessageTemplate = tuple[str, str | None, str]  # kind, field of the author or None, text

OFFER_MESSAGES: dict[str, MessageTemplate] = {
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
JOB_MESSAGES: dict[str, MessageTemplate] = {
    JobStatus.IN_PROGRESS: ("job.started", CONTRACTOR, "The work has begun."),
    JobStatus.COMPLETED: ("job.completed", None, "The work is completed."),
    JobStatus.CANCELLED: ("job.cancelled", None, "The job was cancelled."),
}
MILESTONE_MESSAGES: dict[str, MessageTemplate] = {
    MilestoneStatus.DELIVERED: ("milestone.delivered", CONTRACTOR, "Delivered: {title}."),
    MilestoneStatus.COMPLETED: ("milestone.completed", None, "Completed: {title}."),
    MilestoneStatus.CANCELLED: ("milestone.cancelled", None, "Cancelled: {title}."),
}
DELIVERED_MESSAGE = ("job.delivered", CONTRACTOR, "The work was delivered.")


class SystemMessage(msgspec.Struct, frozen=True):
    """A message about one change; `name` is unique and becomes its client id.

    `by` is the user whose action it was, or None.
    """

    name: str
    kind: str
    subject_id: str
    by: str | None
    text: str


class PostSystemMessages(Task, frozen=True, tag="post_system_messages"):
    """Write the messages about the changes of one transaction to one conversation."""

    lane = Lane.NOTICE

    job_id: str
    job_title: str
    customer_id: str
    contractor_id: str
    messages: tuple[SystemMessage, ...]

    @property
    def subject(self) -> str:
        return f"{self.job_id}:{self.contractor_id}"

    async def run(self, ports: Ports) -> None:
        conversation = await self._conversation(ports)
        drafts = [self._draft(conversation.id, message) for message in self.messages]
        try:
            for written in [ports.messages.post(draft) for draft in drafts]:
                await written
        except Unavailable as away:
            raise TryAgain(str(away), at=ports.clock.now() + RETRY_AFTER) from away

    async def _conversation(self, ports: Ports) -> Conversation:
        between = {"job_id": self.job_id, "contractor_id": self.contractor_id}
        conversation = await ports.store.single().find(Conversation, between)
        if conversation:
            return conversation
        open_conversation = partial(
            open_between,
            job_id=self.job_id,
            job_title=self.job_title,
            customer_id=self.customer_id,
            contractor_id=self.contractor_id,
        )
        return await ports.store.transact(open_conversation)

    def _draft(self, conversation_id: str, message: SystemMessage) -> Draft:
        return Draft(
            conversation_id=conversation_id,
            author_id=SYSTEM,
            text=message.text,
            client_id=message.name,
            kind=message.kind,
            subject_id=message.subject_id,
            by=message.by,
        )


def queue_system_messages(uow: UnitOfWork) -> None:
    """Queue a task for each conversation that the changes of a transaction concern.

    Called before each commit.
    """
    tasks: dict[str, PostSystemMessages] = {}
    for change in uow.changes:
        messages = tuple(messages_of(change))
        if messages:
            task = _task_for(change.after, messages)
            if queued := tasks.get(task.subject):
                task = msgspec.structs.replace(queued, messages=queued.messages + messages)
            tasks[task.subject] = task
    for task in tasks.values():
        uow.later(task)


def _task_for(row: Mapping[str, Any], messages: tuple[SystemMessage, ...]) -> PostSystemMessages:
    title = row.get("job_title") or row.get("title") or ""
    return PostSystemMessages(
        row["job_id"] if "job_id" in row else row["_id"],
        title,
        row[CUSTOMER],
        row[CONTRACTOR],
        messages,
    )


def messages_of(change: Change) -> Iterator[SystemMessage]:
    """The messages about the change of one document."""
    if change.kind is Offer and change.after.get("visible"):
        yield from _offer_messages(change.before or {}, change.after)
    if change.kind is Job and change.after.get(CONTRACTOR):
        yield from _job_messages(change.before or {}, change.after)


def _offer_messages(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[SystemMessage]:
    currency, counter = after["currency"], after["counter"]
    if before.get("status") != after["status"] and (
        template := OFFER_MESSAGES.get(after["status"])
    ):
        yield _message(
            after,
            after["_id"],
            template,
            amount=display(after["amount"], currency),
            counter=display(counter["amount"], currency) if counter else "",
        )
    for number, milestone in enumerate(after["milestones"], 1):
        previous = before["milestones"][number - 1] if before else milestone
        if all(previous[name] == milestone[name] for name in ("status", "delivered_at")):
            continue
        template = MILESTONE_MESSAGES.get(milestone["status"])
        if template and len(after["milestones"]) > 1:
            title = quoted_title(milestone["title"])
            yield _message(after, after["_id"], template, number, title=title)
        elif milestone["status"] == MilestoneStatus.DELIVERED:
            yield _message(after, after["job_id"], DELIVERED_MESSAGE)


def _job_messages(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[SystemMessage]:
    if before.get("status") != after["status"] and (template := JOB_MESSAGES.get(after["status"])):
        yield _message(after, after["_id"], template)


def _message(
    row: Mapping[str, Any],
    subject_id: str,
    template: MessageTemplate,
    number: int = 0,
    **values: str,
) -> SystemMessage:
    kind, side, text = template
    name = f"{row['_id']}:{row['version']}:{kind}" + (f":{number}" if number else "")
    return SystemMessage(name, kind, subject_id, row[side] if side else None, text.format(**values))
