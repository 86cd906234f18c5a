"""Verifies the hash chain of the audit trail and reports what was changed, moved or removed."""

import re
from datetime import timedelta
from typing import Annotated, Any

import msgspec

from domain.audit_trail.hash_chain import ANCHOR, BEGINNING, CHAINED, OLDEST, SHOWN, Anchor, R, link
from domain.kernel.errors import Invalid, Rule
from domain.kernel.field_codec import UndecipherableField
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.operations.audit_log import AuditRow, WaitingRow
from domain.ports.ports import Ports, Seal

UNCHAINED_AFTER = timedelta(minutes=5)
HEAD = re.compile(r"(\d{1,18}):(\S*)")


class Finding(msgspec.Struct, frozen=True):
    """A problem in the trail, and the number or row where it is."""

    what: Annotated[str, about("What is wrong.")]
    subject: Annotated[str, about("The number or the row where it is.")]


class Verification(msgspec.Struct):
    """The number of rows read, the head `seq:mac`, the number of findings, and the first of
    them."""

    rows: int = 0
    head: str = ""
    count: int = 0
    findings: list[Finding] = []

    def add(self, what: str, subject: object) -> None:
        self.count += 1
        if len(self.findings) < SHOWN:
            self.findings.append(Finding(what, str(subject)))


async def verify(ports: Ports, noted: str | None = None) -> Verification:
    """Read and check the whole trail. `noted` is a head that was recorded elsewhere before.

    Raises Invalid if `noted` is no head.
    """
    noted_seq, noted_mac = _parse_head(noted) if noted else (0, "")
    proof, uow, seal = Verification(findings=[]), ports.store.single(), ports.seal
    anchor = await uow.find(Anchor, {"_id": ANCHOR})
    seq, mac = 0, BEGINNING
    async for document in uow.documents(AuditRow, CHAINED, (("seq", 1),)):
        proof.rows += 1
        row = _read_row(uow, AuditRow, document, seal, proof)
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


def _parse_head(head: str) -> tuple[int, str]:
    match = HEAD.fullmatch(head)
    if match is None:
        raise Invalid("give this as it was printed, SEQ:MAC.", field="head", rule=Rule.FORMAT)
    return int(match[1]), match[2]


def _read_row(
    uow: UnitOfWork, kind: type[R], document: dict[str, Any], seal: Seal, proof: Verification
) -> R | None:
    """The row, or None with a finding if it cannot be read or was edited."""
    try:
        row = uow.record(kind, dict(document))
    except (msgspec.ValidationError, KeyError):
        proof.add("cannot be read", document["_id"])
        return None
    except UndecipherableField:
        row = None
    if row and seal.fits(row.content, row.seal):
        return row
    proof.add("edited, or not written by us", document["_id"])
    return None


async def _check_end(
    uow: UnitOfWork, seal: Seal, proof: Verification, anchor: Anchor | None, seq: int
) -> None:
    """Compare the last row with the anchor; the chain may have grown since that was read."""
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


async def _check_waiting(uow: UnitOfWork, seal: Seal, proof: Verification) -> None:
    """Check the rows that are not chained yet, and rows with an invalid number."""
    async for document in uow.documents(WaitingRow, {}, OLDEST):
        row = _read_row(uow, WaitingRow, document, seal, proof)
        if row and row.created_at < uow.now - UNCHAINED_AFTER:
            proof.add("is not chained after minutes", row.id)
    async for document in uow.documents(AuditRow, {"$nor": [CHAINED]}, OLDEST, SHOWN):
        proof.add("its number is none, or another row's", document["_id"])


async def alert_of(uow: UnitOfWork, proof: Verification) -> None:
    """Alert the administrators that the trail was changed."""
    first = proof.findings[0]
    await alert(
        uow,
        "trail_broken",
        first.subject,
        f"The audit trail is not what was written, in {proof.count} places; the first: "
        f"{first.subject}, {first.what}. `server audit` reports the details.",
    )
