"""The hash chain of the audit trail, which makes edits, moves and removals of rows detectable.

Each row has a number and a MAC over that number, its own seal and the MAC of the row before. The
last number and MAC are also stored outside the trail, in the anchor. The chain continues from the
anchor, so rows that were cut off the end leave a permanent gap. An attacker who can write to the
database but lacks the key cannot hide a change. A restored older state of the whole database is
detected by comparing the chain with a head that the log recorded.
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
REST = 10  # pause after a batch, as a multiple of its duration
SHOWN = 200
ANCHOR = "anchor"
BEGINNING = ""
CHAINED = {"seq": {"$gt": 0}}
OLDEST = (("_id", 1),)

R = TypeVar("R", bound=WaitingRow)


class Anchor(Record, frozen=True):
    """The end of the chain, stored apart from it; `seal` covers `seq` and `mac`."""

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
    """The number, MAC and anchor that the next row of the chain follows."""

    seq: int
    mac: str
    anchor: Anchor | None


async def extend(ports: Ports, rest: float = REST) -> int:
    """Chain the waiting rows; returns their number.

    One process runs it at a time. After each batch it pauses for `rest` times the batch's duration,
    so that commands are not slowed down; for one duration if READ or more rows wait.
    """
    done, end = 0, None
    while True:
        waiting = ports.store.single().documents(WaitingRow, {}, OLDEST, READ)
        rows = [row async for row in waiting]
        for start in range(0, len(rows), BATCH):
            began = time.monotonic()
            part = rows[start : start + BATCH]
            try:
                if end is None:
                    end = await ports.store.transact(partial(_read_end, seal=ports.seal))
                end = await _chain_rows(ports, part, end)
            except Conflict:  # another process is extending the chain
                return done
            done += len(part)
            took = time.monotonic() - began
            await asyncio.sleep(took * (min(1, rest) if len(rows) == READ else rest))
        if len(rows) < READ:
            return done


async def _chain_rows(ports: Ports, rows: Sequence[dict[str, Any]], end: End) -> End:
    """Add these rows to the chain. Raises Conflict if another process added some of them."""
    bind = partial(_write_links, seal=ports.seal, end=end, rows=rows)
    with contextlib.suppress(Duplicate):
        return await ports.store.transact(partial(bind, new=rows))
    # A crash left rows in both collections, or another process is extending the chain.
    there = ports.store.single().documents(AuditRow, {"_id": _ids(rows)}, OLDEST)
    known = {row["_id"] async for row in there}
    new = [row for row in rows if row["_id"] not in known]
    try:
        return await ports.store.transact(partial(bind, new=new))
    except Duplicate as there_first:
        raise Conflict from there_first


async def _write_links(
    uow: UnitOfWork,
    seal: Seal,
    end: End,
    rows: Sequence[dict[str, Any]],
    new: Sequence[dict[str, Any]],
) -> End:
    """Move the waiting rows, and chain the new ones. Raises Conflict, Duplicate."""
    seq, mac = end.seq, end.mac
    chained: list[dict[str, Any]] = []
    for row in new:
        seq += 1
        mac = seal.sign(link(mac, seq, str(row.get("seal"))))
        chained.append({**row, "seq": seq, "mac": mac})
    if await uow.remove(WaitingRow, {"_id": _ids(rows)}) < len(rows):
        raise Conflict
    await uow.put(AuditRow, chained)
    return End(seq, mac, await _move_anchor(uow, seal, end.anchor, seq, mac))


def _ids(rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(row["_id"] for row in rows)


async def _move_anchor(
    uow: UnitOfWork, seal: Seal, before: Anchor | None, seq: int, mac: str
) -> Anchor:
    """Move the anchor to the new end. Raises Conflict if another process moved it, Duplicate."""
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


async def _read_end(uow: UnitOfWork, seal: Seal) -> End:
    """The end to continue from: the anchor's. Rows may have been cut off or added, and then the
    next link shows it. Alerts the administrators if rows and anchor differ."""
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
            f"The audit trail ends at row {there[0]}, and its anchor says {kept[0]}: the database "
            "was changed. `server audit` reports the details.",
        )
    return End(max(kept[0], there[0]), kept[1], anchor)


async def head(ports: Ports) -> str:
    """The end of the chain as it is now, `seq:mac`."""
    anchor = await ports.store.single().find(Anchor, {"_id": ANCHOR})
    return anchor.head if anchor else f"0:{BEGINNING}"
