"""Lists of conversations, pages of messages, and the sync that fills gaps."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.chat.conversation import RECENT, Conversation, Message, SeenConversation, Seq
from domain.chat.member_view import seen_by
from domain.chat.read_receipts import ReadReceipt, publish_receipt, receipt_of
from domain.kernel import documents
from domain.kernel.actor import PARTIES, Actor
from domain.kernel.errors import Invalid, NotFound, Rule
from domain.kernel.fields import about
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.operation import operation

SYNC_ITEMS = 200  # messages in one answer of `sync`, over all its conversations


class MessageRange(msgspec.Struct, frozen=True):
    """Consecutive messages, ascending. More exist while the last is below `head`."""

    items: Annotated[list[Message], about("The messages, ascending by number.")]
    head: Annotated[
        int, about("The number of the newest message; more follow while the last item is below it.")
    ]


class MessageChanges(msgspec.Struct, frozen=True):
    """Changed messages, ascending by revision. More exist while the last is below `revision`."""

    items: Annotated[list[Message], about("Changed messages, ascending by revision.")]
    revision: Annotated[
        int, about("The revision of the last change; more follow while the last item is below it.")
    ]


class SyncedMessages(msgspec.Struct, frozen=True):
    """`changes` of the conversations whose revisions were given."""

    conversations: Annotated[
        dict[str, MessageRange], about("New messages, by the id of the conversation.")
    ]
    changes: Annotated[
        dict[str, MessageChanges], about("Changed messages, by the id of the conversation.")
    ]


class List(Command, frozen=True):
    cursor: Cursor | None = None
    limit: PageSize = 20


class ConversationById(Command, frozen=True):
    conversation_id: Annotated[Id, about("The id of the conversation.")]


class History(Command, frozen=True):
    """The newest messages, those before `before_seq`, or those from `after_seq` on."""

    conversation_id: Annotated[Id, about("The id of the conversation.")]
    before_seq: Annotated[
        Seq | None, about("Only messages with lower numbers, the newest of them.")
    ] = None
    after_seq: Annotated[
        Seq | None, about("Only messages with higher numbers, the oldest of them.")
    ] = None
    limit: PageSize = 50


class Sync(Command, frozen=True):
    """The last number that the client has of each conversation, and the last revision."""

    conversations: Annotated[
        dict[Id, Seq],
        Limits(max_length=100),
        about("The highest number that the client has, by the id of the conversation."),
    ]
    revisions: Annotated[
        dict[Id, Seq],
        Limits(max_length=100),
        about("The highest revision that the client has, by the id of the conversation."),
    ] = {}


class Read(Command, frozen=True):
    conversation_id: Annotated[Id, about("The id of the conversation.")]
    seq: Annotated[Seq, about("The number of the last message that was read.")]


@operation("chat.list", roles=PARTIES, style=Style.READ)
async def list_(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[SeenConversation]:
    """Own conversations with their unread counts, the most recently active first."""
    page = await uow.page(
        Conversation,
        {"members": actor.id},
        sort=RECENT,
        cursor=cmd.cursor,
        limit=cmd.limit,
    )
    return Page(await seen_by(uow, actor.id, page.items), page.next_cursor)


@operation("chat.get", roles=PARTIES, style=Style.READ, errors=(NotFound,))
async def get(cmd: ConversationById, actor: Actor, uow: UnitOfWork) -> SeenConversation:
    """One of one's own conversations, as `chat.list` shows it. Raises NotFound."""
    conversation = await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    [seen] = await seen_by(uow, actor.id, [conversation])
    return seen


@operation("chat.history", roles=PARTIES, style=Style.READ, errors=(NotFound,))
async def history(cmd: History, actor: Actor, uow: UnitOfWork) -> MessageRange:
    """Read messages of a conversation, oldest first. Raises NotFound."""
    conversation = await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    return await messages_around(uow, conversation, cmd.before_seq, cmd.after_seq, cmd.limit)


