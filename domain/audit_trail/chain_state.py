"""The state of the audit trail's hash chain for administrators, and the reports of its checks."""

from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from domain.audit_trail.hash_chain import ANCHOR, BEGINNING, OLDEST, Anchor
from domain.audit_trail.verification import Finding, Verification, alert_of, verify
from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.bounds import Bounded
from domain.kernel.fields import about
from domain.kernel.outbox import Event, Lane, Numbering
from domain.kernel.record import Index, Record
from domain.kernel.rooms import role_room
from domain.kernel.store import NEWEST, UnitOfWork, new_id
from domain.operations.audit_log import WaitingRow
from domain.operations.command import Meta, NoFields, Style
from domain.operations.limits import Limit
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.ports import Ports

KEPT = timedelta(days=400)
SYSTEM = "system"
SHOWN, MAX_COUNTED = 50, 10_000


class TrailCheck(Record, frozen=True):
    """The report of one check of the whole trail."""

    COLLECTION = "trail_checks"
    PREFIX = "trl"
    INDEXES = (Index((("created_at", 1),), ttl_seconds=int(KEPT.total_seconds())),)
    LOGGED = False

    by: Annotated[str, about("The id of the administrator who asked for it, or `system`.")]
    rows: Annotated[int, about("How many rows were read.")]
    head: Annotated[str, about("The end of the chain then, as number:MAC.")]
    finding_count: Annotated[int, about("In how many places the trail is not what was written.")]
    findings: Annotated[tuple[Finding, ...], Bounded(SHOWN), about("The first of these places.")]


class ChainState(msgspec.Struct, frozen=True):
    """The end of the chain, the rows that wait for it, and the last check."""

    head_seq: Annotated[int, about("The number of the last row in the chain.")]
    head_mac: Annotated[str, about("The MAC of the last row, to be compared with a noted one.")]
    anchor_ok: Annotated[
        bool, about("Whether the anchor, which keeps the end outside of the trail, is genuine.")
    ]
    waiting: Annotated[int, about("How many rows wait to be chained, counted up to 10,000.")]
    oldest_waiting_at: Annotated[
        datetime | None, about("When the oldest of them was written; null if none waits.")
    ]
    last_check: Annotated[
        TrailCheck | None, about("The last check of the whole trail; null if there was none.")
    ]


CHECKED = Event(
    "/admin",
    "trail.checked",
    TrailCheck,
    Numbering.NEVER,
    about="When a check of the audit trail has ended, to all administrators. `admin.audit_chain` "
    "has the last one.",
)


class QueuedCheck(msgspec.Struct, frozen=True):
    """A check that was asked for."""

    id: Annotated[str, about("The id that the report will have.")]


@operation("admin.audit_chain", roles=ADMINS, style=Style.DIRECT)
async def audit_chain(cmd: NoFields, actor: Actor, ports: Ports, meta: Meta) -> ChainState:
    """The state of the audit trail's chain and its last check."""
    uow = ports.store.single()
    anchor = await uow.find(Anchor, {"_id": ANCHOR})
    waiting = await uow.count(WaitingRow, {}, limit=MAX_COUNTED)
    oldest = await uow.find(WaitingRow, {}, OLDEST)
    return ChainState(
        head_seq=anchor.seq if anchor else 0,
        head_mac=anchor.mac if anchor else BEGINNING,
        anchor_ok=anchor is None or ports.seal.fits(anchor.head.encode(), anchor.seal),
        waiting=waiting,
        oldest_waiting_at=oldest.created_at if oldest else None,
        last_check=await uow.find(TrailCheck, {}, NEWEST),
    )


@operation("admin.audit_verify", roles=ADMINS, limits=(Limit(4, 3600),))
async def audit_verify(cmd: NoFields, actor: Actor, uow: UnitOfWork) -> QueuedCheck:
    """Check the whole trail; `trail.checked` is pushed when it has ended."""
    id = new_id(TrailCheck.PREFIX)
    uow.later(CheckTrail(id, actor.id))
    return QueuedCheck(id)


class CheckTrail(Task, frozen=True, tag="check_trail"):
    """Check the trail and keep the report. It may take minutes, so it waits beside exports."""

    lane = Lane.EXPORT

    check_id: str
    by: str

    async def run(self, ports: Ports) -> None:
        if await ports.store.single().find(TrailCheck, {"_id": self.check_id}) is None:
            await _keep_report(ports, self.check_id, self.by, await verify(ports))


async def verify_daily(ports: Ports) -> None:
    """Verify the trail, keep the report, and alert the administrators if it was changed."""
    await _keep_report(ports, new_id(TrailCheck.PREFIX), SYSTEM, await verify(ports))


async def _keep_report(ports: Ports, id: str, by: str, proof: Verification) -> None:
    async def keep(uow: UnitOfWork) -> None:
        report = uow.new(
            TrailCheck,
            id=id,
            by=by,
            rows=proof.rows,
            head=proof.head,
            finding_count=proof.count,
            findings=tuple(proof.findings[:SHOWN]),
        )
        await uow.add(report)
        uow.publish(CHECKED, report, room=role_room(Role.ADMIN))
        if proof.count:
            await alert_of(uow, proof)

    await ports.store.transact(keep)
