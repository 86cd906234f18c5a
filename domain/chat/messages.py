"""Sending, editing, deleting, reacting to and searching messages."""

from datetime import timedelta
from typing import Annotated, Any

from domain.chat.conversation import (
    MAX_CHANGED_BYTES,
    MAX_CHANGES,
    MAX_EMOJIS,
    MESSAGE,
    RECENT,
    SYSTEM,
    Conversation,
    Draft,
    EarlierContent,
    Message,
    Origin,
    Reaction,
    Request,
)
from domain.chat.emoji import MAX_LENGTH, is_emoji, one_form
from domain.chat.reach import check_writable
from domain.chat.search_terms import message_terms, query_terms
from domain.files.file import Attachment, FileIds, attach
from domain.kernel.actor import PARTIES, Actor, Role
from domain.kernel.errors import (
    Blocked,
    Conflict,
    Invalid,
    NotFound,
    RequestIdReused,
    RequestInProgress,
    Rule,
)
from domain.kernel.fields import about, expected
from domain.kernel.record import Page
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import line, prose
from domain.operations.command import (
    Command,
    Cursor,
    Id,
    Meta,
    PageSize,
    Style,
)
from domain.operations.idempotency import fingerprint
from domain.operations.limits import Limit
from domain.operations.normalization import Normalized
from domain.operations.operation import operation
from domain.ports.ports import Ports

EDITABLE = timedelta(hours=24)  # then the other member may rely on the text
SEARCHED = 200  # conversations, the most recently active ones; MongoDB merges no more by an index

Text = Annotated[str, prose(4000)]


class Send(Command, frozen=True):
    """Text, files or both. `client_id` makes a resend safe: the client's own id of the message.
    `reply_to` is the id of a message of the same conversation."""

    UNLOGGED = frozenset({"text"})

    conversation_id: Annotated[Id, about("The id of the conversation.")]
    text: Annotated[Text | None, about("The text; may be left out if there are files.")] = None
    file_ids: Annotated[FileIds, about("The ids of uploaded files.")] = ()
    reply_to: Annotated[Id | None, about("The id of the message that it answers.")] = None
    client_id: Annotated[
        Id | None,
        about("An id that the client chooses, once for each message: with it, repeating is safe."),
    ] = None


Emoji = Annotated[
    str, expected("One emoji.", min_length=1, max_length=MAX_LENGTH), Normalized(one_form)
]


class ById(Command, frozen=True):
    conversation_id: Annotated[Id, about("The id of the conversation.")]
    message_id: Annotated[Id, about("The id of the message.")]


class Edit(ById, frozen=True):
    UNLOGGED = frozenset({"text"})

    text: Annotated[Text, about("The new text.")]


class React(ById, frozen=True):
    """`on` false removes the caller's own reaction."""

    UNLOGGED = frozenset({"emoji"})

    emoji: Annotated[Emoji, about("One emoji.")]
    on: Annotated[bool, about("Whether to add it or to remove it.")] = True


