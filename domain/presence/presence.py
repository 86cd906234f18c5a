"""Presence: who is there, who types, and when somebody was last seen.

Who does not show their own presence sees nobody else's. What was seen of a person is a record of
its own: it changes whenever they go, and the person does not.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.accounts.user import User
from domain.kernel.actor import PARTIES, Actor
from domain.kernel.outbox import Event, Lane
from domain.kernel.record import Record
from domain.kernel.rooms import job_in, presence_room, user_in
from domain.kernel.store import Duplicate, UnitOfWork
from domain.operations.command import Command, Id, Meta, Style
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.ports import Ports

PRESENCE = Event("/chat", "presence")


class LastSeen(Record, frozen=True):
    """When the last socket of a user went; its id is the user's."""

    COLLECTION = "lastseen"
    PREFIX = "usr"

    at: datetime


class Seen(msgspec.Struct, frozen=True):
    """What somebody else sees of a user: nothing (both null) if one of the two does not show it.

    `last_seen_at` is null while they are online.
    """

    user_id: str
    online: bool | None = None
    last_seen_at: datetime | None = None


class SeenPeople(msgspec.Struct, frozen=True):
    items: list[Seen]


class Conversations(Command, frozen=True):
    conversation_ids: Annotated[tuple[Id, ...], Limits(max_length=100)]


def _rooms(answer: Any) -> list[str]:
    return [presence_room(item["user_id"]) for item in answer["items"]]


@operation("chat.presence", roles=PARTIES, style=Style.DIRECT, joins=_rooms)
async def presence(cmd: Conversations, actor: Actor, ports: Ports, meta: Meta) -> SeenPeople:
    """The other members of these conversations; `presence` comes to this socket from now on.

    Raises NotFound. Who does not show their own presence gets an empty list, and no pushes.
    """
    people = await ports.members.others_in_all(cmd.conversation_ids, actor.id)
    if not people or await _hidden(ports.store.single(), [actor.id]):
        return SeenPeople([])
    return SeenPeople(await _seen(ports, people))


class ShowPresence(Task, frozen=True, tag="push_presence"):
    """Tell those who look that somebody shows their presence now, or does not any more."""

    lane = Lane.NOTICE

    user_id: str

    async def run(self, ports: Ports) -> None:
        _tell(ports, await _seen(ports, [self.user_id]))


def follow(uow: UnitOfWork) -> None:
    """Leave a task for each user who changed what they show; called before each commit."""
    for change in uow.changes:
        if change.kind is User and change.before and _shows(change.before) != _shows(change.after):
            uow.later(ShowPresence(change.after["_id"]))


def _shows(user: Mapping[str, Any]) -> bool:
    return bool(user.get("show_presence", True))


async def moved(ports: Ports, counts: Mapping[str, int]) -> None:
    """How many are in a room has changed: of sockets of a user, of users who watch a job."""
    for room, count in counts.items():
        if job_id := job_in(room):
            ports.live.push(VIEWERS, Viewers(job_id, count), room=room)
    users = {user: count > 0 for room, count in counts.items() if (user := user_in(room))}
    if not users:
        return
    uow = ports.store.single()
    await _note(uow, [user for user, online in users.items() if not online])
    hidden = await _hidden(uow, users)
    _tell(
        ports,
        [
            Seen(user, online, None if online else uow.now)
            for user, online in users.items()
            if user not in hidden
        ],
    )


def _tell(ports: Ports, people: Collection[Seen]) -> None:
    for seen in people:
        ports.live.push(PRESENCE, seen, room=presence_room(seen.user_id))


async def _seen(ports: Ports, people: Collection[str]) -> list[Seen]:
    uow, ids = ports.store.single(), tuple(people)
    hidden = await _hidden(uow, ids)
    online = await ports.presence.online([id for id in ids if id not in hidden])
    rows = await uow.all(LastSeen, {"_id": ids}, limit=len(ids))
    last = {row.id: row.at for row in rows if row.id not in hidden | online}
    return [Seen(id, None if id in hidden else id in online, last.get(id)) for id in ids]


async def _hidden(uow: UnitOfWork, people: Collection[str]) -> set[str]:
    where = {"_id": tuple(people), "show_presence": False}
    return {user.id for user in await uow.all(User, where, limit=len(people))}


async def _note(uow: UnitOfWork, gone: Collection[str]) -> None:
    """All in three requests: change those that are there, add the others."""
    if not gone:
        return
    ids = tuple(gone)
    there = {row.id for row in await uow.all(LastSeen, {"_id": ids}, limit=len(ids))}
    if there:
        await uow.change_all(LastSeen, {"_id": tuple(there)}, at=uow.now)
    try:
        await uow.add_all([uow.new(LastSeen, id=id, at=uow.now) for id in ids if id not in there])
    except Duplicate:  # one of them went on another process at the same moment
        await _note(uow, gone)


VIEWERS = Event("/job", "job.viewers")


class Viewers(msgspec.Struct, frozen=True):
    """How many people watch: each once, with however many devices."""

    job_id: str
    viewers: int
