"""Lists reports and reads the conversation of a dispute, for administrators."""

from datetime import datetime
from typing import Any

import msgspec

from domain.admin.lists import view_of
from domain.chat.conversation import Conversation, EarlierContent, Seq
from domain.chat.history import messages_around
from domain.chat.reports import Report
from domain.disputes.dispute import Dispute
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import NotFound
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.operation import operation


class ListReports(Command, frozen=True):
    """`user_id` is the reported user."""

    user_id: Id | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class ReadConversation(Command, frozen=True):
    """The newest messages, those before `before_seq`, or those after `after_seq`."""

    dispute_id: Id
    before_seq: Seq | None = None
    after_seq: Seq | None = None
    limit: PageSize = 50


class ArchivedMessage(msgspec.Struct, frozen=True):
    """A message with its earlier texts, from before it was edited or deleted."""

    id: str
    seq: int
    author_id: str
    kind: str
    text: str
    created_at: datetime
    edited_at: datetime | None
    deleted_at: datetime | None
    history: tuple[EarlierContent, ...]


class ArchivedMessages(msgspec.Struct, frozen=True):
    """Consecutive messages of one conversation, ascending."""

    conversation_id: str
    job_id: str
    names: dict[str, str]
    items: list[ArchivedMessage]
    head: int


def _conversation(answer: dict[str, Any]) -> list[str]:
    return [answer["conversation_id"]]


@operation("admin.reports", roles=ADMINS, style=Style.READ)
async def list_reports(cmd: ListReports, actor: Actor, uow: UnitOfWork) -> Page:
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
