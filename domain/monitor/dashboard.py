"""The administrators' dashboard: counts and totals of the market, once or as a live stream."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from domain.kernel.actor import ADMINS, Actor
from domain.kernel.fields import about
from domain.kernel.outbox import Event, Numbering
from domain.kernel.rooms import LIVE_MONITOR
from domain.kernel.store import UnitOfWork
from domain.monitor import bucket, tally
from domain.monitor.bucket import Step
from domain.monitor.catalog import SeriesName
from domain.operations.command import Meta, NoFields, Style
from domain.operations.operation import operation
from domain.ports.ports import Ports

OF_TODAY = (
    SeriesName.CAPTURED,
    SeriesName.REFUNDED,
    SeriesName.COMMISSION,
    SeriesName.PAID_OUT,
    SeriesName.PAYMENTS_CAPTURED,
    SeriesName.PAYMENTS_FAILED,
)


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
    counted_at: Annotated[
        datetime,
        about(
            "When all but `sockets` and `today` was counted: now, or about half a minute ago if "
            "there are many records."
        ),
    ]
    waiting: Annotated[
        dict[str, int],
        about(
            "How many `alerts`, `approvals`, `disputes`, `dead_letters` and `events` of Stripe "
            "wait for an administrator, each up to 1,000."
        ),
    ]
    today: Annotated[
        dict[str, float],
        about("What happened since midnight UTC, by the names of `admin.series`."),
    ]


STATS = Event(
    "/admin",
    "stats",
    Overview,
    Numbering.NEVER,
    about="Every second, to connections that asked `admin.live`. Each replaces the one before.",
)


async def overview_of(uow: UnitOfWork, sockets: int, exact: bool = False) -> Overview:
    """Reads two documents by their keys; few records are counted again."""
    counts = await tally.current(uow, exact)
    return Overview(
        users=counts.users,
        jobs=counts.jobs,
        offers=counts.offers,
        payments=counts.payments,
        commission=counts.commission,
        escrow=counts.escrow,
        dead_letters=counts.waiting.get("dead_letters", 0),
        sockets=sockets,
        counted_at=counts.counted_at,
        waiting=counts.waiting,
        today=_of_today(await _today(uow)),
    )


async def _today(uow: UnitOfWork) -> Mapping[str, float]:
    midnight = bucket.floor(uow.now, Step.DAY)
    found = await bucket.read(uow, Step.DAY, midnight, midnight + timedelta(days=1))
    return found[0][1] if found else {}


def _of_today(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name.partition(":")[0] in OF_TODAY}


@operation("admin.overview", roles=ADMINS, style=Style.DIRECT)
async def overview(cmd: NoFields, actor: Actor, ports: Ports, meta: Meta) -> Overview:
    """Count users, jobs, offers and payments by status; sum commission and escrow."""
    return await overview_of(ports.store.single(), await ports.gauges.sockets(), exact=True)


@operation(
    "admin.live", roles=ADMINS, style=Style.DIRECT, joins=lambda answer, actor: [LIVE_MONITOR]
)
async def live(cmd: NoFields, actor: Actor, ports: Ports, meta: Meta) -> Overview:
    """Subscribe this connection to `stats`, every second, to `series`, and to `activity`."""
    return await overview_of(ports.store.single(), await ports.gauges.sockets(), exact=True)
