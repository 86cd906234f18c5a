"""Leases: one process at a time runs a scheduled job.

The holder renews its lease. When the holder dies, another process takes the lease after it expires.
Correctness does not depend on leases: each step of a job is a guarded update, so a holder that
outlives its lease only repeats work.
"""

from datetime import datetime, timedelta
from typing import Any

from domain.kernel.record import Record
from domain.kernel.store import Duplicate, Store

LEASE_TIME = timedelta(seconds=15)


class Lease(Record, frozen=True):
    """`fence` counts the holders; `ran_at` is when the job was last finished, by any holder."""

    COLLECTION = "leases"
    PREFIX = "lease"

    holder: str
    until: datetime
    fence: int = 1
    ran_at: datetime | None = None

    def ran_within(self, span: timedelta, now: datetime) -> bool:
        """Whether the job was finished within `span`; a new lease counts as just run.

        A time in the future was written under another clock and does not count.
        """
        return timedelta() <= now - (self.ran_at or self.created_at) < span

    def is_free(self, now: datetime) -> bool:
        """Whether any process may take it. An end later than two lease times from now was written
        under another clock."""
        return not now < self.until <= now + 2 * LEASE_TIME


async def find(store: Store, name: str) -> Lease | None:
    """Read a lease without taking it."""
    return await store.single().find(Lease, {"_id": name})


async def hold(store: Store, name: str, rest: timedelta = timedelta()) -> Lease | None:
    """Take or renew the lease `name` for this process; None while another process holds it, or if
    its job was finished within `rest`."""
    uow = store.single()
    mine: dict[str, Any] = {"holder": store.worker, "until": uow.now + LEASE_TIME}
    seen = await find(store, name)
    if seen is None:
        fresh = uow.new(Lease, id=name, **mine)
        try:
            await uow.add(fresh)
        except Duplicate:
            return None
        return fresh
    if seen.ran_within(rest, uow.now):
        return None
    if seen.holder == store.worker:
        return await uow.change(Lease, name, only_if={"holder": store.worker}, **mine)
    if not seen.is_free(uow.now):
        return None
    unchanged = {"holder": seen.holder, "until": seen.until}
    return await uow.change(Lease, name, only_if=unchanged, inc={"fence": 1}, **mine)


async def mark_finished(store: Store, name: str) -> bool:
    """Record that the holder has finished a run of the job, and renew its lease. Returns whether
    this process still holds it."""
    uow = store.single()
    now, until = uow.now, uow.now + LEASE_TIME
    own = {"holder": store.worker}
    return await uow.change(Lease, name, only_if=own, ran_at=now, until=until) is not None


async def release(store: Store, name: str) -> None:
    """Free the lease for other processes."""
    uow = store.single()
    await uow.change(Lease, name, only_if={"holder": store.worker}, until=uow.now)
