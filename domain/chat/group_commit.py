"""Group commit of chat messages: all messages that wait are written together.

Decision: one transaction for each message, with its counter, outbox row and audit row, makes eight
database requests. A batch of any size makes about four. It needs no transaction, because
each step can be repeated: (1) read the conversations of the batch; (2) one ordered insert at the
numbers after their heads; the unique index on (conversation, seq) stops a writer that read an old
head, which then reads again, so there are no gaps; (3) update previews, read marks and stored
replies, which only move forward; (4) acknowledge and push; (5) write the audit rows.

A `WriteIntent` is saved before the first of its messages: an outbox row with their future ids. If
the process dies, the lease of that row runs out, and the relay that claims it repeats (3) to (5)
for the messages that exist. Otherwise the row is removed after (5). One intent for many messages
was chosen over a flag on each message: clearing the flags would cost more than all other steps.
"""

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from domain.chat.audit_rows import audit_rows
from domain.chat.conversation import SYSTEM, Conversation, Draft, Message, ReplyTarget
from domain.chat.reach import check_writable
from domain.chat.search_terms import message_terms
from domain.kernel import documents
from domain.kernel.errors import DomainError, NotFound, RequestIdReused, RequestInProgress
from domain.kernel.outbox import Lane, OutboxRow
from domain.kernel.record import wire
from domain.kernel.store import Duplicate, Store, UnitOfWork, new_id
from domain.operations.idempotency import REPLY_KEPT, Reply
from domain.operations.task import Task, TryAgain
from domain.ports.ports import Ports, Seal

LATE_WRITE_WINDOW = timedelta(seconds=60)
NOT_ALL_WRITTEN = "not all of its messages are written"
RESERVED_IDS = 100  # message ids in one intent, unless a batch is larger

Key = tuple[str, str, str]


