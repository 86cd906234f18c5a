"""Stored replies: a repeated request id returns the first success instead of running again."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

import msgspec

from domain.kernel.actor import Actor
from domain.kernel.errors import RequestIdReused, RequestInProgress
from domain.kernel.record import Index, Record
from domain.kernel.store import TRANSACTION_SECONDS, Duplicate, Store, UnitOfWork

REPLY_KEPT = timedelta(hours=24)
CLAIM_HELD = timedelta(seconds=TRANSACTION_SECONDS + 5)  # then whoever had it was killed


class Reply(Record, frozen=True):
    """The first success of a request id; `claimed_by` while it still runs."""

    COLLECTION = "requests"
    PREFIX = "req"
    INDEXES = (Index((("expires_at", 1),), ttl_seconds=0),)
    LOGGED = False

    fingerprint: str
    expires_at: datetime
    claimed_by: str | None = None
    claimed_until: datetime | None = None
    answer: Any = None


class Claim(msgspec.Struct, frozen=True):
    """The right to run a request id; lost when another process takes over after a crash."""

    id: str
    token: str

    async def settle(self, uow: UnitOfWork, answer: Any) -> None:
        """Part of the command's own transaction. Raises RequestInProgress when taken over."""
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
            raise RequestInProgress

    async def drop(self, store: Store) -> None:
        """Failures are not kept, so that the caller may correct and try again."""
        await store.single().remove(Reply, {"_id": self.id, "claimed_by": self.token})


async def claim_request(
    name: str, fields: Any, actor: Actor, request_id: str, store: Store
) -> Claim | Reply:
    """The right to run operation `name` under this request id, or its stored reply.

    Raises RequestInProgress while it runs elsewhere, and RequestIdReused for other fields.
    """
    uow = store.single()
    claim = Claim(f"{actor.id}:{request_id}", secrets.token_hex(8))
    row = uow.new(
        Reply,
        id=claim.id,
        fingerprint=fingerprint(name, fields),
        expires_at=uow.now + REPLY_KEPT,
        claimed_by=claim.token,
        claimed_until=uow.now + CLAIM_HELD,
    )
    try:
        await uow.add(row)
        return claim
    except Duplicate:
        first = await uow.find(Reply, {"_id": claim.id})
    if first is None:
        raise RequestInProgress
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


def fingerprint(name: str, fields: Any) -> str:
    """What tells one command with its fields from another."""
    canonical = msgspec.json.encode([name, fields], order="deterministic")
    return hashlib.sha256(canonical).hexdigest()
