"""Reports of messages and conversations to the administrators.

Administrators read a conversation only if its members are in dispute about the job. Otherwise they
see what a report quotes.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta as Limits

from domain.chat.conversation import Conversation, Message
from domain.kernel.actor import PARTIES, Actor
from domain.kernel.errors import NotFound
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.operations.command import Command, Id
from domain.operations.operation import operation


class Reason(StrEnum):
    SPAM = "spam"
    ABUSE = "abuse"
    FRAUD = "fraud"
    OTHER = "other"


class Report(Record, frozen=True):
    """`by` reports `about_id` for a message, quoted in `said`, or for the whole conversation.

    Each is reported once; `message_id` is empty for a conversation.
    """

    COLLECTION = "reports"
    PREFIX = "rep"
    INDEXES = (
        Index((("by", 1), ("conversation_id", 1), ("message_id", 1)), unique=True),
        Index((("about_id", 1), ("_id", -1))),
    )
    UNLOGGED = frozenset({"text", "said"})
    ENCRYPTED_MESSAGES = frozenset({"text", "said"})

    by: str
    about_id: str
    conversation_id: str
    job_id: str
    message_id: str
    reason: Reason
    text: str
    said: str = ""


class MakeReport(Command, frozen=True):
    """Report a message of the other member, or the conversation without `message_id`."""

    UNLOGGED = frozenset({"text"})

    conversation_id: Id
    reason: Reason
    message_id: Id | None = None
    text: Annotated[str, Limits(max_length=2000)] = ""


@operation("chat.report", roles=PARTIES, errors=(NotFound,))
async def report(cmd: MakeReport, actor: Actor, uow: UnitOfWork) -> Report:
    """Alert the administrators. A repeat returns the first report. Raises NotFound."""
    place = await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    (other,) = (user for user in place.members if user != actor.id)
    existing = await uow.find(
        Report,
        {"by": actor.id, "conversation_id": place.id, "message_id": cmd.message_id or ""},
    )
    if existing:
        return existing
    quoted = ""
    if cmd.message_id:
        message = await uow.get(Message, cmd.message_id, conversation_id=place.id, author_id=other)
        quoted = message.text or message.history[-1].text
    new = uow.new(
        Report,
        by=actor.id,
        about_id=other,
        conversation_id=place.id,
        job_id=place.job_id,
        message_id=cmd.message_id or "",
        reason=cmd.reason,
        text=cmd.text,
        said=quoted,
    )
    await uow.add(new)
    await alert(uow, "chat_reported", new.id, f"A chat was reported: {cmd.reason}.")
    return new
