"""Chat: the numbered messages of a customer and a contractor about one job.

A conversation hands out its own numbers inside the transaction (two people write to it, so the
counter is cheap), without gaps: a client that sees a jump asks `sync`. Who may start one is
`introductions.py`'s rule, so that this file knows nothing of applications.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.accounts import User
from domain.errors import Conflict, Invalid, NotFound, RequestIdReused
from domain.operation import PARTIES, Actor, Command, Id, PageSize, Style, operation
from domain.outbox import Event
from domain.receipts import silent, veiled
from domain.record import Index, Page, Record
from domain.store import NEWEST, UnitOfWork, new_id

MESSAGE = Event("/chat", "message")
READ = Event("/chat", "read")

PREVIEW = 200  # characters of the last message that lists show
SYNC_ITEMS = 200  # messages in one answer of `sync`, over all its conversations

Seq = Annotated[int, Limits(ge=0, le=2**53)]


class LastMessage(msgspec.Struct, frozen=True):
    """What a list shows of the newest message; `text` is cut after PREVIEW characters."""

    seq: int
    author_id: str
    text: str
    at: datetime


class Conversation(Record, frozen=True):
    """One customer and one contractor about one job.

    `head` is the number of the newest message, `read` how far each member has read. `active_at`
    orders lists: unlike `updated_at` it does not move when somebody reads.
    """

    COLLECTION = "conversations"
    PREFIX = "cnv"
    INDEXES = (
        Index((("job_id", 1), ("contractor_id", 1)), unique=True),
        Index((("members", 1), ("active_at", -1), ("_id", -1))),
    )

    job_id: str
    job_title: str
    customer_id: str
    contractor_id: str
    members: tuple[str, ...]
    names: dict[str, str]
    active_at: datetime
    head: int = 0
    last_message: LastMessage | None = None
    read: dict[str, int] = {}

    def seen_by(self, user_id: str) -> "SeenConversation":
        unread = self.head - self.read.get(user_id, 0)
        return SeenConversation(**msgspec.structs.asdict(self), unread=unread)


class SeenConversation(Conversation, frozen=True, kw_only=True):
    """A conversation in the eyes of one member."""

    unread: int


class Message(Record, frozen=True):
    """Number `seq` of a conversation. An author's `client_id` is used once."""

    COLLECTION = "messages"
    PREFIX = "msg"
    INDEXES = (
        Index((("conversation_id", 1), ("seq", 1)), unique=True),
        Index((("author_id", 1), ("client_id", 1)), unique=True, where={"client_id": {"$gt": ""}}),
    )

    conversation_id: str
    author_id: str
    seq: int
    text: str
    client_id: str | None = None


class Receipt(msgspec.Struct, frozen=True):
    """A member has read everything up to `seq`."""

    conversation_id: str
    user_id: str
    seq: int


class Stretch(msgspec.Struct, frozen=True):
    """Consecutive messages, ascending; there are more while the last is below `head`."""

    items: list[Message]
    head: int


class Synced(msgspec.Struct, frozen=True):
    conversations: dict[str, Stretch]


class List(Command, frozen=True):
    cursor: Annotated[str, Limits(max_length=300)] | None = None
    limit: PageSize = 20


class Send(Command, frozen=True):
    """`client_id` is the client's own name for the message, so that sending it again is safe."""

    conversation_id: Id
    text: Annotated[str, Limits(min_length=1, max_length=4000, pattern=r"\S")]
    client_id: Id | None = None


class History(Command, frozen=True):
    """The newest messages, those before `before_seq`, or those from `after_seq` on."""

    conversation_id: Id
    before_seq: Seq | None = None
    after_seq: Seq | None = None
    limit: PageSize = 50


class Sync(Command, frozen=True):
    """The last number that the client has of each conversation."""

    conversations: Annotated[dict[Id, Seq], Limits(max_length=100)]


class Read(Command, frozen=True):
    conversation_id: Id
    seq: Seq


async def open_between(
    uow: UnitOfWork, *, job_id: str, job_title: str, customer_id: str, contractor_id: str
) -> Conversation:
    """The conversation of both about this job, created if it is not there yet."""
    there = await uow.find(Conversation, {"job_id": job_id, "contractor_id": contractor_id})
    if there:
        return there
    members = (customer_id, contractor_id)
    conversation = Conversation(
        id=new_id(Conversation.PREFIX), created_at=uow.now, updated_at=uow.now, job_id=job_id,
        job_title=job_title, customer_id=customer_id, contractor_id=contractor_id, members=members,
        names={user.id: user.name for user in await uow.all(User, {"_id": members})},
        active_at=uow.now, read=dict.fromkeys(members, 0),
    )  # fmt: skip
    await uow.add(conversation)
    return conversation


@operation("chat.list", roles=PARTIES, style=Style.READ)
async def list_(cmd: List, actor: Actor, uow: UnitOfWork) -> Page:
    """Own conversations with what is unread, the most recently active first."""
    page = await uow.page(
        Conversation, {"members": actor.id}, sort=(("active_at", -1), *NEWEST),
        cursor=cmd.cursor, limit=cmd.limit,
    )  # fmt: skip
    seen = [found.seen_by(actor.id) for found in page.items]
    return Page(await veiled(uow, actor.id, seen), page.next_cursor)