class PendingMessage(msgspec.Struct, eq=False):
    """A draft that waits to be written; `answer` is the acknowledgement to its sender, which is due
    at `answer_by` in the time of the event loop."""

    draft: Draft
    answer: asyncio.Future[Any]
    answer_by: float = math.inf
    message: Message | None = None
    new: bool = True  # False for a message that was written and followed up before

    @property
    def keys(self) -> list[Key]:
        """The keys that identify the same message in an earlier attempt."""
        draft = self.draft
        names = ("client", draft.client_id), ("request", draft.request and draft.request.id)
        return [(kind, draft.author_id, name) for kind, name in names if name]

    def refuse(self, reason: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(reason)

    def accept(self, value: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(value)


class FinishMessages(Task, frozen=True, tag="finish_messages"):
    """Finishes the messages of an intent whose process died: updates, pushes and audit rows.

    An insert that was given up may still reach the database, so the task runs again after
    LATE_WRITE_WINDOW as long as messages are missing.
    """

    lane = Lane.NOTICE

    id: str
    at: datetime
    ids: tuple[str, ...]

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        order = (("conversation_id", 1), ("seq", 1))
        written = await uow.all(Message, {"_id": self.ids}, order, len(self.ids))
        places = await _find_by_id(
            uow, Conversation, {message.conversation_id for message in written}
        )
        await _update_conversations(uow, written, places)
        for message in written:
            await ports.messages.push(message, places[message.conversation_id].members)
        await uow.add_missing(audit_rows(ports.seal, written))
        if len(written) < len(self.ids) and uow.now - self.at < LATE_WRITE_WINDOW:
            raise TryAgain(NOT_ALL_WRITTEN, at=uow.now + LATE_WRITE_WINDOW)


class WriteIntent(msgspec.Struct, eq=False):
    """The outbox row that is saved before messages are written, and the state of its batches.

    `ids` are left for further messages, `messages` were written under it. An `open` intent takes
    further batches; `in_flight` of them are not pushed yet.
    """

    ids: list[str]
    row: OutboxRow
    messages: list[Message] = []
    saved: bool = False
    open: bool = True
    in_flight: int = 0


class WrittenMessages(msgspec.Struct, frozen=True):
    """New messages of a batch, now durable, and the members of their conversations."""

    messages: list[Message]
    members: Mapping[str, tuple[str, ...]]


class State(msgspec.Struct, frozen=True):
    """What the database holds about a batch, by id: conversations, replies, answered messages."""

    conversations: dict[str, Conversation]
    replies: dict[str, Reply]
    answered: dict[str, Message]


def new_intent(uow: UnitOfWork, at_least: int) -> WriteIntent:
    """An intent for at least so many messages. The first `write_batch` saves it."""
    ids = [new_id(Message.PREFIX) for _ in range(max(at_least, RESERVED_IDS))]
    return WriteIntent(ids[::-1], uow.row(FinishMessages(new_id("batch"), uow.now, tuple(ids))))


async def write_batch(
    uow: UnitOfWork, batch: Sequence[PendingMessage], intent: WriteIntent
) -> WrittenMessages:
    """Write the messages of a batch and answer every sender.

    The caller pushes the messages, and calls `finish_intents` when all of the intent are pushed.
    """
    firsts, repeats = _split_repeats(batch)
    state, _ = await asyncio.gather(_read_state(uow, firsts), _save_intent(uow, intent))
    accepted = _build_messages(uow, firsts, state, intent)
    await _insert_numbered(uow, accepted, {id: c.head for id, c in state.conversations.items()})
    written = [each.message for each in accepted if each.message and each.new]
    intent.messages += written
    await _update_conversations(uow, written, state.conversations)
    _acknowledge(accepted, repeats)
    return WrittenMessages(written, {id: c.members for id, c in state.conversations.items()})


async def _save_intent(uow: UnitOfWork, intent: WriteIntent) -> None:
    if not intent.saved:
        await uow.add(intent.row)
        intent.saved = True


def _build_messages(
    uow: UnitOfWork, batch: Sequence[PendingMessage], state: State, intent: WriteIntent
) -> list[PendingMessage]:
    """Those that become messages, still without numbers; the others are answered or refused."""
    accepted = []
    for pending in batch:
        try:
            if not _answer_from_reply(pending, state.replies):
                pending.message = _build_message(uow, intent.ids.pop(), pending.draft, state)
                accepted.append(pending)
        except DomainError as refused:
            pending.refuse(refused)
    return accepted


def _acknowledge(
    accepted: Sequence[PendingMessage], repeats: Sequence[tuple[PendingMessage, PendingMessage]]
) -> None:
    for pending in accepted:
        pending.accept(pending.message)
    for first, repeat in repeats:
        _answer_repeat(first, repeat)


async def finish_intents(store: Store, seal: Seal, intents: Sequence[WriteIntent]) -> None:
    """Write the audit rows of their messages, and remove the intents."""
    uow = store.single()
    rows = [row for intent in intents for row in audit_rows(seal, intent.messages)]
    await uow.add_missing(rows)
    await uow.remove(OutboxRow, {"_id": tuple(intent.row.id for intent in intents)})


async def forget_requests(ports: Ports) -> None:
    """Remove request ids from messages older than REPLY_KEPT."""
    uow = ports.store.single()
    old = {"request.id": {"$gt": ""}, "created_at": {"$lt": uow.now - REPLY_KEPT}}
    await uow.set_private(Message, old, request=None)


# -- reading state and building messages -----------------------------------------------------


def _split_repeats(
    batch: Sequence[PendingMessage],
) -> tuple[list[PendingMessage], list[tuple[PendingMessage, PendingMessage]]]:
    """Messages to write, and repeats of them in the same batch, each with its first."""
    known: dict[Key, PendingMessage] = {}
    firsts, repeats = [], []
    for pending in batch:
        first = next((known[key] for key in pending.keys if key in known), None)
        if first:
            repeats.append((first, pending))
            continue
        known |= dict.fromkeys(pending.keys, pending)
        firsts.append(pending)
    return firsts, repeats


def _answer_repeat(first: PendingMessage, repeat: PendingMessage) -> None:
    if not first.answer.done() or first.answer.cancelled():
        return repeat.refuse(RequestInProgress())
    same = msgspec.structs.replace(repeat.draft, origin=first.draft.origin)
    if same != first.draft:
        return repeat.refuse(RequestIdReused())
    failed = first.answer.exception()
    if isinstance(failed, Exception):
        return repeat.refuse(failed)
    return repeat.accept(first.answer.result())


async def _read_state(uow: UnitOfWork, batch: Sequence[PendingMessage]) -> State:
    drafts = [pending.draft for pending in batch]
    queries: list[tuple[type[Any], set[str]]] = [
        (Conversation, {draft.conversation_id for draft in drafts}),
        (
            Reply,
            {_reply_id(draft.author_id, draft.request.id) for draft in drafts if draft.request},
        ),
        (Message, {draft.reply_to for draft in drafts if draft.reply_to}),
    ]
    return State(*await asyncio.gather(*(_find_by_id(uow, kind, ids) for kind, ids in queries)))


async def _find_by_id(uow: UnitOfWork, kind: type[Any], ids: Iterable[str]) -> dict[str, Any]:
    wanted = tuple(ids)
    found = await uow.all(kind, {"_id": wanted}) if wanted else []
    return {each.id: each for each in found}


def _reply_id(author_id: str, request_id: str) -> str:
    return f"{author_id}:{request_id}"


def _answer_from_reply(pending: PendingMessage, replies: Mapping[str, Reply]) -> bool:
    """Answer with the stored reply to the request id; False without one.

    Raises RequestIdReused, RequestInProgress.
    """
    request = pending.draft.request
    reply = replies.get(_reply_id(pending.draft.author_id, request.id)) if request else None
    if request is None or reply is None:
        return False
    if reply.fingerprint != request.fingerprint:
        raise RequestIdReused
    if reply.claimed_by is not None:
        raise RequestInProgress
    pending.accept(reply.answer)
    return True


def _build_message(uow: UnitOfWork, id: str, draft: Draft, state: State) -> Message:
    """A message without its number. Raises NotFound, Blocked."""
    conversation = state.conversations.get(draft.conversation_id)
    if conversation is None or draft.author_id not in (*conversation.members, SYSTEM):
        raise NotFound
    if draft.author_id != SYSTEM:
        check_writable(conversation)
    answered = state.answered.get(draft.reply_to) if draft.reply_to else None
    if draft.reply_to and not (answered and _can_be_answered(answered, conversation)):
        raise NotFound("reply_to: there is no such message in this conversation.")
    return uow.new(
        Message,
        id=id,
        conversation_id=conversation.id,
        author_id=draft.author_id,
        seq=0,
        text=draft.text,
        files=draft.files,
        client_id=draft.client_id,
        kind=draft.kind,
        subject_id=draft.subject_id,
        by=draft.by,
        reply_to=ReplyTarget(answered.id, answered.seq, answered.author_id) if answered else None,
        terms=message_terms(draft.text) if draft.author_id != SYSTEM else (),
        request=draft.request,
        origin=draft.origin,
    )


def _can_be_answered(message: Message, conversation: Conversation) -> bool:
    return message.conversation_id == conversation.id and message.deleted_at is None


# -- inserting -------------------------------------------------------------------------------


async def _insert_numbered(
    uow: UnitOfWork, ready: Sequence[PendingMessage], heads: dict[str, int]
) -> None:
    """Insert all messages with their numbers; one that was sent before gets its first message."""
    left = list(ready)
    while left:
        numbered = [_assign_seq(pending, heads) for pending in left]
        try:
            return await uow.add_all(numbered)
        except Duplicate as stopped:
            for message in numbered[stopped.done :]:
                heads[message.conversation_id] -= 1
            left = left[stopped.done :]
        await asyncio.sleep(random.random() * 0.01)
        left = await _reread_after_conflict(uow, left, heads)


def _assign_seq(pending: PendingMessage, heads: dict[str, int]) -> Message:
    assert pending.message
    heads[pending.message.conversation_id] += 1
    seq = heads[pending.message.conversation_id]
    pending.message = msgspec.structs.replace(pending.message, seq=seq)
    return pending.message


async def _reread_after_conflict(
    uow: UnitOfWork, left: Sequence[PendingMessage], heads: dict[str, int]
) -> list[PendingMessage]:
    """Read the heads again after another process took a number; returns those still to insert.

    The first of `left` was stopped by a message of another process or by one of its own keys.
    """
    stopped = left[0].draft.conversation_id
    ids = tuple({pending.draft.conversation_id for pending in left})
    newest, conversations, sent_before = await asyncio.gather(
        uow.find(Message, {"conversation_id": stopped}, (("seq", -1),)),
        uow.all(Conversation, {"_id": ids}),
        _find_sent_before(uow, left),
    )
    stored_heads = {conversation.id: conversation.head for conversation in conversations}
    for id, head in stored_heads.items():
        heads[id] = max(heads[id], head)
    heads[stopped] = max(heads[stopped], newest.seq if newest else 0)
    return [
        pending
        for pending in left
        if not _answer_if_sent_before(pending, sent_before, stored_heads)
    ]


async def _find_sent_before(uow: UnitOfWork, left: Sequence[PendingMessage]) -> dict[Key, Message]:
    named: dict[tuple[str, str], list[str]] = defaultdict(list)
    for pending in left:
        for kind, author, name in pending.keys:
            named[kind, author].append(name)
    fields = {"client": "client_id", "request": "request.id"}
    branches = [
        {"author_id": author, fields[kind]: {"$gt": "", "$in": names}}
        for (kind, author), names in named.items()
    ]
    found = await uow.all(Message, documents.any_of(branches)) if branches else []
    by_client = {("client", m.author_id, m.client_id): m for m in found if m.client_id}
    return by_client | {("request", m.author_id, m.request.id): m for m in found if m.request}


def _answer_if_sent_before(
    pending: PendingMessage, sent_before: Mapping[Key, Message], stored_heads: Mapping[str, int]
) -> bool:
    """Whether it was sent before. The earlier message is the answer, if it has the same content."""
    found = next((sent_before[key] for key in pending.keys if key in sent_before), None)
    if found is None:
        return False
    given, request = pending.draft.request, found.request
    if pending.draft.is_of(found) and not (given and request and given != request):
        pending.message = found
        pending.new = stored_heads[found.conversation_id] < found.seq
    else:
        pending.message = None
        pending.refuse(RequestIdReused("It names another message."))
    return True


# -- after the insert ------------------------------------------------------------------------


async def _update_conversations(
    uow: UnitOfWork, messages: Sequence[Message], conversations: Mapping[str, Conversation]
) -> None:
    """Update previews, heads and read marks, and store replies. Safe to repeat."""
    if messages:
        await asyncio.gather(
            uow.raise_fields(Conversation, _conversation_updates(messages, conversations)),
            uow.add_missing([_reply_of(each) for each in messages if each.request]),
        )


def _conversation_updates(
    messages: Sequence[Message], conversations: Mapping[str, Conversation]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Updates of the conversations: head, preview, and the read marks of those whose own messages
    and actions they are.

    A mark moves only if all messages before are read, so that what a member has not seen stays
    unread. Clients know such a move from the message, so it needs no read receipt.
    """
    moves: dict[str, dict[str, Any]] = {}
    marks = {
        (each.id, member): seq
        for each in conversations.values()
        for member, seq in each.read.items()
    }
    for message in sorted(messages, key=lambda message: message.seq):
        moved = moves.setdefault(message.conversation_id, {})
        moved |= {
            "head": message.seq,
            "active_at": message.created_at,
            "last_message": message.preview,
        }
        own = message.by if message.author_id == SYSTEM else message.author_id
        member = message.conversation_id, own or ""
        if own and marks.get(member, 0) >= message.seq - 1:
            marks[member] = moved[f"read.{own}"] = message.seq
    return [({"_id": id}, moved) for id, moved in moves.items()]


def _reply_of(message: Message) -> Reply:
    assert message.request
    return Reply(
        id=_reply_id(message.author_id, message.request.id),
        created_at=message.created_at,
        updated_at=message.created_at,
        fingerprint=message.request.fingerprint,
        expires_at=message.created_at + REPLY_KEPT,
        answer=wire(message),
    )
