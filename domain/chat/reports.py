"""Moderation: who does not want to hear from whom, what is reported, what an admin may read of it.

A block stands between two people, in all their conversations. Administrators read what was said
only where its two sides are in dispute about that job; what they see besides is in a report.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta as Limits

from domain.backoffice import shown
from domain.chat.conversation import Conversation, Message, Said, Seq
from domain.chat.history import around
from domain.disputes.dispute import Dispute
from domain.kernel.actor import ADMINS, PARTIES, Actor
from domain.kernel.errors import NotFound
from domain.kernel.record import Index, Page, Record
from domain.kernel.store import UnitOfWork, new_id
from domain.notifications.alerts import alert
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.operation import operation


class Reason(StrEnum):
    SPAM = "spam"
    ABUSE = "abuse"
    FRAUD = "fraud"
    OTHER = "other"


class Report(Record, frozen=True):
    """What `by` has reported of `about_id`: a message, as it was then, or the whole conversation.

    It is told once; `message_id` is empty for a conversation.
    """

    COLLECTION = "reports"
    PREFIX = "rep"
    INDEXES = (
        Index((("by", 1), ("conversation_id", 1), ("message_id", 1)), unique=True),
        Index((("about_id", 1), ("_id", -1))),
    )

    by: str
    about_id: str
    conversation_id: str
    job_id: str
    message_id: str
    reason: Reason
    text: str
    said: str = ""


class MakeReport(Command, frozen=True):
    """A message of the other member, or without one all of them."""

    conversation_id: Id
    reason: Reason
    message_id: Id | None = None
    text: Annotated[str, Limits(max_length=2000)] = ""


class Reports(Command, frozen=True):
    """`user_id` is whom they are about."""

    user_id: Id | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class OfDispute(Command, frozen=True):
    """The newest messages, those before `before_seq`, or those from `after_seq` on."""

    dispute_id: Id
    before_seq: Seq | None = None
    after_seq: Seq | None = None
    limit: PageSize = 50


@operation("chat.report", roles=PARTIES)
async def report(cmd: MakeReport, actor: Actor, uow: UnitOfWork) -> Report:
    """Tell the administrators; once told, the first report is the answer. Raises NotFound."""
    place = await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    (other,) = (user for user in place.members if user != actor.id)
    told = await uow.find(
        Report,
        {"by": actor.id, "conversation_id": place.id, "message_id": cmd.message_id or ""},
    )
    if told:
        return told
    said = ""
    if cmd.message_id:
        message = await uow.get(Message, cmd.message_id, conversation_id=place.id, author_id=other)
        said = message.text or message.history[-1].text
    made = Report(
        id=new_id(Report.PREFIX),
        created_at=uow.now,
        updated_at=uow.now,
        by=actor.id,
        about_id=other,
        conversation_id=place.id,
        job_id=place.job_id,
        message_id=cmd.message_id or "",
        reason=cmd.reason,
        text=cmd.text,
        said=said,
    )
    await uow.add(made)
    await alert(uow, "chat_reported", made.id, f"A chat was reported: {cmd.reason}.")
    return made


# -- administrators --------------------------------------------------------------------------


class KeptMessage(msgspec.Struct, frozen=True):
    """A message with what it said before it was changed or taken back."""

    id: str
    seq: int
    author_id: str
    kind: str
    text: str
    created_at: datetime
    edited_at: datetime | None
    deleted_at: datetime | None
    history: tuple[Said, ...]


class Kept(msgspec.Struct, frozen=True):
    """Consecutive messages of one conversation, ascending."""

    conversation_id: str
    job_id: str
    names: dict[str, str]
    items: list[KeptMessage]
    head: int


@operation("admin.reports", roles=ADMINS, style=Style.READ)
async def reports(cmd: Reports, actor: Actor, uow: UnitOfWork) -> Page:
    """What was reported, newest first."""
    where = {"about_id": cmd.user_id} if cmd.user_id else {}
    return await uow.page(Report, where, cursor=cmd.cursor, limit=cmd.limit)


@operation("admin.conversation", roles=ADMINS, style=Style.READ)
async def conversation(cmd: OfDispute, actor: Actor, uow: UnitOfWork) -> Kept:
    """What the two sides of a dispute have said about its job. Raises NotFound."""
    dispute = await uow.get(Dispute, cmd.dispute_id)
    place = await uow.find(
        Conversation, {"job_id": dispute.job_id, "contractor_id": dispute.contractor_id}
    )
    if place is None:
        raise NotFound("They have not talked about this job.")
    stretch = await around(uow, place, cmd.before_seq, cmd.after_seq, cmd.limit)
    items = [shown(KeptMessage, message) for message in stretch.items]
    return Kept(place.id, place.job_id, place.names, items, stretch.head)
