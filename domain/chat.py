"""Chat: the numbered messages of a customer and a contractor about one job.

A conversation's messages have its own numbers, without gaps: a client that sees a jump asks `sync`.
`writing.py` gives them. What is changed later keeps its number and takes the conversation's next
`revision`, so that `sync` also finds what was edited while a client was away. Who may start a
conversation is `introductions.py`'s rule, so that this file knows nothing of applications.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta as Limits

from domain.accounts import User
from domain.files import Attachment
from domain.kernel import documents
from domain.kernel.actor import PARTIES, Actor
from domain.kernel.errors import Invalid, NotFound
from domain.kernel.outbox import Event
from domain.kernel.record import Index, Page, Record
from domain.kernel.store import NEWEST, UnitOfWork, new_id
from domain.operations.command import Command, Id, PageSize, Style
from domain.operations.operation import operation
from domain.receipts import silent, veiled

MESSAGE = Event("/chat", "message")
READ = Event("/chat", "read")

SYSTEM = "system"  # the author of what the platform says
PREVIEW = 200  # characters of the last message that lists show
SYNC_ITEMS = 200  # messages in one answer of `sync`, over all its conversations

RECENT = (("active_at", -1), *NEWEST)

Seq = Annotated[int, Limits(ge=0, le=2**53)]


class LastMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a list shows of the newest message; `text` is cut after PREVIEW characters.

    `seq` and `revision` come first: MongoDB compares documents field by field, so that the later
    one is the greater.
    """

    seq: int
    revision: int = 0  # rows of earlier versions have none
    author_id: str
    text: str
    at: datetime


