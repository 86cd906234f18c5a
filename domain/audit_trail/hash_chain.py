"""The chain over the audit trail: what was written can be neither edited, moved nor taken away.

Each row is numbered and sealed together with the seal of the row before it. The last one is also
kept outside of the trail as the anchor, and the chain goes on from there: what has been cut off
its end leaves a gap for good. Whoever can write to the database but has not the key can do none of
it unseen; whoever keeps the heads that the log tells is safe from those who put an older state of
the whole database back, too.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from domain.kernel.errors import Conflict
from domain.kernel.record import Record
from domain.kernel.store import Duplicate, UnitOfWork
from domain.notifications.alerts import alert
from domain.operations.audit_log import AuditRow, WaitingRow
from domain.ports.ports import Ports, Seal

READ, BATCH = 1000, 10
REST = 10  # times what a batch took
SHOWN = 200
ANCHOR = "anchor"
BEGINNING = ""
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
        first = uow.new(Anchor, id=ANCHOR, seq=seq, mac=mac, seal=signed)
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


async def head(ports: Ports) -> str:
    """The end of the chain as it is now, `seq:mac`."""
    anchor = await ports.store.single().find(Anchor, {"_id": ANCHOR})
    return anchor.head if anchor else f"0:{BEGINNING}"