async def messages_around(
    uow: UnitOfWork, conversation: Conversation, before: int | None, after: int | None, limit: int
) -> MessageRange:
    """The newest messages, those before a number, or those from one on.

    Numbers have no gaps, so the range is no longer than the page: a database that does not read an
    index in the order of `sort` sorts only these.
    """
    forward = after is not None
    if after is not None:
        end = after + limit + 1
        bounds = {"$gt": after, "$lt": end if before is None else min(before, end)}
    elif before is not None:
        bounds = {"$gt": max(0, before - limit - 1), "$lt": before}
    else:
        bounds = {"$gt": max(0, conversation.head - limit)}
    items = await uow.first(
        Message,
        {"conversation_id": conversation.id, "seq": bounds},
        (("seq", 1 if forward else -1),),
        limit,
    )
    return _stretch(conversation, items if forward else items[::-1])


@operation("chat.sync", roles=PARTIES, style=Style.READ, errors=(NotFound,))
async def sync(cmd: Sync, actor: Actor, uow: UnitOfWork) -> SyncedMessages:
    """Messages that the client missed in each conversation, without gaps.

    The client calls again while its last number is below `head` or `revision`.

    Raises NotFound, naming the conversations that are not the caller's.
    """
    known, revised = cmd.conversations, cmd.revisions
    asked = tuple(known.keys() | revised.keys())
    own = {
        found.id: found
        for found in await uow.all(Conversation, {"_id": asked, "members": actor.id})
    }
    if len(own) < len(asked):
        raise NotFound(conversations=sorted(set(asked) - own.keys()))
    behind = {id: seq for id, seq in known.items() if own[id].head > seq}
    before = {id: number for id, number in revised.items() if own[id].revision > number}
    missed, changed = await asyncio.gather(
        _messages_after(uow, "seq", behind), _messages_after(uow, "revision", before)
    )
    return SyncedMessages(
        {id: _stretch(own[id], missed[id]) for id in known},
        {id: MessageChanges(changed[id], own[id].revision) for id in revised},
    )


@operation("chat.read", roles=PARTIES, errors=(NotFound,))
async def read(cmd: Read, actor: Actor, uow: UnitOfWork) -> ReadReceipt:
    """Move the caller's read mark forward; a lower number changes nothing.

    Raises NotFound, Invalid beyond the newest message.
    """
    conversation = await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    if cmd.seq > conversation.head:
        raise Invalid(
            "there is no such message yet.", field="seq", rule=Rule.MAX, limit=conversation.head
        )
    moved = await uow.change(
        Conversation,
        conversation.id,
        only_if=_mark_filter(actor.id, {"$lt": cmd.seq}),
        **_mark_filter(actor.id, cmd.seq),
    )
    if moved:
        await publish_receipt(uow, moved, actor.id)
    return receipt_of(moved or conversation, actor.id)


async def _messages_after(
    uow: UnitOfWork, number: str, after: Mapping[str, int]
) -> Mapping[str, list[Message]]:
    """One query, ordered so that the limit cuts lists only at their ends."""
    missed: dict[str, list[Message]] = defaultdict(list)
    if after:
        branches: list[dict[str, Any]] = [
            {"conversation_id": id, number: {"$gt": last}} for id, last in after.items()
        ]
        order = (("conversation_id", 1), (number, 1))
        found = await uow.first(Message, documents.any_of(branches), order, SYNC_ITEMS, share=2)
        for message in found:
            missed[message.conversation_id].append(message)
    return missed


def _stretch(conversation: Conversation, items: list[Message]) -> MessageRange:
    """`head` is at least the last item: a message may be written between the two reads."""
    return MessageRange(items, max(conversation.head, items[-1].seq if items else 0))


def _mark_filter(user_id: str, seq: Any) -> dict[str, Any]:
    return {f"read.{user_id}": seq}