class Conversation(Record, frozen=True):
    """One customer and one contractor about one job.

    `head` is the number of the newest message (it may lag behind the messages, but is never ahead
    of them), `read` how far each member has read, `revision` the number of the last change of a
    message. `blocked_by` has refused the other. `active_at` orders lists: unlike `updated_at` it
    does not move when somebody reads.
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
    revision: int = 0
    blocked_by: tuple[str, ...] = ()

    def seen_by(self, user_id: str) -> "SeenConversation":
        unread = self.head - self.read.get(user_id, 0)
        return SeenConversation(**msgspec.structs.asdict(self), unread=unread)


class SeenConversation(Conversation, frozen=True, kw_only=True):
    """A conversation in the eyes of one member."""

    unread: int


class Answered(msgspec.Struct, frozen=True):
    """Which message another one answers: not its text, which may be changed or taken back."""

    id: str
    seq: int
    author_id: str


class Reaction(msgspec.Struct, frozen=True):
    emoji: str
    user_ids: tuple[str, ...]


class Said(msgspec.Struct, frozen=True):
    """What a message said until it was changed."""

    text: str
    until: datetime
    files: tuple[Attachment, ...] = ()


class Origin(msgspec.Struct, frozen=True):
    """As whom and from where a message was sent."""

    role: str
    session_id: str
    address: str


class Request(msgspec.Struct, frozen=True):
    """The request id a message was sent with; `fingerprint` is of the fields."""

    id: str
    fingerprint: str


class Message(Record, frozen=True):
    """Number `seq` of a conversation. An author's `client_id` is used once.

    `kind` is `text`, or in the platform's own messages what has happened to `subject_id`, such as
    `offer.created`, as the deed of the user `by`. `revision` is the conversation's number of its
    last change, 0 before any. A deleted one stays, without its content. `history` keeps what was
    said before changes, for disputes; `terms` are the words it is found by. `request` stays for as
    long as a request id does; `origin` is for the audit trail.
    """

    COLLECTION = "messages"
    PREFIX = "msg"
    INDEXES = (
        Index((("conversation_id", 1), ("seq", 1)), unique=True),
        Index((("author_id", 1), ("client_id", 1)), unique=True, where={"client_id": {"$gt": ""}}),
        Index(
            (("author_id", 1), ("request.id", 1)), unique=True, where={"request.id": {"$gt": ""}}
        ),
        Index((("request.id", 1), ("created_at", 1)), where={"request.id": {"$gt": ""}}),
        Index((("conversation_id", 1), ("revision", 1)), where={"revision": {"$gt": 0}}),
        Index((("conversation_id", 1), ("terms", 1), ("_id", -1))),
    )
    PRIVATE = frozenset({"history", "terms", "request", "origin"})

    conversation_id: str
    author_id: str
    seq: int
    text: str
    files: tuple[Attachment, ...] = ()
    client_id: str | None = None
    kind: str = "text"
    subject_id: str | None = None
    by: str | None = None
    reply_to: Answered | None = None
    reactions: tuple[Reaction, ...] = ()
    edited_at: datetime | None = None
    deleted_at: datetime | None = None
    revision: int = 0
    history: tuple[Said, ...] = ()
    terms: tuple[str, ...] = ()
    request: Request | None = None
    origin: Origin | None = None

    @property
    def preview(self) -> LastMessage:
        said = self.text or ", ".join(file.name for file in self.files)
        return LastMessage(
            seq=self.seq,
            revision=self.revision,
            author_id=self.author_id,
            text=said[:PREVIEW],
            at=self.created_at,
        )


class Draft(msgspec.Struct, frozen=True):
    """A message before it has a number; `reply_to` is the id of the one it answers."""

    conversation_id: str
    author_id: str
    text: str = ""
    files: tuple[Attachment, ...] = ()
    client_id: str | None = None
    reply_to: str | None = None
    kind: str = "text"
    subject_id: str | None = None
    by: str | None = None
    origin: Origin | None = None
    request: Request | None = None

    def is_of(self, message: Message) -> bool:
        """Whether the message, as it was first, says the same in the same place."""
        first = message.history[0] if message.history else message
        answered = message.reply_to.id if message.reply_to else None
        return (self.conversation_id, self.text, self.files, self.reply_to) == (
            message.conversation_id,
            first.text,
            first.files,
            answered,
        )


class Posts(Protocol):
    """Where messages are written together, see `writing.py`."""

    def post(self, draft: Draft) -> Awaitable[Any]:
        """Fix the place of a message among those that wait, and await the message.

        Raises Unavailable at once when there is no place, and otherwise when awaited what a
        message can be refused with.
        """
        ...

    async def push(self, message: Message, to: Sequence[str]) -> None: ...


class Receipt(msgspec.Struct, frozen=True):
    """A member has read everything up to `seq`."""

    conversation_id: str
    user_id: str
    seq: int


class Stretch(msgspec.Struct, frozen=True):
    """Consecutive messages, ascending; there are more while the last is below `head`."""

    items: list[Message]
    head: int


class Changes(msgspec.Struct, frozen=True):
    """Messages changed since, ascending by revision; there are more while the last's is below
    `revision`."""

    items: list[Message]
    revision: int


class Synced(msgspec.Struct, frozen=True):
    """`changes` of the conversations whose revisions were given."""

    conversations: dict[str, Stretch]
    changes: dict[str, Changes]


class List(Command, frozen=True):
    cursor: Annotated[str, Limits(max_length=300)] | None = None
    limit: PageSize = 20


class History(Command, frozen=True):
    """The newest messages, those before `before_seq`, or those from `after_seq` on."""

    conversation_id: Id
    before_seq: Seq | None = None
    after_seq: Seq | None = None
    limit: PageSize = 50


class Sync(Command, frozen=True):
    """The last number that the client has of each conversation, and the last revision."""

    conversations: Annotated[dict[Id, Seq], Limits(max_length=100)]
    revisions: Annotated[dict[Id, Seq], Limits(max_length=100)] = {}


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
    before = await uow.find(Conversation, {"members": {"$all": list(members)}}, RECENT)
    if before:  # written, so that of this and a block in the same moment one sees the other
        await uow.change(Conversation, before.id)
    conversation = Conversation(
        id=new_id(Conversation.PREFIX),
        created_at=uow.now,
        updated_at=uow.now,
        job_id=job_id,
        job_title=job_title,
        customer_id=customer_id,
        contractor_id=contractor_id,
        members=members,
        names={user.id: user.name for user in await uow.all(User, {"_id": members})},
        active_at=uow.now,
        read=dict.fromkeys(members, 0),
        blocked_by=before.blocked_by if before else (),
    )
    await uow.add(conversation)
    return conversation


@operation("chat.list", roles=PARTIES, style=Style.READ)
async def list_(cmd: List, actor: Actor, uow: UnitOfWork) -> Page:
    """Own conversations with what is unread, the most recently active first."""
    page = await uow.page(
        Conversation,
        {"members": actor.id},
        sort=RECENT,
        cursor=cmd.cursor,
        limit=cmd.limit,
    )
    seen = [found.seen_by(actor.id) for found in page.items]
    return Page(await veiled(uow, actor.id, seen), page.next_cursor)


@operation("chat.history", roles=PARTIES, style=Style.READ)
async def history(cmd: History, actor: Actor, uow: UnitOfWork) -> Stretch:
    """Raises NotFound."""
    conversation = await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    return await around(uow, conversation, cmd.before_seq, cmd.after_seq, cmd.limit)


async def around(
    uow: UnitOfWork, conversation: Conversation, before: int | None, after: int | None, limit: int
) -> Stretch:
    """The newest messages, those before a number, or those from one on."""
    bounds = {"$gt": after or 0}
    if before is not None:
        bounds["$lt"] = before
    forward = after is not None
    items = await uow.all(
        Message,
        {"conversation_id": conversation.id, "seq": bounds},
        (("seq", 1 if forward else -1),),
        limit,
    )
    return _stretch(conversation, items if forward else items[::-1])


@operation("chat.sync", roles=PARTIES, style=Style.READ)
async def sync(cmd: Sync, actor: Actor, uow: UnitOfWork) -> Synced:
    """What was missed in each conversation, without gaps; ask again while an end is below `head`
    or `revision`.

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
        _missed(uow, "seq", behind), _missed(uow, "revision", before)
    )
    return Synced(
        {id: _stretch(own[id], missed[id]) for id in known},
        {id: Changes(changed[id], own[id].revision) for id in revised},
    )


