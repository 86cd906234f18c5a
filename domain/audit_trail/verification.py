"""Verifies the hash chain of the audit trail and reports what was changed, moved or removed."""

import re
from datetime import timedelta
from typing import Any

import msgspec

from domain.audit_trail.hash_chain import ANCHOR, BEGINNING, CHAINED, OLDEST, SHOWN, Anchor, R, link
from domain.kernel import documents
from domain.kernel.errors import Invalid
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.operations.audit_log import AuditRow, WaitingRow
from domain.ports.ports import Ports, Seal

UNCHAINED_AFTER = timedelta(minutes=5)
HEAD = re.compile(r"(\d{1,18}):(\S*)")


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
