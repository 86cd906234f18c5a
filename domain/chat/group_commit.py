"""Group commit of messages: what several people say at once is written in one go.

Decision: a transaction for each message, with its counter, its outbox row and its audit row, makes
eight requests to the database; together all that are waiting make about four, however many they
are. No transaction is needed for that, as every step can be repeated: (1) a look at all
conversations concerned; (2) one ordered insert at the numbers behind their heads, where the unique
index on (conversation, seq) stops whoever was too late, who then looks again: so there are no gaps,
and what is in is in for good; (3) previews, marks and replies, which only ever move forward or are
there already; (4) the acknowledgements and pushes; (5) the audit rows of a moment's messages.

Before the first of a moment comes their note: an outbox row with the ids that they will get. When
the process dies on the way, its lease runs out, and whoever claims it goes on with (3) for those
that are there; otherwise it is taken away behind (5). One note for all was chosen over a mark on
each message: to take those away again costs more than all the rest.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from domain.chat.conversation import SYSTEM, Answered, Conversation, Draft, Message, Origin
from domain.chat.read_receipts import publish_receipts
from domain.kernel import documents, text_search
from domain.kernel.errors import Blocked, DomainError, NotFound, RequestIdReused, RequestInProgress
from domain.kernel.outbox import Lane, OutboxRow
from domain.kernel.record import Change, wire
from domain.kernel.store import Duplicate, Store, UnitOfWork, new_id
from domain.operations import audit_log
from domain.operations.idempotency import REPLY_KEPT, Reply
from domain.operations.task import Task, TryAgain
from domain.ports.ports import Ports, Seal

STILL_WRITING = timedelta(seconds=60)
NOT_ALL = "not all of it is there"
RESERVED = 100  # ids in a note, if no more are asked for at once
MAX_TERMS = 60  # distinct words of one message that can be found

Key = tuple[str, str, str]
Reader = tuple[str, str]  # the ids of a conversation and of the member who has read it


class Waiting(msgspec.Struct, eq=False):
    """A draft on its way to become a message; `answer` is what its sender gets to hear."""

    draft: Draft
    answer: asyncio.Future[Any]
    message: Message | None = None
    new: bool = True  # else what follows from the message has been done

    @property
    def keys(self) -> list[Key]:
        """The names under which it can be there already."""
        draft = self.draft
        names = ("client", draft.client_id), ("request", draft.request and draft.request.id)
        return [(kind, draft.author_id, name) for kind, name in names if name]

    def refuse(self, reason: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(reason)

    def accept(self, value: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(value)


class Finish(Task, frozen=True, tag="finish_messages"):
    """The note of messages that are about to be written.

    As a task it does what follows from those of them that are there. A write that was given up may
    still come to its end for a while, so it looks again until that is over.
    """

    lane = Lane.NOTICE

    id: str
    at: datetime
    ids: tuple[str, ...]

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        order = (("conversation_id", 1), ("seq", 1))
        there = await uow.all(Message, {"_id": self.ids}, order, len(self.ids))
        places = await _by_id(uow, Conversation, {message.conversation_id for message in there})
        await _follow_up(uow, there)
        for message in there:
            await ports.messages.push(message, places[message.conversation_id].members)
        await uow.add_missing(_audit_rows(ports.seal, there))
        if readers := {(each.conversation_id, each.author_id) for each in there if each.origin}:
            await ports.store.transact(partial(_publish_readings, readers=readers))
        if len(there) < len(self.ids) and uow.now - self.at < STILL_WRITING:
            raise TryAgain(NOT_ALL, at=uow.now + STILL_WRITING)


class Note(msgspec.Struct, eq=False):
    """Ids that are left for messages, the row that tells of all of them, and the messages written
    under it. It is `open` for more; so many batches of it are `under_way`."""

    ids: list[str]
    row: OutboxRow
    messages: list[Message] = []
    kept: bool = False
    open: bool = True
    under_way: int = 0
    readers: set[Reader] = set()


class Written(msgspec.Struct, frozen=True):
    """Messages that are in the database for good, and the members of their conversations."""

    messages: list[Message]
    members: Mapping[str, tuple[str, ...]]


def note(uow: UnitOfWork, at_least: int) -> Note:
    """For so many messages or more; the first `write` writes it down."""
    ids = [new_id(Message.PREFIX) for _ in range(max(at_least, RESERVED))]
    return Note(ids[::-1], uow.row(Finish(new_id("batch"), uow.now, tuple(ids))))


async def write(uow: UnitOfWork, batch: Sequence[Waiting], note: Note) -> Written:
    """Make messages of all that may become one, and answer everybody. When these and others of the
    note are pushed, `conclude` follows."""
    firsts, twins = _paired(batch)
    (places, replies, quoted), _ = await asyncio.gather(_look(uow, firsts), _keep(uow, note))
    ready = []
    for waiting in firsts:
        try:
            if not _replied(waiting, replies):
                waiting.message = _message(uow, note.ids.pop(), waiting.draft, places, quoted)
                ready.append(waiting)
        except DomainError as refused:
            waiting.refuse(refused)
    await _insert(uow, ready, {id: found.head for id, found in places.items()})
    sent = [each.message for each in ready if each.message and each.new]
    note.messages += sent
    note.readers |= _readers(sent, places)
    await _follow_up(uow, sent)
    for waiting in ready:
        waiting.accept(waiting.message)
    for first, twin in twins:
        _answer_alike(first, twin)
    return Written(sent, {id: found.members for id, found in places.items()})


async def _keep(uow: UnitOfWork, note: Note) -> None:
    if not note.kept:
        await uow.add(note.row)
        note.kept = True


async def conclude(store: Store, seal: Seal, notes: Sequence[Note]) -> None:
    """Write the audit rows of their messages, publish read receipts, and remove the notes.

    Receipts are published here, after the acknowledgement, so they cost the send path no query.
    """
    uow = store.single()
    await uow.add_missing([row for note in notes for row in _audit_rows(seal, note.messages)])
    ids = tuple(note.row.id for note in notes)
    readers = {reader for note in notes for reader in note.readers}
    if not readers:
        await uow.remove(OutboxRow, {"_id": ids})
        return

    async def publish_and_remove(uow: UnitOfWork) -> None:
        await _publish_readings(uow, readers)
        await uow.remove(OutboxRow, {"_id": ids})

    await store.transact(publish_and_remove)


async def forget_requests(ports: Ports) -> None:
    """Request ids are remembered for so long."""
    uow = ports.store.single()
    old = {"request.id": {"$gt": ""}, "created_at": {"$lt": uow.now - REPLY_KEPT}}
    await uow.mark(Message, old, request=None)


# -- what is there ---------------------------------------------------------------------------


def _paired(
    batch: Sequence[Waiting],
) -> tuple[list[Waiting], list[tuple[Waiting, Waiting]]]:
    """Those to be written, and what was sent twice at once beside its first."""
    known: dict[Key, Waiting] = {}
    firsts, twins = [], []
    for waiting in batch:
        first = next((known[key] for key in waiting.keys if key in known), None)
        if first:
            twins.append((first, waiting))
            continue
        known |= dict.fromkeys(waiting.keys, waiting)
        firsts.append(waiting)
    return firsts, twins


def _answer_alike(first: Waiting, twin: Waiting) -> None:
    if not first.answer.done() or first.answer.cancelled():
        return twin.refuse(RequestInProgress())
    same = msgspec.structs.replace(twin.draft, origin=first.draft.origin)
    if same != first.draft:
        return twin.refuse(RequestIdReused())
    failed = first.answer.exception()
    if isinstance(failed, Exception):
        return twin.refuse(failed)
    return twin.accept(first.answer.result())


async def _look(
    uow: UnitOfWork, batch: Sequence[Waiting]
) -> tuple[dict[str, Conversation], dict[str, Reply], dict[str, Message]]:
    """The conversations, the replies to request ids, and what is answered."""
    drafts = [waiting.draft for waiting in batch]
    asked: list[tuple[type[Any], set[str]]] = [
        (Conversation, {draft.conversation_id for draft in drafts}),
        (
            Reply,
            {_reply_id(draft.author_id, draft.request.id) for draft in drafts if draft.request},
        ),
        (Message, {draft.reply_to for draft in drafts if draft.reply_to}),
    ]
    found = await asyncio.gather(*(_by_id(uow, kind, ids) for kind, ids in asked))
    conversations, replies, quoted = found
    return conversations, replies, quoted


async def _by_id(uow: UnitOfWork, kind: type[Any], ids: Iterable[str]) -> dict[str, Any]:
    wanted = tuple(ids)
    found = await uow.all(kind, {"_id": wanted}) if wanted else []
    return {each.id: each for each in found}


def _reply_id(author_id: str, request_id: str) -> str:
    return f"{author_id}:{request_id}"


def _replied(waiting: Waiting, replies: Mapping[str, Reply]) -> bool:
    """Answer what was sent before under its request id. Raises RequestIdReused and
    RequestInProgress."""
    request = waiting.draft.request
    reply = replies.get(_reply_id(waiting.draft.author_id, request.id)) if request else None
    if request is None or reply is None:
        return False
    if reply.fingerprint != request.fingerprint:
        raise RequestIdReused
    if reply.claimed_by is not None:
        raise RequestInProgress
    waiting.accept(reply.answer)
    return True


def _message(
    uow: UnitOfWork,
    id: str,
    draft: Draft,
    conversations: Mapping[str, Conversation],
    quoted: Mapping[str, Message],
) -> Message:
    """Still without its number. Raises NotFound and Blocked."""
    conversation = conversations.get(draft.conversation_id)
    if conversation is None or draft.author_id not in (*conversation.members, SYSTEM):
        raise NotFound
    if conversation.blocked_by and draft.author_id != SYSTEM:
        raise Blocked(by=list(conversation.blocked_by))
    answered = quoted.get(draft.reply_to) if draft.reply_to else None
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
        reply_to=Answered(answered.id, answered.seq, answered.author_id) if answered else None,
        terms=terms_of(draft.text) if draft.author_id != SYSTEM else (),
        request=draft.request,
        origin=draft.origin,
    )


def _can_be_answered(message: Message, conversation: Conversation) -> bool:
    return message.conversation_id == conversation.id and message.deleted_at is None


def terms_of(text: str) -> tuple[str, ...]:
    return text_search.terms([text], MAX_TERMS)


# -- writing it ------------------------------------------------------------------------------


async def _insert(uow: UnitOfWork, ready: Sequence[Waiting], heads: dict[str, int]) -> None:
    """Give all of them their numbers, or the messages that they were before."""
    left = list(ready)
    while left:
        numbered = [_number(waiting, heads) for waiting in left]
        try:
            return await uow.add_all(numbered)
        except Duplicate as stopped:
            for message in numbered[stopped.done :]:
                heads[message.conversation_id] -= 1
            left = left[stopped.done :]
        await asyncio.sleep(random.random() * 0.01)
        left = await _look_again(uow, left, heads)


def _number(waiting: Waiting, heads: dict[str, int]) -> Message:
    assert waiting.message
    heads[waiting.message.conversation_id] += 1
    seq = heads[waiting.message.conversation_id]
    waiting.message = msgspec.structs.replace(waiting.message, seq=seq)
    return waiting.message


async def _look_again(
    uow: UnitOfWork, left: Sequence[Waiting], heads: dict[str, int]
) -> list[Waiting]:
    """Somebody else was faster with the first of these: read the heads, and what is there."""
    stopped = left[0].draft.conversation_id
    ids = tuple({waiting.draft.conversation_id for waiting in left})
    newest, conversations, there = await asyncio.gather(
        uow.find(Message, {"conversation_id": stopped}, (("seq", -1),)),
        uow.all(Conversation, {"_id": ids}),
        _there(uow, left),
    )
    told = {conversation.id: conversation.head for conversation in conversations}
    for id, head in told.items():
        heads[id] = max(heads[id], head)
    heads[stopped] = max(heads[stopped], newest.seq if newest else 0)
    return [waiting for waiting in left if not _is_there(waiting, there, told)]


async def _there(uow: UnitOfWork, left: Sequence[Waiting]) -> dict[Key, Message]:
    named: dict[tuple[str, str], list[str]] = defaultdict(list)
    for waiting in left:
        for kind, author, name in waiting.keys:
            named[kind, author].append(name)
    fields = {"client": "client_id", "request": "request.id"}
    branches = [
        {"author_id": author, fields[kind]: {"$gt": "", "$in": names}}
        for (kind, author), names in named.items()
    ]
    found = await uow.all(Message, documents.any_of(branches)) if branches else []
    by_client = {("client", m.author_id, m.client_id): m for m in found if m.client_id}
    return by_client | {("request", m.author_id, m.request.id): m for m in found if m.request}


def _is_there(waiting: Waiting, there: Mapping[Key, Message], known: Mapping[str, int]) -> bool:
    """Whether it has been sent before; what is there is the answer, if it is the same."""
    found = next((there[key] for key in waiting.keys if key in there), None)
    if found is None:
        return False
    asked, request = waiting.draft.request, found.request
    if waiting.draft.is_of(found) and not (asked and request and asked != request):
        waiting.message = found
        waiting.new = known[found.conversation_id] < found.seq
    else:
        waiting.message = None
        waiting.refuse(RequestIdReused("It names another message."))
    return True


# -- what follows ----------------------------------------------------------------------------


async def _follow_up(uow: UnitOfWork, messages: Sequence[Message]) -> None:
    """Previews and marks, and replies: harmless to repeat."""
    if messages:
        await asyncio.gather(
            uow.raise_each(Conversation, _moves(messages)),
            uow.add_missing([_reply(each) for each in messages if each.request]),
        )


def _moves(messages: Sequence[Message]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """How each conversation moves on; own words are read, and so is what tells of one's own deed
    if everything before it is."""
    moves: dict[str, dict[str, Any]] = {}
    deeds = []
    for message in sorted(messages, key=lambda message: message.seq):
        moved = moves.setdefault(message.conversation_id, {})
        moved |= {
            "head": message.seq,
            "active_at": message.created_at,
            "last_message": message.preview,
        }
        if message.author_id != SYSTEM:
            moved[f"read.{message.author_id}"] = message.seq
        elif message.by:
            mark = f"read.{message.by}"
            where = {"_id": message.conversation_id, mark: message.seq - 1}
            deeds.append((where, {mark: message.seq}))
    return [*(({"_id": id}, moved) for id, moved in moves.items()), *deeds]


def _readers(messages: Iterable[Message], conversations: Mapping[str, Conversation]) -> set[Reader]:
    """Authors whose own message moves their read mark over messages that they had not read.

    The others' marks move over their own messages only, which no client has to be told.
    """
    marks = {
        (found.id, member): seq
        for found in conversations.values()
        for member, seq in found.read.items()
    }
    readers = set()
    for message in sorted(messages, key=lambda message: message.seq):
        reader = message.conversation_id, message.author_id
        if message.author_id != SYSTEM and marks.get(reader, 0) < message.seq - 1:
            readers.add(reader)
        marks[reader] = message.seq
    return readers


async def _publish_readings(uow: UnitOfWork, readers: Collection[Reader]) -> None:
    """With the marks as they are now, so that a receipt never moves a client's mark back."""
    ids = tuple({conversation_id for conversation_id, _ in readers})
    found = await uow.all(Conversation, {"_id": ids}, limit=len(ids))
    conversations = {conversation.id: conversation for conversation in found}
    await publish_receipts(uow, [(conversations[id], user_id) for id, user_id in sorted(readers)])


