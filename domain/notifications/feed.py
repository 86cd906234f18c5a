"""Each user's numbered event feed: gapless, repeatable after a crash, replayed by `sync`."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.errors import TooOld
from domain.kernel.fields import about
from domain.kernel.outbox import Delivery, Event, Numbering
from domain.kernel.paging import read_within
from domain.kernel.record import Index, Record
from domain.kernel.rooms import user_room
from domain.kernel.store import Duplicate, UnitOfWork
from domain.operations.command import Command, Done, Style
from domain.operations.operation import operation

KEPT = timedelta(days=30)
ATTEMPTS = 50
NOTICE = "notification"
WINDOW = 25  # rows of one query of `sync`
MAX_UNREAD = 100  # unread notices are counted up to this number


Seq = Annotated[int, Limits(ge=0, le=2**53)]


class FeedRow(Record, frozen=True):
    """Event number `seq` of a user. Both unique indexes together make a repeat harmless."""

    COLLECTION = "feed"
    PREFIX = "evt"
    INDEXES = (
        Index((("user_id", 1), ("seq", 1)), unique=True, where={"seq": {"$gt": 0}}),
        Index((("user_id", 1), ("event", 1)), unique=True, where={"event": {"$gt": ""}}),
        Index((("user_id", 1), ("name", 1), ("own", 1), ("seq", 1)), where={"name": NOTICE}),
        Index((("expires_at", 1),), ttl_seconds=0),
    )
    LOGGED = False
    ENCRYPTED = frozenset({"data"})

    user_id: str
    seq: int
    event: str
    namespace: str
    name: str
    data: Any
    expires_at: datetime
    own: bool = False  # a notice of what the user did


class FeedHead(Record, frozen=True):
    """The highest number given to a user and the highest seen; it outlives the rows."""

    COLLECTION = "feed"
    PREFIX = "head"
    LOGGED = False

    head: int = 0
    seen: int = 0


class FeedItem(msgspec.Struct, frozen=True):
    """One event as `sync` returns it."""

    seq: Annotated[int, about("Its number in the feed.")]
    at: Annotated[datetime, about("When it happened.")]
    namespace: Annotated[str, about("The namespace of the push.")]
    name: Annotated[str, about("The name of the push.")]
    data: Annotated[Any, about("The data of the push.")]


class Feed(msgspec.Struct, frozen=True):
    """What a user missed. `unread` counts up to 100."""

    items: Annotated[list[FeedItem], about("What was pushed, ascending by number.")]
    head: Annotated[int, about("The highest number; more follow while the last item is below it.")]
    seen: Annotated[int, about("Up to which number the user has marked events as seen.")]
    unread: Annotated[
        int, about("How many notifications after `seen` are not the user's own actions, up to 100.")
    ]


class FeedMarks(msgspec.Struct, frozen=True):
    """The highest number of a feed, and the highest that its owner has seen on any device."""

    head: Annotated[int, about("The highest number of the feed.")]
    seen: Annotated[
        int, about("Up to which number the user has marked events as seen, on any device.")
    ]


HEAD = Event(
    "/account",
    "head",
    FeedMarks,
    Numbering.NEVER,
    about="Every 30 seconds, and when another device marks events as seen, to each user. If "
    "`head` is above the highest `seq` of this client, pushes were missed: ask "
    "`account.sync`.",
)
RESYNC = Event(
    "/account",
    "resync",
    Done,
    Numbering.NEVER,
    about="When pushes may have been lost on their way to this client, which the server cannot "
    "count. Ask `account.sync` from the highest `seq` of this client, and `chat.sync` for its "
    "conversations.",
)


class Sync(Command, frozen=True):
    """Events after number `since`, oldest first. More exist while the last is below `head`."""

    since: Annotated[Seq, about("The highest number that the client has, 0 if none.")]
    limit: Annotated[int, Limits(ge=1, le=500), about("At most so many items.")] = 100


class Seen(Command, frozen=True):
    seq: Annotated[Seq, about("Up to this number.")]


@operation("account.sync", roles=EVERYONE, style=Style.READ, audited=False, errors=(TooOld,))
async def sync(cmd: Sync, actor: Actor, uow: UnitOfWork) -> Feed:
    """What the user missed. Raises TooOld when rows after `since` are no longer kept."""
    head, state = await asyncio.gather(  # read before the rows, which may only be newer
        read_head(uow, actor.id), uow.find(FeedHead, {"_id": _head_id(actor.id)})
    )
    async with contextlib.aclosing(_windows(uow, actor.id, cmd.since, cmd.limit)) as windows:
        rows, _ = await read_within(windows, cmd.limit)
    head = max(head, rows[-1].seq if rows else 0)
    if not rows and head > cmd.since:  # those of the first window are no longer kept
        rows = await uow.first(FeedRow, _after(actor.id, cmd.since), (("seq", 1),), 1)
    first = rows[0].seq if rows else head + 1
    if first > cmd.since + 1:
        raise TooOld(head=head, first=first)
    items = [FeedItem(r.seq, r.created_at, r.namespace, r.name, r.data) for r in rows]
    seen = state.seen if state else 0
    return Feed(items, head, seen, await _unread(uow, actor.id, seen))


def _after(user: str, since: int) -> dict[str, Any]:
    return {"user_id": user, "seq": {"$gt": since}}


async def _windows(
    uow: UnitOfWork, user: str, since: int, limit: int
) -> AsyncGenerator[FeedRow, None]:
    """The rows after `since`, some numbers at a time. An answer of large rows ends after a few, and
    numbers have no gaps, so each query says how many rows it is about."""
    for start in range(since, since + limit, WINDOW):
        found = 0
        numbers = {"$gt": start, "$lte": min(start + WINDOW, since + limit)}
        where = {"user_id": user, "seq": numbers}
        async for row in uow.readable(FeedRow, uow.documents(FeedRow, where, (("seq", 1),))):
            found += 1
            yield row
        if found < WINDOW:
            return


async def _unread(uow: UnitOfWork, user: str, seen: int) -> int:
    unread = {"user_id": user, "name": NOTICE, "seq": {"$gt": seen}, "own": False}
    return await uow.count(FeedRow, unread, limit=MAX_UNREAD)


async def unread_notices(uow: UnitOfWork, user: str) -> int:
    """How many notices the user has not seen, up to MAX_UNREAD."""
    state = await uow.find(FeedHead, {"_id": _head_id(user)})
    return await _unread(uow, user, state.seen if state else 0)


@operation("account.seen", roles=EVERYONE)
async def seen(cmd: Seen, actor: Actor, uow: UnitOfWork) -> FeedMarks:
    """Mark events up to `seq` as seen. The mark never moves back; `head` pushes it to all
    devices."""
    id, head = _head_id(actor.id), await read_head(uow, actor.id)
    seq = min(cmd.seq, head)
    state = await uow.find(FeedHead, {"_id": id})
    if state is None:
        await uow.add(uow.new(FeedHead, id=id, head=head, seen=seq))
    elif state.seen < seq:
        await uow.change(FeedHead, id, only_if={"seen": {"$lt": seq}}, seen=seq)
    marks = FeedMarks(head, max(seq, state.seen if state else 0))
    if state is None or state.seen < seq:
        uow.publish(HEAD, marks, room=user_room(actor.id))
    return marks


async def heads(uow: UnitOfWork, users: Sequence[str]) -> dict[str, FeedMarks]:
    """The kept feed heads of several users, in one query; they lag behind by seconds."""
    ids = tuple(_head_id(user) for user in users)
    found = await uow.all(FeedHead, {"_id": ids}, limit=len(ids))
    return {state.id.partition(":")[2]: FeedMarks(state.head, state.seen) for state in found}


class Entry(msgspec.Struct, frozen=True):
    """An event on its way into feeds: its id, when it happened, and what is pushed."""

    event: str
    at: datetime
    delivery: Delivery


async def append_all(
    uow: UnitOfWork, entries: Mapping[str, Sequence[Entry]], known: dict[str, int]
) -> dict[str, Mapping[str, int]]:
    """Append events to the feeds of several users: user -> event id -> number.

    `known` caches heads between calls. All rows go in one insert, unless another process writes to
    one of these feeds at the same time or has delivered one of these events before.
    """
    new = [user for user in entries if user not in known]
    known |= zip(new, await asyncio.gather(*(read_head(uow, user) for user in new)), strict=True)
    rows = [
        _row(uow, user, known[user] + offset, entry)
        for user, new_entries in entries.items()
        for offset, entry in enumerate(new_entries, 1)
    ]
    try:
        await uow.add_all(rows)
    except Duplicate:
        for user in entries:
            known.pop(user, None)
        numbered = await asyncio.gather(
            *(append(uow, user, entries[user], known) for user in entries)
        )
        return dict(zip(entries, numbered, strict=True))
    numbers: dict[str, dict[str, int]] = {user: {} for user in entries}
    for row in rows:
        numbers[row.user_id][row.event] = known[row.user_id] = row.seq
    return dict(numbers)


async def append(
    uow: UnitOfWork, user: str, entries: Sequence[Entry], known: dict[str, int]
) -> Mapping[str, int]:
    """Append to one user's feed while other processes write to it too: event id -> number.

    The insert is ordered and starts at head + 1. It stops at the first number or event that exists
    already, so it never leaves a gap.
    """
    numbers: dict[str, int] = {}
    waiting = list(entries)
    for _ in range(ATTEMPTS):
        head = known[user] if user in known else await read_head(uow, user)
        rows = [_row(uow, user, head + offset, entry) for offset, entry in enumerate(waiting, 1)]
        try:
            await uow.add_all(rows)
        except Duplicate:
            known.pop(user, None)
            events = [entry.event for entry in waiting]
            # `$gt` repeats the filter of the partial index, so that MongoDB may use it.
            existing = {"user_id": user, "event": {"$in": events, "$gt": ""}}
            delivered = await uow.all(FeedRow, existing, limit=len(events))
            numbers |= {row.event: row.seq for row in delivered}
            waiting = [entry for entry in waiting if entry.event not in numbers]
            if waiting:
                continue
        else:
            numbers |= {row.event: row.seq for row in rows}
        known[user] = max(numbers.values(), default=head)
        return numbers
    raise Duplicate(f"no free place in the feed of {user}")


async def read_head(uow: UnitOfWork, user: str) -> int:
    """The highest number in use: of the last row, or the kept head once all rows have expired."""
    where = {"user_id": user, "seq": {"$gt": 0}}
    # Not as records: a damaged row must not stop the events after it.
    last = [row["seq"] async for row in uow.documents(FeedRow, where, (("seq", -1),), 1)]
    if last:
        return int(last[0])
    state = await uow.find(FeedHead, {"_id": _head_id(user)})
    return state.head if state else 0


async def keep_heads(uow: UnitOfWork, known: Mapping[str, int]) -> None:
    """Write heads where they outlive the rows. Rows live for 30 days, so this may be delayed."""
    if not known:
        return
    kept = await heads(uow, list(known))
    missing, higher = [], []
    for user, head in known.items():
        if user not in kept:
            missing.append(uow.new(FeedHead, id=_head_id(user), head=head))
        elif kept[user].head < head:
            higher.append(({"_id": _head_id(user)}, {"head": head}))
    await uow.add_missing(missing)
    if higher:
        await uow.raise_fields(FeedHead, higher)


async def keep_heads_of_expiring(uow: UnitOfWork) -> None:
    """Keep the heads of feeds whose rows expire within two days, also after a crashed process."""
    soon = {"$lt": uow.now + timedelta(days=2)}
    rows = await uow.aggregate(
        FeedRow,
        [
            {"$match": {"expires_at": soon}},
            {"$group": {"_id": "$user_id", "head": {"$max": "$seq"}}},
        ],
    )
    await keep_heads(uow, {row["_id"]: row["head"] for row in rows})


def _row(uow: UnitOfWork, user: str, seq: int, entry: Entry) -> FeedRow:
    delivery = entry.delivery
    return uow.new(
        FeedRow,
        created_at=entry.at,
        user_id=user,
        seq=seq,
        event=entry.event,
        namespace=delivery.namespace,
        name=delivery.name,
        data=delivery.data,
        expires_at=uow.now + KEPT,
        own=delivery.name == NOTICE and delivery.data["own"],
    )


def _head_id(user: str) -> str:
    return f"head:{user}"
