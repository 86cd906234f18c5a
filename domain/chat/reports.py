"""Reports of messages and conversations to the administrators.

Administrators read a conversation only if its members are in dispute about the job. Otherwise they
see what a report quotes.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from domain.chat.conversation import Conversation, Message
from domain.kernel.actor import PARTIES, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import ConversationId, JobId, about
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import prose
from domain.notifications.alerts import alert
from domain.operations.command import Command, Id
from domain.operations.operation import operation


class ReportReason(StrEnum):
    """Why something is reported."""

    SPAM = "spam"
    ABUSE = "abuse"
    FRAUD = "fraud"
    OTHER = "other"


class ReportStatus(StrEnum):
    """`dismissed`: nothing was done. `acted`: something was."""

    OPEN = "open"
    DISMISSED = "dismissed"
    ACTED = "acted"


class Decision(StrEnum):
    """What administrators do about a report."""

    DISMISS = "dismiss"
    WARN = "warn"
    REMOVE_MESSAGE = "remove_message"
    BAN = "ban"


class Report(Record, frozen=True):
    """A report of a message or of a whole conversation, to the administrators.

    `by` reports `about_id`; `said` quotes the message. Each is reported once; `message_id` is
    empty for a conversation.
    """

    COLLECTION = "reports"
    PREFIX = "rep"
    INDEXES = (
        Index((("by", 1), ("conversation_id", 1), ("message_id", 1)), unique=True),
        Index((("about_id", 1), ("_id", -1))),
        Index((("by", 1), ("_id", -1))),
        Index((("status", 1), ("_id", -1))),
    )
    PRIVATE = frozenset({"decided_by", "decide_reason"})
    UNLOGGED = frozenset({"text", "said"})
    ENCRYPTED_MESSAGES = frozenset({"text", "said"})

    by: Annotated[str, about("The id of the user who reports.")]
    about_id: Annotated[str, about("The id of the user who is reported.")]
    conversation_id: ConversationId
    job_id: JobId
    message_id: Annotated[
        str, about("The id of the message; empty if the whole conversation is reported.")
    ]
    reason: Annotated[ReportReason, about("Why it is reported.")]
    text: Annotated[str, about("What the reporting user wrote.")]
    said: Annotated[str, about("What the reported message said.")] = ""
    status: Annotated[ReportStatus, about("Its state.")] = ReportStatus.OPEN
    decision: Annotated[Decision | None, about("What was done; null until it is decided.")] = None
    decided_at: Annotated[datetime | None, about("When; null until it is decided.")] = None
    decided_by: Annotated[
        str | None, about("The id of the administrator who decided; null until then.")
    ] = None
    decide_reason: Annotated[str, about("Why it was decided so; empty until then.")] = ""


class MakeReport(Command, frozen=True):
    """Report a message of the other member, or the conversation without `message_id`."""

    UNLOGGED = frozenset({"text"})

    conversation_id: Annotated[Id, about("The id of the conversation.")]
    reason: Annotated[ReportReason, about("Why it is reported.")]
    message_id: Annotated[
        Id | None, about("The message; without it the whole conversation is reported.")
    ] = None
    text: Annotated[str, prose(2000, least=0), about("What the administrators should know.")] = ""


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
