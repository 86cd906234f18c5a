"""Leases: of all processes one at a time does a piece of scheduled work.

A lease says who may and until when. Its holder renews it; when the holder dies, the next one takes
over once the time is up. Nothing that is done under a lease depends on being alone: each step is
guarded by itself, so that a holder that slept through its time does no harm, only double work.
"""

from datetime import datetime, timedelta

from domain.kernel.record import Record
from domain.kernel.store import Duplicate, Store

LEASE_TIME = timedelta(seconds=15)


class Lease(Record, frozen=True):
    """`fence` counts the holders: a write of an earlier one can be told from its number.

    `ran_at` is when the work was last finished, by whomever.
    """

    COLLECTION = "leases"
    PREFIX = "lease"

    holder: str
    until: datetime
    fence: int = 1
    ran_at: datetime | None = None

    def ran_within(self, span: timedelta, now: datetime) -> bool:
        """A new lease counts from its beginning; a time still to come is of another clock."""
        return timedelta() <= now - (self.ran_at or self.created_at) < span


async def find(store: Store, name: str) -> Lease | None:
    """Look without taking it."""
    return await store.single().find(Lease, {"_id": name})


async def hold(store: Store, name: str) -> Lease | None:
    """Take or renew the lease `name` for this process; None while another one has it.

    One that ends further in the future than any lease is long was written under another clock,
    and is free.
    """
    uow = store.single()
    now, until = uow.now, uow.now + LEASE_TIME
    own = await uow.change(Lease, name, only_if={"holder": store.worker}, until=until)
    if own:
        return own
    over = {"$or": [{"until": {"$lte": now}}, {"until": {"$gt": now + 2 * LEASE_TIME}}]}
    taken = await uow.change(
        Lease, name, only_if=over, inc={"fence": 1}, holder=store.worker, until=until
    )
    if taken:
        return taken
    fresh = uow.new(Lease, id=name, holder=store.worker, until=until)
    try:
        await uow.add(fresh)
    except Duplicate:
        return None
    return fresh


async def mark_finished(store: Store, name: str) -> None:
    """The holder's work is done for this time."""
    uow = store.single()
    await uow.change(Lease, name, only_if={"holder": store.worker}, ran_at=uow.now)


async def release(store: Store, name: str) -> None:
    """Let the next one begin at once."""
    uow = store.single()
    await uow.change(Lease, name, only_if={"holder": store.worker}, until=uow.now)
