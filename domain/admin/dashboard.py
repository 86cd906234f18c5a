"""The administrators' dashboard: counts and totals of the market, once or as a live stream."""

import asyncio
from typing import Annotated

import msgspec

from domain import ledger
from domain.accounts.user import User
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.jobs.job import Job
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.fields import about
from domain.kernel.outbox import Event, Numbering, OutboxRow
from domain.kernel.record import Record
from domain.kernel.rooms import LIVE_MONITOR
from domain.kernel.store import UnitOfWork
from domain.operations.command import Meta, NoFields, Style
from domain.operations.operation import operation
from domain.ports.ports import Ports


class Overview(msgspec.Struct, frozen=True):
    """Counts by status, and money by currency in minor units."""

    users: Annotated[dict[str, int], about("How many there are, by role.")]
    jobs: Annotated[dict[str, int], about("How many there are, by status.")]
    offers: Annotated[dict[str, int], about("How many there are, by status.")]
    payments: Annotated[dict[str, int], about("How many there are, by status.")]
    commission: Annotated[
        dict[str, int], about("The platform's balance by currency, in minor units.")
    ]
    escrow: Annotated[dict[str, int], about("The money in escrow by currency, in minor units.")]
    dead_letters: Annotated[int, about("How many tasks and pushes have failed for good.")]
    sockets: Annotated[int, about("How many connections all processes have.")]


STATS = Event(
    "/admin",
    "stats",
    Overview,
    Numbering.NEVER,
    about="Every second, to connections that asked `admin.live`. Each replaces the one before.",
)


async def overview_of(uow: UnitOfWork, sockets: int) -> Overview:
    users, jobs, offers, payments = await asyncio.gather(
        _counts(uow, User, "role"),
        _counts(uow, Job, "status"),
        _counts(uow, Offer, "status"),
        _counts(uow, Payment, "status"),
    )
    commission, escrow, dead_letters = await asyncio.gather(
        ledger.balance_of(uow, ledger.PLATFORM),
        ledger.total_escrow(uow),
        uow.count(OutboxRow, {"dead": True}),
    )
    return Overview(users, jobs, offers, payments, commission, escrow, dead_letters, sockets)


async def _counts(uow: UnitOfWork, kind: type[Record], field: str) -> dict[str, int]:
    """The number of records by value of `field`.

    The sort lets MongoDB read the index on `field` only.
    """
    rows = await uow.aggregate(
        kind, [{"$sort": {field: 1}}, {"$group": {"_id": f"${field}", "count": {"$sum": 1}}}]
    )
    return {row["_id"]: row["count"] for row in rows}


@operation("admin.overview", roles=ADMINS, style=Style.DIRECT)
async def overview(cmd: NoFields, actor: Actor, ports: Ports, meta: Meta) -> Overview:
    """Count users, jobs, offers and payments by status; sum commission and escrow."""
    return await overview_of(ports.store.single(), await ports.gauges.sockets())


@operation(
    "admin.live", roles=ADMINS, style=Style.DIRECT, joins=lambda answer, actor: [LIVE_MONITOR]
)
async def live(cmd: NoFields, actor: Actor, ports: Ports, meta: Meta) -> Overview:
    """Subscribe this connection to `stats`, pushed every second, and to `activity`."""
    return await overview_of(ports.store.single(), await ports.gauges.sockets())
