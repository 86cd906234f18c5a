"""Starting and ending sessions. What is ended is recorded in MongoDB, and then carried out.

Decision: Redis holds the sessions, but it may vanish at any time, and an ended session must not
come back then. So the end of a session is a record first, and each process reads the recent ones
once a second; an event over Redis is only faster. While Redis is away the records are asked.

All sessions of a user end by a number: sessions have a generation, and `sessions_valid_from` of the
user is the first one that is valid. A time was rejected, because a session that is started while
its user's password changes would be later than the change and survive it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Any

from domain.accounts.user import User
from domain.kernel.errors import Banned, NotFound, Unavailable, WrongCredentials
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.operations.task import Task, TryAgain
from domain.ports.ports import Ports
from domain.ports.sessions import ACCESS_LIFE, EXTENDED, SESSION_LIFE, Tokens

# From the end of a session in Redis: no access token of it is accepted any more after that.
REVOCATION_KEPT = ACCESS_LIFE + EXTENDED + timedelta(minutes=5)


class Revocation(Record, frozen=True):
    """The recent end of one session, or of all sessions of a user.

    The id is `user:session` for one session. It is the user's id for all of them: then sessions of
    generations before `valid_from` ended, except the session `kept`. It expires REVOCATION_KEPT
    after the end in Redis, which may come later.
    """

    COLLECTION = "revocations"
    PREFIX = "rev"
    INDEXES = (
        Index((("expires_at", 1),), ttl_seconds=0),
        Index((("updated_at", 1),)),
    )
    LOGGED = False

    user_id: str
    expires_at: datetime
    session_id: str = ""
    valid_from: int = 0
    kept: str = ""
    banned: bool = False  # whether the user was, when all of them ended


def revocation_id(user_id: str, session_id: str) -> str:
    return f"{user_id}:{session_id}"


class EndSessions(Task, frozen=True, tag="end_sessions"):
    """Carry out the revocation of a user's sessions. As a task it is retried until it succeeds."""

    user_id: str

    async def run(self, ports: Ports) -> None:
        await _carry_out(self.end(ports))

    async def end(self, ports: Ports) -> None:
        """Raises Unavailable while Redis is away."""
        uow = ports.store.single()
        found = await uow.find(Revocation, {"_id": self.user_id})
        if found is None:
            return
        await ports.sessions.end_all(
            self.user_id, found.valid_from, found.kept, banned=found.banned
        )
        same = {"valid_from": found.valid_from}
        expires_at = uow.now + REVOCATION_KEPT
        await uow.change(Revocation, found.id, only_if=same, expires_at=expires_at)


class EndSession(Task, frozen=True, tag="end_session"):
    """Carry out the revocation of one session."""

    user_id: str
    session_id: str

    async def run(self, ports: Ports) -> None:
        await _carry_out(self.end(ports))

    async def end(self, ports: Ports) -> None:
        """Raises Unavailable while Redis is away."""
        uow = ports.store.single()
        await ports.sessions.end(self.user_id, self.session_id)
        id, expires_at = revocation_id(self.user_id, self.session_id), uow.now + REVOCATION_KEPT
        await uow.change(Revocation, id, expires_at=expires_at)


async def _carry_out(ending: Awaitable[None]) -> None:
    """Redis may be away for hours: that is no failure of the task. Raises TryAgain."""
    try:
        await ending
    except Unavailable as away:
        raise TryAgain("The store of sessions is away.") from away


async def end_all_sessions(uow: UnitOfWork, user_id: str, keep: str = "") -> None:
    """Revoke all sessions of a user, optionally but the session `keep`. Raises NotFound.

    They are invalid from the commit on. Call `end_revoked_sessions` after it, so that they are
    closed before the caller is answered; without it a task closes them soon.
    """
    inc = {"sessions_valid_from": 1}
    user = await uow.change(User, user_id, inc=inc, kept_session=keep)
    if user is None:
        raise NotFound
    valid_from, banned = user.sessions_valid_from, user.banned_at is not None
    await _record(uow, user_id, user_id, valid_from=valid_from, kept=keep, banned=banned)
    uow.later(EndSessions(user_id))


async def end_revoked_sessions(ports: Ports, user_id: str) -> None:
    """Close the sessions that `end_all_sessions` revoked. While Redis is away the task does."""
    with contextlib.suppress(Unavailable):
        await EndSessions(user_id).end(ports)


async def end_session(ports: Ports, user_id: str, session_id: str) -> None:
    """End one session and close its connections on all processes."""
    ending = EndSession(user_id, session_id)

    async def revoke(uow: UnitOfWork) -> None:
        id = revocation_id(user_id, session_id)
        await _record(uow, id, user_id, session_id=session_id)
        uow.later(ending)

    await ports.store.transact(revoke)
    with contextlib.suppress(Unavailable):
        await ending.end(ports)


async def _record(uow: UnitOfWork, id: str, user_id: str, **fields: Any) -> None:
    """Write a revocation that lasts until it is carried out."""
    until = uow.now + SESSION_LIFE
    if await uow.change(Revocation, id, expires_at=until, **fields) is None:
        await uow.add(uow.new(Revocation, id=id, user_id=user_id, expires_at=until, **fields))


async def is_revoked(uow: UnitOfWork, user_id: str, session_id: str, generation: int) -> bool:
    """Whether MongoDB knows of the end of a session, or of its user's ban or deletion."""
    user, ended = await asyncio.gather(
        uow.find(User, {"_id": user_id}),
        uow.find(Revocation, {"_id": revocation_id(user_id, session_id)}),
    )
    if user is None or user.banned_at or user.deleted_at or ended:
        return True
    return generation < user.sessions_valid_from and session_id != user.kept_session


async def start_valid_session(
    ports: Ports, user: User, address: str, device: str, limited: bool = False
) -> tuple[User, Tokens]:
    """Sign in a user whose credentials were checked against this record of them.

    The user is read again after the session starts: of a ban or a change of the password at the
    same time, either this sees it, or it ends the session. Raises Banned, WrongCredentials.
    """
    generation = user.sessions_valid_from
    tokens = await ports.sessions.start(
        user.id, user.role, address, device=device, limited=limited, generation=generation
    )
    now = await ports.store.single().find(User, {"_id": user.id})
    if now and not (now.banned_at or now.deleted_at or now.sessions_valid_from != generation):
        return now, tokens
    await ports.sessions.end(user.id, tokens.refresh_token.partition(".")[0])
    raise Banned if now and now.banned_at else WrongCredentials
