"""The chain over the audit trail: what was written can be neither edited, moved nor taken away.

Each row is numbered and sealed together with the seal of the row before it. The last one is also
kept outside of the trail as the anchor, and the chain goes on from there: what has been cut off
its end leaves a gap for good. Whoever can write to the database but has not the key can do none of
it unseen; whoever keeps the heads that the log tells is safe from those who put an older state of
the whole database back, too.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import msgspec

from domain.alerts import alert
from domain.kernel import documents
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import Conflict, Invalid
from domain.kernel.record import Page, Record
from domain.kernel.store import NEWEST, Duplicate, UnitOfWork
from domain.operations.audit_log import AuditRow, WaitingRow
from domain.operations.command import Command, Cursor, Id, Moment, PageSize, Style
from domain.operations.operation import operation
from domain.ports.ports import Ports, Seal

READ, BATCH = 1000, 10
REST = 10  # times what a batch took
SHOWN = 200
UNCHAINED_AFTER = timedelta(minutes=5)
ANCHOR = "anchor"
BEGINNING = ""
HEAD = re.compile(r"(\d{1,18}):(\S*)")
CHAINED = {"seq": {"$gt": 0}}
OLDEST = (("_id", 1),)

R = TypeVar("R", bound=WaitingRow)


class Anchor(Record, frozen=True):
    """The end of the chain, kept apart from it; `seal` is over both."""

    COLLECTION = "anchors"
    PREFIX = ANCHOR

    seq: int
    mac: str
    seal: str

    @property
    def head(self) -> str:
        return f"{self.seq}:{self.mac}"


class Finding(msgspec.Struct, frozen=True):
    """What is wrong with the trail, and at which number or row."""

    what: str
    subject: str


class Proof(msgspec.Struct):
    """How many rows were read, the head `seq:mac`, what was found, and the first of it."""

    rows: int = 0
    head: str = ""
    count: int = 0
    findings: list[Finding] = []

    def add(self, what: str, subject: object) -> None:
        self.count += 1
        if len(self.findings) < SHOWN:
            self.findings.append(Finding(what, str(subject)))


def link(previous: str, seq: int, seal: str) -> bytes:
    return f"{previous}\n{seq}\n{seal}".encode()


# -- writing ---------------------------------------------------------------------------------


class End(msgspec.Struct, frozen=True):
    """Where the chain goes on: behind this number and seal, and from this anchor."""

    seq: int
    mac: str
    anchor: Anchor | None


async def extend(ports: Ports, rest: float = REST) -> int:
    """Number and seal the rows that have come; returns how many were taken. It is meant for one
    process at a time, and makes way for the commands that write meanwhile: after each batch it
    rests for `rest` times as long as that took, or once if many wait."""
    done, end = 0, None
    while True:
        waiting = ports.store.single().documents(WaitingRow, {}, OLDEST, READ)
        rows = [row async for row in waiting]
        for start in range(0, len(rows), BATCH):
            began = time.monotonic()
            part = rows[start : start + BATCH]
            try:
                if end is None:
                    end = await ports.store.transact(partial(_end, seal=ports.seal))
                end = await _bind(ports, part, end)
            except Conflict:  # another one is at it
                return done
            done += len(part)
            took = time.monotonic() - began
            await asyncio.sleep(took * (min(1, rest) if len(rows) == READ else rest))
        if len(rows) < READ:
            return done


async def _bind(ports: Ports, rows: Sequence[dict[str, Any]], end: End) -> End:
    """Take these rows into the chain. Raises Conflict if somebody else took some of them."""
    bind = partial(_move, seal=ports.seal, end=end, rows=rows)
    with contextlib.suppress(Duplicate):
        return await ports.store.transact(partial(bind, new=rows))
    # Some were written once more after a crash, or another one is at it.
    there = ports.store.single().documents(AuditRow, {"_id": _ids(rows)}, OLDEST)
    known = {row["_id"] async for row in there}
    new = [row for row in rows if row["_id"] not in known]
    try:
        return await ports.store.transact(partial(bind, new=new))
    except Duplicate as there_first:
        raise Conflict from there_first


async def _move(
    uow: UnitOfWork,
    seal: Seal,
    end: End,
    rows: Sequence[dict[str, Any]],
    new: Sequence[dict[str, Any]],
) -> End:
    """Chain those that are new. Raises Conflict, Duplicate."""
    seq, mac = end.seq, end.mac
    chained: list[dict[str, Any]] = []
    for row in new:
        seq += 1
        mac = seal.sign(link(mac, seq, str(row.get("seal"))))
        chained.append({**row, "seq": seq, "mac": mac})
    if await uow.remove(WaitingRow, {"_id": _ids(rows)}) < len(rows):
        raise Conflict
    await uow.put(AuditRow, chained)
    return End(seq, mac, await _anchored(uow, seal, end.anchor, seq, mac))


def _ids(rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(row["_id"] for row in rows)


async def _anchored(
    uow: UnitOfWork, seal: Seal, before: Anchor | None, seq: int, mac: str
) -> Anchor:
    """Raises Conflict if somebody else has moved it, Duplicate."""
    signed = seal.sign(f"{seq}:{mac}".encode())
    if before is None:
        now = uow.now
        first = Anchor(id=ANCHOR, created_at=now, updated_at=now, seq=seq, mac=mac, seal=signed)
        await uow.add(first)
        return first
    unmoved = {"seq": before.seq, "mac": before.mac}
    moved = await uow.change(Anchor, ANCHOR, only_if=unmoved, seq=seq, mac=mac, seal=signed)
    if moved is None:
        raise Conflict
    return moved


async def _end(uow: UnitOfWork, seal: Seal) -> End:
    """The number and the seal to go on from are the anchor's: whatever the rows say, they
    may have been cut or added to, and then the next link shows it."""
    anchor = await uow.find(Anchor, {"_id": ANCHOR})
    genuine = anchor is not None and seal.fits(anchor.head.encode(), anchor.seal)
    kept = (anchor.seq, anchor.mac) if anchor and genuine else (0, BEGINNING)
    last = await uow.find(AuditRow, {"seq": {"$gte": max(1, kept[0])}}, (("seq", -1),))
    if last is None and kept[0]:
        last = await uow.find(AuditRow, CHAINED, (("seq", -1),))
    there = (last.seq, last.mac) if last else (0, BEGINNING)
    if anchor is None and last is None:
        return End(0, BEGINNING, None)
    if kept != there:
        await alert(
            uow,
            "trail_broken",
            f"{kept[0]}",
            f"The audit trail ends at row {there[0]}, and its anchor says {kept[0]}: somebody has "
            "changed the database. `server audit` tells more.",
        )
    return End(max(kept[0], there[0]), kept[1], anchor)


# -- proving ---------------------------------------------------------------------------------


async def prove(ports: Ports, noted: str | None = None) -> Proof:
    """Read the whole trail again. `noted` is a head that was written down elsewhere, before.

    Raises Invalid if it is no head.
    """
    noted_seq, noted_mac = _noted(noted) if noted else (0, "")
    proof, uow, seal = Proof(findings=[]), ports.store.single(), ports.seal
    anchor = await uow.find(Anchor, {"_id": ANCHOR})
    seq, mac = 0, BEGINNING
    async for document in uow.documents(AuditRow, CHAINED, (("seq", 1),)):
        proof.rows += 1
        row = _checked(AuditRow, document, seal, proof)
        number, own = document["seq"], str(document.get("mac"))
        if not isinstance(number, int) or number <= seq:
            proof.add("its number is none, or another row's", document["_id"])
            continue
        if number > seq + 1:
            proof.add("rows are missing", f"{seq + 1} to {number - 1}")
        if row and not seal.fits(link(mac, number, row.seal), own):
            proof.add("edited, moved, or behind a missing row", row.id)
        seq, mac = number, own
        if noted_seq == seq and noted_mac != mac:
            proof.add("is not what was noted", document["_id"])
        if anchor and anchor.seq == seq and anchor.mac != mac:
            proof.add("is not what the anchor says", document["_id"])
    proof.head = f"{seq}:{mac}"
    if noted_seq > seq:
        proof.add("the noted end is missing", noted_seq)
    await _check_end(uow, seal, proof, anchor, seq)
    await _check_waiting(uow, seal, proof)
    return proof


def _noted(head: str) -> tuple[int, str]:
    match = HEAD.fullmatch(head)
    if match is None:
        raise Invalid("head: give it as it was printed, SEQ:MAC.", field="head")
    return int(match[1]), match[2]


def _checked(kind: type[R], document: dict[str, Any], seal: Seal, proof: Proof) -> R | None:
    """The row, if it is what was written."""
    try:
        row = documents.record(kind, dict(document))
    except (msgspec.ValidationError, KeyError):
        proof.add("cannot be read", document["_id"])
        return None
    if not seal.fits(row.content, row.seal):
        proof.add("edited, or not written by us", row.id)
        return None
    return row


async def _check_end(
    uow: UnitOfWork, seal: Seal, proof: Proof, anchor: Anchor | None, seq: int
) -> None:
    """The chain may have grown since the anchor was read, and then goes on behind it."""
    if anchor is None:
        if seq and await uow.find(Anchor, {"_id": ANCHOR}) is None:
            proof.add("the anchor is missing", ANCHOR)
    elif not seal.fits(anchor.head.encode(), anchor.seal):
        proof.add("the anchor is edited", ANCHOR)
    elif anchor.seq > seq:
        proof.add("the end of the trail is missing", f"{seq + 1} to {anchor.seq}")
    elif anchor.seq < seq:
        now = await uow.find(Anchor, {"_id": ANCHOR})
        if now is None or now.seq < seq:
            proof.add("the trail does not end at its anchor", anchor.seq)


async def _check_waiting(uow: UnitOfWork, seal: Seal, proof: Proof) -> None:
    """What is to be chained next, and what never would be."""
    async for document in uow.documents(WaitingRow, {}, OLDEST):
        row = _checked(WaitingRow, document, seal, proof)
        if row and row.created_at < uow.now - UNCHAINED_AFTER:
            proof.add("is not chained after minutes", row.id)
    async for document in uow.documents(AuditRow, {"$nor": [CHAINED]}, OLDEST, SHOWN):
        proof.add("its number is none, or another row's", document["_id"])


async def prove_daily(ports: Ports) -> None:
    """Administrators learn of it although nobody has asked."""
    proof = await prove(ports)
    if not proof.count:
        return
    first = proof.findings[0]
    await ports.store.transact(
        lambda uow: alert(
            uow,
            "trail_broken",
            first.subject,
            f"The audit trail is not what was written, in {proof.count} places; the first: "
            f"{first.subject}, {first.what}. `server audit` tells more.",
        )
    )


async def head(ports: Ports) -> str:
    """The end of the chain as it is now, `seq:mac`."""
    anchor = await ports.store.single().find(Anchor, {"_id": ANCHOR})
    return anchor.head if anchor else f"0:{BEGINNING}"


# -- reading ---------------------------------------------------------------------------------


class List(Command, frozen=True):
    """`operation` such as `admin.refund`; `subject` is the id of what was changed; `since` a time
    with its zone."""

    actor_id: Id | None = None
    operation: Id | None = None
    subject: Id | None = None
    since: Moment | None = None
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
    where: dict[str, Any] = {name: value for name, value in given.items() if value}
    if cmd.since:
        earliest = documents.first_id(AuditRow.PREFIX, cmd.since)
        where |= {"created_at": {"$gte": cmd.since}, "_id": {"$gte": earliest}}
    # What is chained between these two is seen twice, never missed. There are few that wait.
    pages = [
        await uow.page(kind, where, cursor=cmd.cursor, limit=cmd.limit)
        for kind in (WaitingRow, AuditRow)
    ]
    rows = {row.id: row for page in pages for row in page.items}
    shown = [rows[id] for id in sorted(rows, reverse=True)[: cmd.limit]]
    more = len(rows) > cmd.limit or any(page.next_cursor for page in pages)
    next_cursor = documents.cursor({"id": shown[-1].id}, NEWEST) if more else None
    return Page([_deed(row) for row in shown], next_cursor)


def _deed(row: WaitingRow) -> Deed:
    seq = row.seq if isinstance(row, AuditRow) else None
    return Deed(
        row.id,
        row.created_at,
        seq,
        row.actor_id,
        row.role,
        row.operation,
        row.request_id,
        row.address,
        row.subjects,
        msgspec.json.decode(row.detail),
    )
