"""The chain over the audit trail: what was written can be neither edited, moved nor taken away.

Each row is numbered and sealed together with the seal of the row before it. The last one is also
kept outside of the trail as the anchor, so that a missing end shows. Whoever can write to the
database but has not the key can do none of it unseen; whoever copies the anchor elsewhere is safe
from those who have the key, too.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from domain.operation import Actor, Command, Cursor, Id, PageSize, Role, Style, operation
from domain.ports import Ports, Seal
from domain.record import Page, Record
from domain.store import UnitOfWork
from domain.trail import AuditRow

BATCH = 500
UNCHAINED_AFTER = timedelta(minutes=5)
ANCHOR = "anchor"
BEGINNING = ""
SEALED = tuple(
    name for name in AuditRow.__struct_fields__
    if name not in ("version", "updated_at", "chained", "seq", "mac")
)  # fmt: skip


class Anchor(Record, frozen=True):
    """The end of the chain, kept apart from it; `seal` is over both."""

    COLLECTION = "anchors"
    PREFIX = ANCHOR

    seq: int
    mac: str
    seal: str


class Finding(msgspec.Struct, frozen=True):
    """What is wrong with the trail, and at which number or row."""

    what: str
    subject: str


class Proof(msgspec.Struct):
    """How many rows were read, the head `seq:mac`, and what was found."""

    rows: int = 0
    head: str = ""
    findings: list[Finding] = []


def content(row: AuditRow) -> bytes:
    """All that a row tells, always in the same words."""
    told = {name: getattr(row, name) for name in SEALED}
    return msgspec.json.encode(told, order="deterministic")


def link(previous: str, seq: int, row: AuditRow) -> bytes:
    return b"\n".join((previous.encode(), str(seq).encode(), content(row)))


# -- writing ---------------------------------------------------------------------------------


async def extend(ports: Ports) -> int:
    """Number and seal the rows that have come; returns how many. One process at a time is meant
    to do it; two could only make each other fail, on the numbers."""
    done = 0
    while True:
        count = await ports.store.transact(lambda uow: _extend(uow, ports.seal))
        done += count
        if count < BATCH:
            return done


async def _extend(uow: UnitOfWork, seal: Seal) -> int:
    rows = await uow.all(AuditRow, {"chained": False}, (("_id", 1),), BATCH)
    if not rows:
        return 0
    last = await uow.find(AuditRow, {"seq": {"$gt": 0}}, (("seq", -1),))
    seq, mac = (last.seq or 0, last.mac or "") if last else (0, BEGINNING)
    sealed: list[tuple[str, dict[str, Any]]] = []
    for row in rows:
        seq += 1
        mac = seal.sign(link(mac, seq, row))
        sealed.append((row.id, {"chained": True, "seq": seq, "mac": mac}))
    await uow.change_each(AuditRow, sealed, only_if={"chained": False})
    signed = seal.sign(f"{seq}:{mac}".encode())
    if await uow.change(Anchor, ANCHOR, seq=seq, mac=mac, seal=signed) is None:
        now = uow.now
        await uow.add(
            Anchor(id=ANCHOR, created_at=now, updated_at=now, seq=seq, mac=mac, seal=signed)
        )
    return len(rows)


# -- proving ---------------------------------------------------------------------------------


async def prove(ports: Ports, noted: str | None = None) -> Proof:
    """Read the whole chain again. `noted` is a head that was written down elsewhere, before."""
    proof, uow = Proof(findings=[]), ports.store.single()
    seq, mac = 0, BEGINNING
    noted_seq, _, noted_mac = (noted or "").partition(":")
    async for row in _in_order(uow):
        proof.rows += 1
        assert row.seq is not None
        if row.seq != seq + 1:
            missing = f"{seq + 1}" if row.seq == seq + 2 else f"{seq + 1} to {row.seq - 1}"
            proof.findings.append(Finding("rows are missing", missing))
        if row.mac is None or not ports.seal.fits(link(mac, row.seq, row), row.mac):
            proof.findings.append(Finding("edited, moved, or behind a missing row", row.id))
        seq, mac = row.seq, row.mac or BEGINNING
        if noted_seq == str(seq) and noted_mac != mac:
            proof.findings.append(Finding("is not what was noted", row.id))
    proof.head = f"{seq}:{mac}"
    if noted_seq and int(noted_seq) > seq:
        proof.findings.append(Finding("the noted end is missing", noted_seq))
    await _check_end(uow, ports.seal, proof, seq, mac)
    return proof


async def _in_order(uow: UnitOfWork) -> AsyncIterator[AuditRow]:
    last = 0
    while True:
        rows = await uow.all(AuditRow, {"seq": {"$gt": last}}, (("seq", 1),), BATCH)
        for row in rows:
            yield row
        if len(rows) < BATCH:
            return
        last = rows[-1].seq or 0


async def _check_end(uow: UnitOfWork, seal: Seal, proof: Proof, seq: int, mac: str) -> None:
    anchor = await uow.find(Anchor, {"_id": ANCHOR})
    if anchor is None:
        if seq:
            proof.findings.append(Finding("the anchor is missing", ANCHOR))
    elif not seal.fits(f"{anchor.seq}:{anchor.mac}".encode(), anchor.seal):
        proof.findings.append(Finding("the anchor is edited", ANCHOR))
    elif anchor.seq > seq:
        missing = f"{seq + 1} to {anchor.seq}"
        proof.findings.append(Finding("the end of the trail is missing", missing))
    elif (anchor.seq, anchor.mac) != (seq, mac):
        await _check_anchored(uow, proof, anchor)
    old = {"chained": False, "created_at": {"$lt": uow.now - UNCHAINED_AFTER}}
    if stale := await uow.find(AuditRow, old, (("_id", 1),)):
        proof.findings.append(Finding("is not chained after minutes", stale.id))


async def _check_anchored(uow: UnitOfWork, proof: Proof, anchor: Anchor) -> None:
    """The chain has grown since the anchor was read; or rows were put behind it."""
    again = await uow.find(Anchor, {"_id": ANCHOR})
    there = await uow.find(AuditRow, {"seq": anchor.seq})
    grown = again is not None and again.seq > anchor.seq
    if not grown or there is None or there.mac != anchor.mac:
        proof.findings.append(Finding("the trail does not end at its anchor", str(anchor.seq)))


# -- reading ---------------------------------------------------------------------------------


class List(Command, frozen=True):
    """`operation` such as `admin.refund`; `subject` is the id of what was changed."""

    actor_id: Id | None = None
    operation: Id | None = None
    subject: Id | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class Deed(msgspec.Struct, frozen=True):
    """A row as administrators read it."""

    id: str
    at: datetime
    seq: int | None
    actor_id: str | None
    role: str | None
    operation: str
    request_id: str | None
    address: str
    subjects: tuple[str, ...]
    detail: Any


@operation("admin.audit", roles={Role.ADMIN}, style=Style.READ)
async def audit_rows(cmd: List, actor: Actor, uow: UnitOfWork) -> Page:
    """The trail, newest first."""
    given = {"actor_id": cmd.actor_id, "operation": cmd.operation, "subjects": cmd.subject}
    where = {name: value for name, value in given.items() if value}
    page = await uow.page(AuditRow, where, cursor=cmd.cursor, limit=cmd.limit)
    return Page([_deed(row) for row in page.items], page.next_cursor)


def _deed(row: AuditRow) -> Deed:
    return Deed(
        row.id, row.created_at, row.seq, row.actor_id, row.role, row.operation, row.request_id,
        row.address, row.subjects, msgspec.json.decode(row.detail),
    )  # fmt: skip
