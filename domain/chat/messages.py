"""Talking: what members of a conversation say, change, take back and look for."""

from datetime import timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.chat.conversation import (
    MESSAGE,
    RECENT,
    SYSTEM,
    Conversation,
    Draft,
    Message,
    Origin,
    Reaction,
    Request,
    Said,
)
from domain.chat.group_commit import terms_of
from domain.files.file import Attachment, FileIds, attach
from domain.kernel import text_search
from domain.kernel.actor import PARTIES, Actor, Role
from domain.kernel.errors import Blocked, Conflict, Invalid, NotFound
from domain.kernel.record import Page
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Cursor, Id, Meta, PageSize, Style
from domain.operations.idempotency import fingerprint
from domain.operations.limits import Limit
from domain.operations.operation import operation
from domain.ports.ports import Ports

EDITABLE = timedelta(hours=24)  # after that others rely on what was said
MAX_CHANGES = 50  # of one message
MAX_EMOJIS = 20  # of one message
SEARCHED = 200  # conversations, the most recently active ones; MongoDB merges no more by an index

Text = Annotated[str, Limits(min_length=1, max_length=4000, pattern=r"\S")]


class Send(Command, frozen=True):
    """Words, or files, or both. `client_id` is the client's own name for the message, so that
    sending it again is safe; `reply_to` is the id of a message of the same conversation."""

    UNLOGGED = frozenset({"text"})

    conversation_id: Id
    text: Text | None = None
    file_ids: FileIds = ()
    reply_to: Id | None = None
    client_id: Id | None = None


class ById(Command, frozen=True):
    conversation_id: Id
    message_id: Id


class Edit(ById, frozen=True):
    UNLOGGED = frozenset({"text"})

    text: Text


class React(ById, frozen=True):
    """`on` false takes one's own reaction back."""

    UNLOGGED = frozenset({"emoji"})

    emoji: Annotated[str, Limits(min_length=1, max_length=16, pattern=r"^\S+\Z")]
    on: bool = True


class Search(Command, frozen=True):
    PERSONAL = frozenset({"q"})

    q: Annotated[str, Limits(min_length=1, max_length=200)]
    conversation_id: Id | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("chat.send", roles=PARTIES, style=Style.DIRECT, pipelined=True, limits=(Limit(120, 6),))
async def send(cmd: Send, actor: Actor, ports: Ports, meta: Meta) -> Message:
    """Say something to the other member; own words count as read.

    Raises Invalid for nothing at all, NotFound, Conflict for files of something else, Blocked,
    RequestIdReused when `client_id` names another message, RequestInProgress, Unavailable.
    """
    if cmd.text is None and not cmd.file_ids:
        raise Invalid("text: say something, or attach files.", field="text")
    files = await _hand_over(cmd, actor, ports)
    request = None
    if meta.request_id:
        told = fingerprint("chat.send", msgspec.to_builtins(cmd))
        request = Request(meta.request_id, told)
    draft = Draft(
        conversation_id=cmd.conversation_id,
        author_id=actor.id,
        text=cmd.text or "",
        files=files,
        client_id=cmd.client_id,
        reply_to=cmd.reply_to,
        request=request,
        origin=Origin(actor.role, actor.session_id, meta.address),
    )
    posted = ports.messages.post(draft)
    meta.committed()
    message: Message = await posted
    return message


async def _hand_over(cmd: Send, actor: Actor, ports: Ports) -> tuple[Attachment, ...]:
    """To the conversation, before it is said: whoever hears of a file can read it."""

    async def work(uow: UnitOfWork) -> tuple[Attachment, ...]:
        conversation = await _open(uow, cmd.conversation_id, actor.id)
        return await attach(uow, cmd.file_ids, actor.id, conversation.id, conversation.members)

    return await ports.store.transact(work) if cmd.file_ids else ()


async def _open(uow: UnitOfWork, conversation_id: str, member: str) -> Conversation:
    """A conversation in which the member may speak. Raises NotFound, Blocked."""
    conversation = await uow.get(Conversation, conversation_id, members=member)
    if conversation.blocked_by:
        raise Blocked(by=list(conversation.blocked_by))
    return conversation


# -- changing what was said ------------------------------------------------------------------