@operation("chat.send", roles=PARTIES)
async def send(cmd: Send, actor: Actor, uow: UnitOfWork) -> Message:
    """Say something to the other member; own words count as read.

    Raises NotFound, RequestIdReused when `client_id` names a message elsewhere.
    """
    conversation = await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    sent = await _sent_before(uow, cmd, actor)
    if sent:
        return sent
    message = Message(
        id=new_id(Message.PREFIX), created_at=uow.now, updated_at=uow.now,
        conversation_id=conversation.id, author_id=actor.id, seq=conversation.head + 1,
        text=cmd.text, client_id=cmd.client_id,
    )  # fmt: skip
    counted = await uow.change(
        Conversation, conversation.id, only_if={"head": conversation.head}, head=message.seq,
        active_at=uow.now, last_message=_last(message), **_mark(actor.id, message.seq),
    )  # fmt: skip
    if counted is None:
        raise Conflict
    await uow.add(message)
    uow.publish(MESSAGE, message, to=conversation.members, seq=message.seq)
    return message


@operation("chat.history", roles=PARTIES, style=Style.READ)
async def history(cmd: History, actor: Actor, uow: UnitOfWork) -> Stretch:
    """Raises NotFound."""
    conversation = await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    bounds = {"$gt": cmd.after_seq or 0}
    if cmd.before_seq is not None:
        bounds["$lt"] = cmd.before_seq
    forward = cmd.after_seq is not None
    items = await uow.all(
        Message, {"conversation_id": conversation.id, "seq": bounds},
        (("seq", 1 if forward else -1),), cmd.limit,
    )  # fmt: skip
    return _stretch(conversation, items if forward else items[::-1])


@operation("chat.sync", roles=PARTIES, style=Style.READ)
async def sync(cmd: Sync, actor: Actor, uow: UnitOfWork) -> Synced:
    """What was missed in each conversation, without gaps; ask again while an end is below `head`.

    Raises NotFound, naming the conversations that are not the caller's.
    """
    known = cmd.conversations
    own = await uow.all(Conversation, {"_id": tuple(known), "members": actor.id})
    if len(own) < len(known):
        raise NotFound(conversations=sorted(known.keys() - {found.id for found in own}))
    behind = {found.id: known[found.id] for found in own if found.head > known[found.id]}
    missed = await _missed(uow, behind)
    return Synced({found.id: _stretch(found, missed[found.id]) for found in own})


@operation("chat.read", roles=PARTIES)
async def read(cmd: Read, actor: Actor, uow: UnitOfWork) -> Receipt:
    """Move one's own mark forward; a lower number changes nothing.

    Raises NotFound, Invalid beyond the newest message.
    """
    conversation = await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    if cmd.seq > conversation.head:
        raise Invalid("seq: there is no such message yet.", field="seq", head=conversation.head)
    moved = await uow.change(
        Conversation, conversation.id, only_if=_mark(actor.id, {"$lt": cmd.seq}),
        **_mark(actor.id, cmd.seq),
    )  # fmt: skip
    receipt = Receipt(conversation.id, actor.id, (moved or conversation).read[actor.id])
    if moved:
        quiet = await silent(uow, moved.members)
        uow.publish(READ, receipt, to=[actor.id] if quiet else moved.members)
    return receipt


async def _sent_before(uow: UnitOfWork, cmd: Send, actor: Actor) -> Message | None:
    """Two that arrive at once both write the conversation, so one of them reruns and finds it."""
    if cmd.client_id is None:
        return None
    sent = await uow.find(Message, {"author_id": actor.id, "client_id": cmd.client_id})
    if sent and sent.conversation_id != cmd.conversation_id:
        raise RequestIdReused("client_id: it names a message in another conversation.")
    return sent


async def _missed(uow: UnitOfWork, after: Mapping[str, int]) -> Mapping[str, list[Message]]:
    """In one query, ordered so that a cut at the limit leaves every list without gaps."""
    missed: dict[str, list[Message]] = defaultdict(list)
    if after:
        branches: list[dict[str, Any]] = [
            {"conversation_id": id, "seq": {"$gt": seq}} for id, seq in after.items()
        ]
        order = (("conversation_id", 1), ("seq", 1))
        for message in await uow.all(Message, {"$or": branches}, order, SYNC_ITEMS):
            missed[message.conversation_id].append(message)
    return missed


def _stretch(conversation: Conversation, items: list[Message]) -> Stretch:
    """A message may have come between reading the head and reading the items."""
    return Stretch(items, max(conversation.head, items[-1].seq if items else 0))


def _mark(user_id: str, seq: Any) -> dict[str, Any]:
    return {f"read.{user_id}": seq}


def _last(message: Message) -> LastMessage:
    return LastMessage(message.seq, message.author_id, message.text[:PREVIEW], message.created_at)
