"""Presence: who is online, who was last seen when, and how many users view a job.

A user who hides their presence does not see that of others. `LastSeen` is a record of its own,
because it changes with every disconnect and the user's record does not.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.accounts.user import User
from domain.kernel.actor import PARTIES, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import JobId, UserId, about
from domain.kernel.outbox import Event, Lane, Numbering
from domain.kernel.record import Record
from domain.kernel.rooms import job_in, presence_room, user_in
from domain.kernel.store import Duplicate, UnitOfWork
from domain.operations.command import Command, Id, Meta, Style
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.ports import Ports


class LastSeen(Record, frozen=True):
    """When the last connection of a user closed. Its id is the user's id."""

    COLLECTION = "lastseen"
    PREFIX = "usr"

    at: datetime


class UserPresence(msgspec.Struct, frozen=True):
    """What another user sees: both fields are null if one of the two hides presence.

    `last_seen_at` is null while they are online.
    """

    user_id: UserId
    online: Annotated[
        bool | None, about("Whether they are online; null if one of the two hides it.")
    ] = None
    last_seen_at: Annotated[
        datetime | None,
        about("When they were last online; null if they are, and if one of the two hides it."),
    ] = None


PRESENCE = Event(
    "/chat",
    "presence",
    UserPresence,
    Numbering.NEVER,
    about="When a user comes online, goes offline, or shows their presence again, to connections "
    "that asked `chat.presence` for a conversation with them; once with nulls when one of the two "
    "blocks the other. Keep the latest.",
)


class PresenceList(msgspec.Struct, frozen=True):
    """The presence of several users."""

    items: Annotated[
        list[UserPresence],
        about("One for each other member of the conversations who may be reached."),
    ]


class Conversations(Command, frozen=True):
    conversation_ids: Annotated[
        tuple[Id, ...],
        Limits(max_length=100),
        about("The conversations whose members are asked for."),
    ]


def _rooms(answer: Any, actor: Actor) -> list[str]:
    return [presence_room(item["user_id"]) for item in answer["items"]]


@operation("chat.presence", roles=PARTIES, style=Style.DIRECT, joins=_rooms, errors=(NotFound,))
async def presence(cmd: Conversations, actor: Actor, ports: Ports, meta: Meta) -> PresenceList:
    """The presence of the other members; subscribes this connection to their `presence`.

    Members who block the caller, or are blocked, are left out; a block ends the subscription.
    Raises NotFound. A caller who hides presence gets an empty list and no pushes.
    """
    people = await ports.members.reachable(cmd.conversation_ids, actor.id)
    if not people or await _users_hiding_presence(ports.store.single(), [actor.id]):
        return PresenceList([])
    return PresenceList(await _read_presence(ports, people))


class PushPresence(Task, frozen=True, tag="push_presence"):
    """Push a user's presence after they changed whether they show it."""

    lane = Lane.NOTICE

    user_id: str

    async def run(self, ports: Ports) -> None:
        _push(ports, await _read_presence(ports, [self.user_id]))


def queue_presence(uow: UnitOfWork) -> None:
    """Queue a `PushPresence` for each user who changed `show_presence`. Called before each
    commit."""
    for change in uow.changes:
        if change.kind is User and change.before and _shows(change.before) != _shows(change.after):
            uow.later(PushPresence(change.after["_id"]))


def _shows(user: Mapping[str, Any]) -> bool:
    return bool(user.get("show_presence", True))


async def push_counts(ports: Ports, counts: Mapping[str, int]) -> None:
    """Push changed counts: connections of users, and viewers of jobs. Saves who went offline."""
    for room, count in counts.items():
        if job_id := job_in(room):
            ports.live.push(VIEWERS, JobViewers(job_id, count), room=room)
    users = {user: count > 0 for room, count in counts.items() if (user := user_in(room))}
    if not users:
        return
    uow = ports.store.single()
    await _save_last_seen(uow, [user for user, online in users.items() if not online])
    hidden = await _users_hiding_presence(uow, users)
    _push(
        ports,
        [
            UserPresence(user, online, None if online else uow.now)
            for user, online in users.items()
            if user not in hidden
        ],
    )


def _push(ports: Ports, people: Collection[UserPresence]) -> None:
    for seen in people:
        ports.live.push(PRESENCE, seen, room=presence_room(seen.user_id))


async def _read_presence(ports: Ports, people: Collection[str]) -> list[UserPresence]:
    uow, ids = ports.store.single(), tuple(people)
    hidden = await _users_hiding_presence(uow, ids)
    online = await ports.presence.online([id for id in ids if id not in hidden])
    rows = await uow.all(LastSeen, {"_id": ids}, limit=len(ids))
    last = {row.id: row.at for row in rows if row.id not in hidden | online}
    return [UserPresence(id, None if id in hidden else id in online, last.get(id)) for id in ids]


async def _users_hiding_presence(uow: UnitOfWork, people: Collection[str]) -> set[str]:
    where = {"_id": tuple(people), "show_presence": False}
    return {user.id for user in await uow.all(User, where, limit=len(people))}


async def _save_last_seen(uow: UnitOfWork, users: Collection[str]) -> None:
    """Save the time for users who went offline: three requests, however many users."""
    if not users:
        return
    ids = tuple(users)
    existing = {row.id for row in await uow.all(LastSeen, {"_id": ids}, limit=len(ids))}
    if existing:
        await uow.change_all(LastSeen, {"_id": tuple(existing)}, at=uow.now)
    try:
        await uow.add_all(
            [uow.new(LastSeen, id=id, at=uow.now) for id in ids if id not in existing]
        )
    except Duplicate:  # another process added one of them at the same time
        await _save_last_seen(uow, users)


class JobViewers(msgspec.Struct, frozen=True):
    """The number of users who watch a job; several devices of one user count once."""

    job_id: JobId
    viewers: Annotated[int, about("How many users watch it.")]


VIEWERS = Event(
    "/job",
    "job.viewers",
    JobViewers,
    Numbering.NEVER,
    about="When the number of viewers of a job changes, at most once a second, to connections "
    "that asked `job.watch`.",
)
