"""Lists reports and reads the conversation of a dispute, for administrators."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from domain.admin.lists import view_of
from domain.chat.conversation import Conversation, EarlierContent, Seq
from domain.chat.history import messages_around
from domain.chat.reports import Report
from domain.disputes.dispute import Dispute
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import ConversationId, JobId, about
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.operation import operation


class ListReports(Command, frozen=True):
    """`user_id` is the reported user."""

    user_id: Annotated[Id | None, about("Only reports about this user.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class ReadConversation(Command, frozen=True):
    """The newest messages, those before `before_seq`, or those after `after_seq`."""

    dispute_id: Annotated[Id, about("The id of the dispute.")]
    before_seq: Annotated[
        Seq | None, about("Only messages with lower numbers, the newest of them.")
    ] = None
    after_seq: Annotated[
        Seq | None, about("Only messages with higher numbers, the oldest of them.")
    ] = None
    limit: PageSize = 50


class ArchivedMessage(msgspec.Struct, frozen=True):
    """A message with its earlier texts, from before it was edited or deleted."""

    id: Annotated[str, about("The id of the message.")]
    seq: Annotated[int, about("Its number in the conversation.")]
    author_id: Annotated[str, about("The id of its author, or `system`.")]
    kind: Annotated[str, about("`text`, or the event that the platform reports.")]
    text: Annotated[str, about("The text as it is now; empty if it was deleted.")]
    created_at: Annotated[datetime, about("When it was sent.")]
    edited_at: Annotated[datetime | None, about("When its author last edited it; null if never.")]
    deleted_at: Annotated[datetime | None, about("When its author deleted it; null if never.")]
    history: Annotated[tuple[EarlierContent, ...], about("Earlier versions, the first one first.")]


class ArchivedMessages(msgspec.Struct, frozen=True):
    """Consecutive messages of one conversation, ascending."""

    conversation_id: ConversationId
    job_id: JobId
    names: Annotated[dict[str, str], about("The names of the members, by user id.")]
    items: Annotated[list[ArchivedMessage], about("The messages, ascending by number.")]
    head: Annotated[int, about("The number of the newest message.")]


def _conversation(answer: dict[str, Any]) -> list[str]:
    return [answer["conversation_id"]]


@operation("admin.reports", roles=ADMINS, style=Style.READ)
async def list_reports(cmd: ListReports, actor: Actor, uow: UnitOfWork) -> Page[Report]:
    """List reports, newest first."""
    where = {"about_id": cmd.user_id} if cmd.user_id else {}
    return await uow.page(Report, where, cursor=cmd.cursor, limit=cmd.limit)


@operation(
    "admin.conversation", roles=ADMINS, style=Style.READ, subjects=_conversation, errors=(NotFound,)
)
async def read_conversation(
    cmd: ReadConversation, actor: Actor, uow: UnitOfWork
) -> ArchivedMessages:
    """Read the conversation of the two sides of a dispute. Raises NotFound."""
    dispute = await uow.get(Dispute, cmd.dispute_id)
    place = await uow.find(
        Conversation, {"job_id": dispute.job_id, "contractor_id": dispute.contractor_id}
    )
    if place is None:
        raise NotFound("The two sides have no conversation about this job.")
    stretch = await messages_around(uow, place, cmd.before_seq, cmd.after_seq, cmd.limit)
    items = [view_of(ArchivedMessage, message) for message in stretch.items]
    return ArchivedMessages(place.id, place.job_id, place.names, items, stretch.head)