class Search(Command, frozen=True):
    PERSONAL = frozenset({"q"})

    q: Annotated[str, line(200), about("Words that all must occur.")]
    conversation_id: Annotated[Id | None, about("Only this conversation.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation(
    "chat.send",
    roles=PARTIES,
    style=Style.DIRECT,
    pipelined=True,
    limits=(Limit(120, 6),),
    errors=(Blocked, Conflict, NotFound, RequestIdReused, RequestInProgress),
)
async def send(cmd: Send, actor: Actor, ports: Ports, meta: Meta) -> Message:
    """Send a message to the other member. It is read by its author if all messages before it are.

    Raises Invalid without text and files, NotFound (also when the other account is deleted),
    Conflict for files of something else, Blocked, RequestIdReused when `client_id` names another
    message, RequestInProgress, Unavailable.
    """
    if cmd.text is None and not cmd.file_ids:
        raise Invalid("write a text, or attach files.", field="text", rule=Rule.REQUIRED)
    files = await _attach_files(cmd, actor, ports)
    request = None
    if meta.request_id:
        hash_of_fields = fingerprint("chat.send", cmd)
        request = Request(meta.request_id, hash_of_fields)
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


async def _attach_files(cmd: Send, actor: Actor, ports: Ports) -> tuple[Attachment, ...]:
    """Attach the files before the message is pushed, so its recipients can read them."""

    async def work(uow: UnitOfWork) -> tuple[Attachment, ...]:
        conversation = await _get_writable(uow, cmd.conversation_id, actor.id)
        return await attach(uow, cmd.file_ids, actor.id, conversation.id, conversation.members)

    return await ports.store.transact(work) if cmd.file_ids else ()


async def _get_writable(uow: UnitOfWork, conversation_id: str, member: str) -> Conversation:
    """A conversation that the member may write to. Raises NotFound, Blocked."""
    conversation = await uow.get(Conversation, conversation_id, members=member)
    check_writable(conversation)
    return conversation


# -- changing messages -----------------------------------------------------------------------


@operation("chat.edit", roles=PARTIES, errors=(Blocked, NotFound))
async def edit(cmd: Edit, actor: Actor, uow: UnitOfWork) -> Message:
    """Change the text. Raises NotFound, Blocked, Conflict too late or after too many changes."""
    await _get_writable(uow, cmd.conversation_id, actor.id)
    message = await _get_undeleted(uow, cmd, actor.id)
    if message.text == cmd.text:
        return message
    if uow.now - message.created_at > EDITABLE:
        raise Conflict("A message can be changed for a day: write a new one.")
    return await _change_message(
        uow,
        message,
        text=cmd.text,
        terms=message_terms(cmd.text),
        edited_at=uow.now,
        history=_append_history(uow, message),
    )


@operation("chat.delete", roles=PARTIES, errors=(NotFound,))
async def delete(cmd: ById, actor: Actor, uow: UnitOfWork) -> Message:
    """Delete the content; the number stays, and disputes keep the content. Raises NotFound."""
    await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    return await delete_content(uow, await _get_undeleted(uow, cmd, actor.id))


async def delete_content(uow: UnitOfWork, message: Message) -> Message:
    """Delete what a message says; only its history keeps it. Raises Conflict."""
    await attach(
        uow,
        [file.id for file in message.files],
        message.author_id,
        message.conversation_id,
        [role_room(Role.ADMIN)],
    )
    return await _change_message(
        uow,
        message,
        text="",
        files=(),
        terms=(),
        reactions=(),
        deleted_at=uow.now,
        history=(*message.history, _current_content(uow, message)),
    )


@operation("chat.react", roles=PARTIES, errors=(Blocked, NotFound))
async def react(cmd: React, actor: Actor, uow: UnitOfWork) -> Message:
    """Add an emoji to a message, or remove it. Raises Invalid, NotFound, Blocked, Conflict.

    What is no emoji can only be removed: older reactions may be words.
    """
    if cmd.on and not is_emoji(cmd.emoji):
        raise Invalid("choose one emoji.", field="emoji", rule=Rule.VALUE)
    await _get_writable(uow, cmd.conversation_id, actor.id)
    message = await _get_undeleted(uow, cmd, {"$ne": SYSTEM})
    people: dict[str, tuple[str, ...]] = {}
    for reaction in message.reactions:  # older ones may be in another form
        emoji = one_form(reaction.emoji)
        people[emoji] = tuple(dict.fromkeys((*people.get(emoji, ()), *reaction.user_ids)))
    others = tuple(user for user in people.get(cmd.emoji, ()) if user != actor.id)
    people[cmd.emoji] = (*others, actor.id) if cmd.on else others
    reactions = tuple(Reaction(emoji, users) for emoji, users in people.items() if users)
    if len(reactions) > MAX_EMOJIS:
        raise Conflict("This message has enough reactions.")
    if reactions == message.reactions:
        return message
    return await _change_message(uow, message, reactions=reactions)


async def _get_undeleted(uow: UnitOfWork, cmd: ById, author: Any) -> Message:
    """A message that is not deleted. Raises NotFound."""
    return await uow.get(
        Message,
        cmd.message_id,
        conversation_id=cmd.conversation_id,
        deleted_at=None,
        author_id=author,
    )


def _current_content(uow: UnitOfWork, message: Message) -> EarlierContent:
    return EarlierContent(message.text, uow.now, message.files)


def _append_history(uow: UnitOfWork, message: Message) -> tuple[EarlierContent, ...]:
    """The history with the current content added. Raises Conflict."""
    size = sum(len(earlier.text.encode()) for earlier in message.history)
    if len(message.history) >= MAX_CHANGES or size > MAX_CHANGED_BYTES:
        raise Conflict("This message was changed too often: write a new one.")
    return (*message.history, _current_content(uow, message))


async def _change_message(uow: UnitOfWork, message: Message, **fields: Any) -> Message:
    """Change a message under the conversation's next revision, and push it to both members.

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


# -- search ----------------------------------------------------------------------------------


@operation("chat.search", roles=PARTIES, style=Style.READ, errors=(NotFound,))
async def find(cmd: Search, actor: Actor, uow: UnitOfWork) -> Page[Message]:
    """Messages with all the words, newest first, in one or all of one's own conversations.

    Of all, the 200 that were active last are searched.

    Raises NotFound.
    """
    if cmd.conversation_id:
        places = [await uow.get(Conversation, cmd.conversation_id, members=actor.id)]
    else:
        places = await uow.all(Conversation, {"members": actor.id}, RECENT, SEARCHED)
    words = query_terms(cmd.q)
    if not words or not places:
        return Page([])
    rarest, *others = [{"terms": {"$in": list(word)}} for word in words]
    where: dict[str, Any] = {"conversation_id": tuple(place.id for place in places), **rarest}
    if others:
        where["$and"] = others
    return await uow.page(Message, where, cursor=cmd.cursor, limit=cmd.limit)
