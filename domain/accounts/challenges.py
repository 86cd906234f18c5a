"""Challenges of sign-ins and passkeys: signed when they are issued, stored when they are used.

Decision: an anonymous request for a challenge writes nothing, so it cannot fill the database. Only
a valid answer to one stores its id, in MongoDB, so that it is refused the second time while Redis
is away, too.
"""

from datetime import datetime, timedelta

from domain.kernel.errors import Unauthenticated
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.ports.second_factors import Challenge

LIFE = timedelta(minutes=5)


class UsedChallenge(Record, frozen=True):
    """A challenge that was answered, by its id, until it expires."""

    COLLECTION = "challenges"
    PREFIX = "chl"
    INDEXES = (Index((("expires_at", 1),), ttl_seconds=0),)
    LOGGED = False

    expires_at: datetime


async def refuse_used(uow: UnitOfWork, challenge: Challenge) -> None:
    """Raises Unauthenticated."""
    if await uow.find(UsedChallenge, {"_id": challenge.id}):
        raise Unauthenticated("This was answered before: start again.")


async def use_up(uow: UnitOfWork, challenge: Challenge) -> None:
    """Within the transaction of what the challenge allows. Raises Unauthenticated at its reuse."""
    await refuse_used(uow, challenge)
    await uow.add(uow.new(UsedChallenge, id=challenge.id, expires_at=challenge.expires_at))