@operation("chat.edit", roles=PARTIES)
async def edit(cmd: Edit, actor: Actor, uow: UnitOfWork) -> Message:
    """Say it otherwise. Raises NotFound, Blocked, Conflict too late or after too many changes."""
    await _open(uow, cmd.conversation_id, actor.id)
    message = await _standing(uow, cmd, actor.id)
    if message.text == cmd.text:
        return message
    if uow.now - message.created_at > EDITABLE:
        raise Conflict("A message can be changed for a day: write a new one.")
    return await _change(
        uow,
        message,
        text=cmd.text,
        terms=terms_of(cmd.text),
        edited_at=uow.now,
        history=_kept(uow, message),
    )


@operation("chat.delete", roles=PARTIES)
async def delete(cmd: ById, actor: Actor, uow: UnitOfWork) -> Message:
    """Take it back; its place stays, and what it said is kept for disputes. Raises NotFound."""
    await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    message = await _standing(uow, cmd, actor.id)
    await attach(
        uow,
        [file.id for file in message.files],
        actor.id,
        cmd.conversation_id,
        [role_room(Role.ADMIN)],
    )
    return await _change(
        uow,
        message,
        text="",
        files=(),
        terms=(),
        reactions=(),
        deleted_at=uow.now,
        history=(*message.history, _said(uow, message)),
    )


@operation("chat.react", roles=PARTIES)
async def react(cmd: React, actor: Actor, uow: UnitOfWork) -> Message:
    """Put an emoji to a message, or take it back. Raises NotFound, Blocked, Conflict."""
    await _open(uow, cmd.conversation_id, actor.id)
    message = await _standing(uow, cmd, {"$ne": SYSTEM})
    people = {reaction.emoji: reaction.user_ids for reaction in message.reactions}
    others = tuple(user for user in people.get(cmd.emoji, ()) if user != actor.id)
    people[cmd.emoji] = (*others, actor.id) if cmd.on else others
    reactions = tuple(Reaction(emoji, users) for emoji, users in people.items() if users)
    if len(reactions) > MAX_EMOJIS:
        raise Conflict("This message has enough reactions.")
    if reactions == message.reactions:
        return message
    return await _change(uow, message, reactions=reactions)


async def _standing(uow: UnitOfWork, cmd: ById, author: Any) -> Message:
    """One that was not deleted. Raises NotFound."""
    return await uow.get(
        Message,
        cmd.message_id,
        conversation_id=cmd.conversation_id,
        deleted_at=None,
        author_id=author,
    )


def _said(uow: UnitOfWork, message: Message) -> Said:
    return Said(message.text, uow.now, message.files)


def _kept(uow: UnitOfWork, message: Message) -> tuple[Said, ...]:
    """What it has said until now. Raises Conflict."""
    if len(message.history) >= MAX_CHANGES:
        raise Conflict("This message was changed too often: write a new one.")
    return (*message.history, _said(uow, message))


async def _change(uow: UnitOfWork, message: Message, **fields: Any) -> Message:
    """Under the conversation's next revision, which is how `sync` finds it; both are told.

    Raises Conflict.
    """
    conversation = await uow.change(Conversation, message.conversation_id, inc={"revision": 1})
    if conversation is None:
        raise NotFound
    changed = await uow.change(
        Message,
        message.id,
        only_if={"version": message.version},
        revision=conversation.revision,
        **fields,
    )
    if changed is None:
        raise Conflict
    if conversation.last_message and conversation.last_message.seq == changed.seq:
        await uow.change(Conversation, conversation.id, last_message=changed.preview)
    uow.publish(MESSAGE, changed, to=conversation.members, seq=changed.seq)
    return changed


# -- looking for it --------------------------------------------------------------------------


@operation("chat.search", roles=PARTIES, style=Style.READ)
async def find(cmd: Search, actor: Actor, uow: UnitOfWork) -> Page:
    """Messages with all the words, newest first, in one or all of one's own conversations.

    Raises NotFound.
    """
    if cmd.conversation_id:
        places = [await uow.get(Conversation, cmd.conversation_id, members=actor.id)]
    else:
        places = await uow.all(Conversation, {"members": actor.id}, RECENT, SEARCHED)
    words = text_search.query_terms(cmd.q)
    if not words or not places:
        return Page([])
    where = {
        "conversation_id": tuple(place.id for place in places),
        "terms": words[0] if len(words) == 1 else {"$all": list(words)},
    }
    return await uow.page(Message, where, cursor=cmd.cursor, limit=cmd.limit)
