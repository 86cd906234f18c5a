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
from domain.kernel.fields import ContractorId, ConversationId, CustomerId, JobId, JobTitle, about
from domain.kernel.outbox import Event, Numbering
from domain.kernel.record import Index, Record
from domain.kernel.store import NEWEST, UnitOfWork
from domain.kernel.text_rules import shorten

SYSTEM = "system"  # the author of the platform's messages
PREVIEW = 200  # characters of the last message that lists show
MAX_CHANGES, MAX_CHANGED_BYTES = 50, 64 * 1024  # of one message
MAX_EMOJIS = 20  # of one message
MAX_TERMS = 8000  # distinct words of one message; a text of the longest length has fewer

RECENT = (("active_at", -1), *NEWEST)

Seq = Annotated[int, Limits(ge=0, le=2**53)]


class LastMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a list shows of the newest message.

    `seq` and `revision` come first: MongoDB compares documents field by field, and `$max` keeps the
    later message.
    """

    seq: Annotated[int, about("Its number.")]
    revision: Annotated[int, about("Its revision, 0 if it was never changed.")] = (
        0  # rows of earlier versions have none
    )
    author_id: Annotated[str, about("The id of its author, or `system`.")]
    text: Annotated[str, about("Its text, cut after 200 characters, or the names of its files.")]
    at: Annotated[datetime, about("When it was sent.")]


class Conversation(Record, frozen=True):
    """One customer and one contractor about one job.

    `head` is the number of the newest message (it may lag behind the messages, but is never ahead
    of them), `read` how far each member has read, `revision` the number of the last change of a
    message, `blocked_by` the members who block the other. `active_at` orders lists: unlike
    `updated_at` it does not change when a member reads. Who may write in it is in `reach.py`.
    """

    COLLECTION = "conversations"
    PREFIX = "cnv"
    INDEXES = (
        Index((("job_id", 1), ("contractor_id", 1)), unique=True),
        Index((("members", 1), ("active_at", -1), ("_id", -1))),
        Index((("customer_id", 1), ("contractor_id", 1))),
        Index((("members", 1), ("_id", 1)), where={"blocked_by": {"$gt": ""}}),
    )
    UNLOGGED = frozenset({"last_message"})
    ENCRYPTED_MESSAGES = frozenset({"last_message.text"})

    job_id: JobId
    job_title: JobTitle
    customer_id: CustomerId
    contractor_id: ContractorId
    members: Annotated[tuple[str, ...], Bounded(2), about("The ids of both.")]
    names: Annotated[dict[str, str], Bounded(2), about("Their names, by user id.")]
    active_at: Annotated[datetime, about("When something was last written.")]
    head: Annotated[int, about("The number of the newest message, 0 if there is none.")] = 0
    last_message: Annotated[
        LastMessage | None, about("The newest message; null if there is none.")
    ] = None
    read: Annotated[
        dict[str, int],
        Bounded(2),
        about("Up to which number each member has read, by user id; 0 for those who hide it."),
    ] = {}
    revision: Annotated[int, about("The number of the last change of a message.")] = 0
    blocked_by: Annotated[
        tuple[str, ...], Bounded(2), about("The ids of the members who block the other.")
    ] = ()
    deleted_members: Annotated[
        dict[str, datetime],
        Bounded(2),
        about("When members deleted their accounts, by user id; nothing can be sent then."),
    ] = {}


class SeenConversation(Conversation, frozen=True, kw_only=True):
    """A conversation as one member sees it."""

    unread: Annotated[
        int,
        about(
            "How many messages of others the caller has not read and can still read, of the newest "
            "200."
        ),
    ]


class ReplyTarget(msgspec.Struct, frozen=True):
    """The message that a reply answers, without its text, which may be edited or deleted."""

    id: Annotated[str, about("The id of the message that is answered.")]
    seq: Annotated[int, about("Its number.")]
    author_id: Annotated[str, about("The id of its author, or `system`.")]


class Reaction(msgspec.Struct, frozen=True):
    """An emoji, and who reacted with it."""

    emoji: Annotated[str, about("One emoji.")]
    user_ids: Annotated[
        tuple[str, ...], Bounded(2), about("The ids of the members who reacted with it.")
    ]


class EarlierContent(msgspec.Struct, frozen=True):
    """The content of a message before a change."""

    text: Annotated[str, about("The text of that version.")]
    until: Annotated[datetime, about("When it was changed.")]
    files: Annotated[tuple[Attachment, ...], Bounded(MAX_ATTACHED), about("Its files.")] = ()


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
    """A message of a customer, a contractor or the platform.

    It is number `seq` of its conversation. An author's `client_id` is used once. `kind` is
    `text`, or in system messages the event of `subject_id`, such as `offer.created`, caused by
    the user `by`. `revision` is the conversation's revision of its last change, 0 before any. A
    deleted message keeps its row without content. `history` keeps earlier content for disputes,
    `terms` the words that search finds it by. `request` is removed after REPLY_KEPT.
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

    conversation_id: ConversationId
    author_id: Annotated[str, about("The id of its author, or `system`.")]
    seq: Annotated[int, about("Its number in the conversation, from 1 and without gaps.")]
    text: Annotated[str, about("The text; empty if it was deleted, or has only files.")]
    files: Annotated[
        tuple[Attachment, ...], Bounded(MAX_ATTACHED), about("The files that it carries.")
    ] = ()
    client_id: Annotated[
        str | None,
        about(
            "The id that its author's client gave it, to recognize its own message; may be null."
        ),
    ] = None
    kind: Annotated[
        str, about("`text`, or the event that the platform reports, such as offer.accepted.")
    ] = "text"
    subject_id: Annotated[
        str | None, about("The id of what a message of the platform is about; otherwise null.")
    ] = None
    by: Annotated[
        str | None,
        about("The id of the user whose action a message of the platform reports; otherwise null."),
    ] = None
    reply_to: Annotated[
        ReplyTarget | None, about("The message that it answers; null if it answers none.")
    ] = None
    reactions: Annotated[
        tuple[Reaction, ...], Bounded(MAX_EMOJIS), about("One for each emoji.")
    ] = ()
    edited_at: Annotated[
        datetime | None, about("When its author last edited it; null if never.")
    ] = None
    deleted_at: Annotated[datetime | None, about("When its author deleted it; null if never.")] = (
        None
    )
    revision: Annotated[
        int, about("The conversation's revision of its last change, 0 before any.")
    ] = 0
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
            text=shorten(text, PREVIEW),
            at=self.created_at,
        )


MESSAGE = Event(
    "/chat",
    "message",
    Message,
    Numbering.CONVERSATION,
    about="When a message is sent, edited, deleted or reacted to, to both members, the sender's "
    "connections included. A changed message comes again under its old `seq` with a higher "
    "`version`: replace it. After a gap in `seq` or `revision` ask `chat.sync`.",
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


async def find_between(
    uow: UnitOfWork, customer_id: str, contractor_id: str
) -> Conversation | None:
    """A conversation of these two about any job: all of theirs have the same blocks."""
    between = {"customer_id": customer_id, "contractor_id": contractor_id}
    return await uow.find(Conversation, between)


async def open_between(
    uow: UnitOfWork, *, job_id: str, job_title: str, customer_id: str, contractor_id: str
) -> Conversation:
    """The conversation of both about this job, created if it does not exist."""
    existing = await uow.find(Conversation, {"job_id": job_id, "contractor_id": contractor_id})
    if existing:
        return existing
    members = (customer_id, contractor_id)
    before = await find_between(uow, customer_id, contractor_id)
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