def _audit_rows(seal: Seal, messages: Iterable[Message]) -> list[audit_log.WaitingRow]:
    """Of those that somebody said; the platform's own follow from what is in the trail."""
    return [_audit_row(seal, each, each.origin) for each in messages if each.origin]


def _audit_row(seal: Seal, message: Message, origin: Origin) -> audit_log.WaitingRow:
    """Its id follows from the message's, so that it is written once."""
    fields: dict[str, Any] = {"conversation_id": message.conversation_id}
    fields |= {"client_id": message.client_id} if message.client_id else {}
    fields |= {"reply_to": message.reply_to.id} if message.reply_to else {}
    fields |= {"file_ids": [file.id for file in message.files]} if message.files else {}
    deed = audit_log.AuditEntry(
        operation="chat.send",
        fields=fields,
        actor_id=message.author_id,
        role=origin.role,
        session_id=origin.session_id,
        address=origin.address,
        request_id=message.request.id if message.request else None,
    )
    change = Change(Message, None, documents.document(message))
    return audit_log.sealed_row(
        message.id.replace(Message.PREFIX, audit_log.WaitingRow.PREFIX, 1),
        message.created_at,
        seal,
        deed,
        [change],
        [message.id, message.conversation_id],
    )


def _reply(message: Message) -> Reply:
    assert message.request
    return Reply(
        id=_reply_id(message.author_id, message.request.id),
        created_at=message.created_at,
        updated_at=message.created_at,
        fingerprint=message.request.fingerprint,
        expires_at=message.created_at + REPLY_KEPT,
        answer=wire(message),
    )
