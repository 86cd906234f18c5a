"""Chat: the numbered messages of a customer and a contractor about one job.

Messages are numbered in each conversation without gaps; a client that sees a gap calls `sync`.
`group_commit.py` assigns the numbers. A changed message keeps its number and takes the
conversation's next `revision`, so `sync` also finds edits that a client missed. The rule who may
start a conversation is in `jobs/conversations.py`, so this package does not depend on jobs.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta as Limits

from domain.accounts.user import User
from domain.files.file import MAX_ATTACHED, Attachment
from domain.kernel.bounds import Bounded
from domain.kernel.outbox import Event
from domain.kernel.record import Index, Record
from domain.kernel.store import NEWEST, UnitOfWork

MESSAGE = Event("/chat", "message")

SYSTEM = "system"  # the author of the platform's messages
PREVIEW = 200  # characters of the last message that lists show
MAX_CHANGES, MAX_CHANGED_BYTES = 50, 64 * 1024  # of one message
MAX_EMOJIS = 20  # of one message
MAX_TERMS = 60  # distinct words of one message that search finds

RECENT = (("active_at", -1), *NEWEST)

Seq = Annotated[int, Limits(ge=0, le=2**53)]


class LastMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a list shows of the newest message; `text` is cut after PREVIEW characters.

    `seq` and `revision` come first: MongoDB compares documents field by field, and `$max` keeps the
    later message.
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
    message, `blocked_by` the members who block the other. `active_at` orders lists: unlike
    `updated_at` it does not change when a member reads.
    """

    COLLECTION = "conversations"
    PREFIX = "cnv"
    INDEXES = (
        Index((("job_id", 1), ("contractor_id", 1)), unique=True),
        Index((("members", 1), ("active_at", -1), ("_id", -1))),
    )
    UNLOGGED = frozenset({"last_message"})
    ENCRYPTED_MESSAGES = frozenset({"last_message.text"})

    job_id: str
    job_title: str
    customer_id: str
    contractor_id: str
    members: Annotated[tuple[str, ...], Bounded(2)]
    names: Annotated[dict[str, str], Bounded(2)]
    active_at: datetime
    head: int = 0
    last_message: LastMessage | None = None
    read: Annotated[dict[str, int], Bounded(2)] = {}
    revision: int = 0
    blocked_by: Annotated[tuple[str, ...], Bounded(2)] = ()

    def seen_by(self, user_id: str) -> "SeenConversation":
        unread = self.head - self.read.get(user_id, 0)
        return SeenConversation(**msgspec.structs.asdict(self), unread=unread)


class SeenConversation(Conversation, frozen=True, kw_only=True):
    """A conversation as one member sees it."""

    unread: int


class ReplyTarget(msgspec.Struct, frozen=True):
    """The message that a reply answers, without its text, which may be edited or deleted."""

    id: str
    seq: int
    author_id: str


class Reaction(msgspec.Struct, frozen=True):
    emoji: str
    user_ids: Annotated[tuple[str, ...], Bounded(2)]


class EarlierContent(msgspec.Struct, frozen=True):
    """The content of a message before a change."""

    text: str
    until: datetime
    files: Annotated[tuple[Attachment, ...], Bounded(MAX_ATTACHED)] = ()


class Origin(msgspec.Struct, frozen=True):
    """The role, session and address that a message was sent from, for the audit trail."""

    role: str
    session_id: str
    address: str


class Request(msgspec.Struct, frozen=True):
    """The request id of a message; `fingerprint` is the hash of the command's fields."""

    id: str
    fingerprint: str


class Message(Record, frozen=True):
    """Number `seq` of a conversation. An author's `client_id` is used once.

    `kind` is `text`, or in system messages the event of `subject_id`, such as `offer.created`,
    caused by the user `by`. `revision` is the conversation's revision of its last change, 0 before
    any. A deleted message keeps its row without content. `history` keeps earlier content for
    disputes, `terms` the words that search finds it by. `request` is removed after REPLY_KEPT.
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
        Index(
            (("conversation_id", 1), ("terms_digest", 1), ("_id", -1)),
            where={"terms_digest": {"$gt": ""}},
        ),
    )
    PRIVATE = frozenset({"history", "terms", "request", "origin"})
    UNLOGGED = frozenset(
        {"text", "history", "terms", "files", "reply_to", "reactions", "request", "origin"}
    )
    ENCRYPTED = frozenset({"origin"})
    ENCRYPTED_MESSAGES = frozenset({"text", "history", "terms"})
    LOOKUP = frozenset({"terms"})

    conversation_id: str
    author_id: str
    seq: int
    text: str
    files: Annotated[tuple[Attachment, ...], Bounded(MAX_ATTACHED)] = ()
    client_id: str | None = None
    kind: str = "text"
    subject_id: str | None = None
    by: str | None = None
    reply_to: ReplyTarget | None = None
    reactions: Annotated[tuple[Reaction, ...], Bounded(MAX_EMOJIS)] = ()
    edited_at: datetime | None = None
    deleted_at: datetime | None = None
    revision: int = 0
    history: Annotated[tuple[EarlierContent, ...], Bounded(MAX_CHANGES + 1)] = ()
    terms: Annotated[tuple[str, ...], Bounded(MAX_TERMS)] = ()
    request: Request | None = None
    origin: Origin | None = None

    @property
    def preview(self) -> LastMessage:
        text = self.text or ", ".join(file.name for file in self.files)
        return LastMessage(
            seq=self.seq,
            revision=self.revision,
            author_id=self.author_id,
            text=text[:PREVIEW],
            at=self.created_at,
        )


class Draft(msgspec.Struct, frozen=True):
    """A message before it has a number; `reply_to` is the id of the message it answers."""

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
        """Whether the message had this conversation and content when it was sent."""
        first = message.history[0] if message.history else message
        answered = message.reply_to.id if message.reply_to else None
        return (self.conversation_id, self.text, self.files, self.reply_to) == (
            message.conversation_id,
            first.text,
            first.files,
            answered,
        )


async def open_between(
    uow: UnitOfWork, *, job_id: str, job_title: str, customer_id: str, contractor_id: str
) -> Conversation:
    """The conversation of both about this job, created if it does not exist."""
    existing = await uow.find(Conversation, {"job_id": job_id, "contractor_id": contractor_id})
    if existing:
        return existing
    members = (customer_id, contractor_id)
    before = await uow.find(Conversation, {"members": {"$all": list(members)}}, RECENT)
    if before:  # this write conflicts with a concurrent block, so one of the two sees the other
        await uow.change(Conversation, before.id)
    conversation = uow.new(
        Conversation,
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
