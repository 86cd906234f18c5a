"""What administrators read of reported conversations and of conversations in dispute."""

from datetime import datetime
from typing import Any

import msgspec

from domain.admin.lists import shown
from domain.chat.conversation import Conversation, Said, Seq
from domain.chat.history import around
from domain.chat.reports import Report
from domain.disputes.dispute import Dispute
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import NotFound
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.operation import operation


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


def _conversation(answer: dict[str, Any]) -> list[str]:
    return [answer["conversation_id"]]


@operation("admin.reports", roles=ADMINS, style=Style.READ)
async def reports(cmd: Reports, actor: Actor, uow: UnitOfWork) -> Page:
    """What was reported, newest first."""
    where = {"about_id": cmd.user_id} if cmd.user_id else {}
    return await uow.page(Report, where, cursor=cmd.cursor, limit=cmd.limit)


@operation("admin.conversation", roles=ADMINS, style=Style.READ, subjects=_conversation)
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