@operation("chat.read", roles=PARTIES)
async def read(cmd: Read, actor: Actor, uow: UnitOfWork) -> Receipt:
    """Move one's own mark forward; a lower number changes nothing.

    Raises NotFound, Invalid beyond the newest message.
    """
    conversation = await uow.get(Conversation, cmd.conversation_id, members=actor.id)
    if cmd.seq > conversation.head:
        raise Invalid("seq: there is no such message yet.", field="seq", head=conversation.head)
    moved = await uow.change(
        Conversation,
        conversation.id,
        only_if=mark(actor.id, {"$lt": cmd.seq}),
        **mark(actor.id, cmd.seq),
    )
    receipt = Receipt(conversation.id, actor.id, (moved or conversation).read[actor.id])
    if moved:
        quiet = await silent(uow, moved.members)
        uow.publish(READ, receipt, to=[actor.id] if quiet else moved.members)
    return receipt


async def _missed(
    uow: UnitOfWork, number: str, after: Mapping[str, int]
) -> Mapping[str, list[Message]]:
    """In one query, ordered so that a cut at the limit leaves every list without gaps."""
    missed: dict[str, list[Message]] = defaultdict(list)
    if after:
        branches: list[dict[str, Any]] = [
            {"conversation_id": id, number: {"$gt": last}} for id, last in after.items()
        ]
        order = (("conversation_id", 1), (number, 1))
        for message in await uow.all(Message, documents.either(branches), order, SYNC_ITEMS):
            missed[message.conversation_id].append(message)
    return missed


def _stretch(conversation: Conversation, items: list[Message]) -> Stretch:
    """A message may have come between reading the head and reading the items."""
    return Stretch(items, max(conversation.head, items[-1].seq if items else 0))


def mark(user_id: str, seq: Any) -> dict[str, Any]:
    return {f"read.{user_id}": seq}
