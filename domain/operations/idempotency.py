"""Stored replies: a repeated request id returns the first success instead of running again."""

import asyncio
import contextlib
import hashlib
import secrets
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import msgspec

from domain.kernel.actor import Actor
from domain.kernel.errors import RequestIdReused, RequestInProgress
from domain.kernel.mongo_client import WaitLimit
from domain.kernel.record import Index, Record
from domain.kernel.store import TRANSACTION_SECONDS, UNREACHABLE, Duplicate, Store, UnitOfWork
from domain.operations.command import Command

REPLY_KEPT = timedelta(hours=24)
CLAIM_HELD = timedelta(seconds=TRANSACTION_SECONDS + 5)  # no command runs for longer
DROP_SECONDS = 2.0
LOOKS, LOOK_SECONDS = 10, 0.1  # for the row that another insert has begun


class Reply(Record, frozen=True):
    """The first successful reply to a request id, with `claimed_by` while the command runs."""

    COLLECTION = "requests"
    PREFIX = "req"
    INDEXES = (Index((("expires_at", 1),), ttl_seconds=0),)
    LOGGED = False
    ENCRYPTED = frozenset({"answer"})

    fingerprint: str
    expires_at: datetime
    claimed_by: str | None = None
    claimed_until: datetime | None = None
    answer: Any = None


class ClaimLost(Exception):
    """The claim is not the caller's any more: it ran out, or its reply is stored."""


class Claim(msgspec.Struct, frozen=True):
    """The right to run a request id. Another process takes it over after CLAIM_HELD."""

    id: str
    token: str

    async def settle(self, uow: UnitOfWork, answer: Any) -> None:
        """Store the reply in the command's transaction. Raises ClaimLost."""
        done = await uow.change(
            Reply,
            self.id,
            only_if={"claimed_by": self.token},
            claimed_by=None,
            claimed_until=None,
            answer=answer,
            expires_at=uow.now + REPLY_KEPT,
        )
        if done is None:
            raise ClaimLost

    async def drop(self, store: Store) -> Reply | None:
        """Release a claim after a failure. Failures are not stored, so the caller may try again.

        Returns the reply if one is stored: of an attempt that the database carried out although it
        answered that it did not, or of another process. Then the failure is one of running twice.
        When the database fails or does not answer in time, the claim ends by itself.
        """
        uow = store.single()
        with contextlib.suppress(*UNREACHABLE):
            with WaitLimit(DROP_SECONDS):
                if not await uow.remove(Reply, {"_id": self.id, "claimed_by": self.token}):
                    return await uow.find(Reply, {"_id": self.id, "claimed_by": None})
        return None


async def store_reply(
    uow: UnitOfWork, user_id: str, request_id: str, fingerprint: str, answer: Any
) -> None:
    """Store the reply of a request that was refused before and is carried out now.

    Raises Duplicate while the request runs again.
    """
    row = uow.new(
        Reply,
        id=f"{user_id}:{request_id}",
        fingerprint=fingerprint,
        expires_at=uow.now + REPLY_KEPT,
        answer=answer,
    )
    await uow.add(row)


async def claim_request(
    name: str, command: Command, actor: Actor, request_id: str, store: Store
) -> Claim | Reply:
    """Claim the request id for operation `name`, or return its stored reply.

    Raises RequestInProgress while the command runs, and RequestIdReused for other fields.
    """
    uow = store.single()
    claim = Claim(f"{actor.id}:{request_id}", secrets.token_hex(8))
    row = uow.new(
        Reply,
        id=claim.id,
        fingerprint=fingerprint(name, command),
        expires_at=uow.now + REPLY_KEPT,
        claimed_by=claim.token,
        claimed_until=uow.now + CLAIM_HELD,
    )
    first = await _insert_or_find(uow, row)
    # The driver inserts it twice after a lost answer.
    if first is None or first.claimed_by == claim.token:
        return claim
    if first.fingerprint != row.fingerprint:
        raise RequestIdReused
    if first.claimed_by is None:
        return first
    abandoned = {"claimed_by": first.claimed_by, "claimed_until": {"$lt": uow.now}}
    taken = await uow.change(
        Reply,
        claim.id,
        only_if=abandoned,
        claimed_by=claim.token,
        claimed_until=uow.now + CLAIM_HELD,
    )
    if taken is None:
        raise RequestInProgress
    return claim


async def _insert_or_find(uow: UnitOfWork, row: Reply) -> Reply | None:
    """Insert the row, or return the one that has its id. Raises RequestInProgress.

    It may not be visible yet, such as the driver's own first attempt after a lost connection, or
    may have been dropped since.
    """
    for _ in range(LOOKS):
        try:
            await uow.add(row)
            return None
        except Duplicate:
            if first := await uow.find(Reply, {"_id": row.id}):
                return first
        await asyncio.sleep(LOOK_SECONDS)
    raise RequestInProgress


def fingerprint(name: str, command: Command) -> str:
    """A digest of a command and its fields; a default is the same whether it was sent or not."""
    canonical = msgspec.json.encode([name, _without_defaults(command)], order="deterministic")
    return hashlib.sha256(canonical).hexdigest()


def _without_defaults(value: Any) -> Any:
    """The fields of a command that differ from their defaults: a new optional field, in a later
    version of the server, does not change the digest of a command without it."""
    if isinstance(value, list | tuple):
        return [_without_defaults(item) for item in value]
    if not isinstance(value, msgspec.Struct):
        return value
    fields = ((name, getattr(value, name), usual) for name, usual in _defaults(type(value)))
    return {name: _without_defaults(field) for name, field, usual in fields if field != usual}


@cache
def _defaults(kind: type[msgspec.Struct]) -> list[tuple[str, Any]]:
    """The names of the fields, and their defaults, or NODEFAULT."""
    return [
        (
            field.name,
            field.default
            if field.default_factory is msgspec.NODEFAULT
            else field.default_factory(),
        )
        for field in msgspec.structs.fields(kind)
    ]
