"""The audit trail: who did what to what. A row is written with what it tells of, or neither is.

Each row is sealed as it is written, and soon numbered and bound into the chain, see `chain.py`: a
chain inside the transactions would make every command wait for every other. So it is written twice,
and never changed: first into a collection of what waits, which costs a command next to nothing,
then into the book itself with its indexes. Secrets and what is said in
chats are left out. What says who somebody is cannot stay when they delete their account, and rows
cannot be changed: of that only a keyed digest is kept, which shows whether it was a given value.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from domain.kernel.record import Change, Index, Record
from domain.kernel.store import UnitOfWork, new_id
from domain.operations.command import Command
from domain.ports.ports import Seal

ALWAYS_CHANGE = frozenset({"version", "updated_at", "_id"})
LONGEST = 4000  # characters of one value; longer ones are kept as their digest


class WaitingRow(Record, frozen=True):
    """One command, or one look by an administrator. `detail` is JSON: the command's `fields`, and
    the `changes` with their values before and after. `subjects` are the ids of what changed.

    `seal` is over all of that.
    """

    COLLECTION = "audit_waiting"
    PREFIX = "aud"

    actor_id: str | None
    role: str | None
    session_id: str | None
    operation: str
    request_id: str | None
    address: str
    subjects: tuple[str, ...]
    detail: str
    seal: str = ""

    @property
    def content(self) -> bytes:
        """All that the row tells, always in the same words."""
        told = {name: getattr(self, name) for name in SEALED_FIELDS}
        return msgspec.json.encode(told, order="deterministic")


SEALED_FIELDS = tuple(
    name for name in WaitingRow.__struct_fields__ if name not in ("version", "updated_at", "seal")
)


class AuditRow(WaitingRow, frozen=True, kw_only=True):
    """A row in its place: `seq` is its number, `mac` binds it to the one before."""

    COLLECTION = "audit"
    INDEXES = (
        Index((("seq", 1),), unique=True, where={"seq": {"$gt": 0}}),
        Index((("actor_id", 1), ("_id", -1))),
        Index((("operation", 1), ("_id", -1))),
        Index((("subjects", 1), ("_id", -1))),
    )

    seq: int
    mac: str


class AuditEntry(msgspec.Struct, frozen=True):
    """What a row says besides the changes. `command` declares which `fields` are left out."""

    operation: str
    fields: Any
    command: type[Command] = Command
    actor_id: str | None = None
    role: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    address: str = ""


async def record(
    uow: UnitOfWork, seal: Seal, entry: AuditEntry, subjects: Iterable[str] = ()
) -> None:
    """Write the row of a deed, with all that this unit of work has changed until now."""
    told = [change for change in uow.changes if change.kind.LOGGED]
    await uow.add(sealed_row(new_id(WaitingRow.PREFIX), uow.now, seal, entry, told, subjects))


def sealed_row(
    id: str,
    now: datetime,
    seal: Seal,
    entry: AuditEntry,
    changes: Iterable[Change],
    subjects: Iterable[str] = (),
) -> WaitingRow:
    """The row of a entry. For whoever has to be able to write it twice, `id` is given."""
    told = list(changes)
    fields = entry.fields if isinstance(entry.fields, Mapping) else {}
    detail = {
        "fields": _loggable(seal, entry.command, fields),
        "changes": [_logged_change(seal, change) for change in told],
    }
    ids = dict.fromkeys([*subjects, *(str(change.after["_id"]) for change in told)])
    row = WaitingRow(
        id=id,
        created_at=now,
        updated_at=now,
        actor_id=entry.actor_id,
        role=entry.role,
        session_id=entry.session_id,
        operation=entry.operation,
        request_id=entry.request_id,
        address=entry.address,
        subjects=tuple(ids),
        detail=msgspec.json.encode(detail).decode(),
    )
    return msgspec.structs.replace(row, seal=seal.sign(row.content))


def _logged_change(seal: Seal, change: Change) -> dict[str, Any]:
    """The fields that differ, before and after; a new document has no before."""
    kind, before, after = change.kind, change.before or {}, change.after
    names = [
        name for name in after if name not in ALWAYS_CHANGE and before.get(name) != after[name]
    ]
    return {
        "collection": kind.COLLECTION,
        "id": after["_id"],
        "version": after["version"],
        "before": _loggable(seal, kind, {n: before.get(n) for n in names}) if before else None,
        "after": _loggable(seal, kind, {n: after[n] for n in names}),
    }


def _loggable(
    seal: Seal, kind: type[Record] | type[Command], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields that `kind` lets into the log, personal and long values as digests."""
    return {
        name: _digest(seal, value) if name in kind.PERSONAL else _shortened(value)
        for name, value in fields.items()
        if name not in kind.UNLOGGED
    }


def _digest(seal: Seal, value: Any) -> Any:
    if _is_plain(value):
        return value
    return {"sealed": seal.sign(msgspec.json.encode(value))}


def _shortened(value: Any) -> Any:
    if _is_plain(value):
        return value
    text = msgspec.json.encode(value)
    if len(text) <= LONGEST:
        return value
    return {"digest": hashlib.sha256(text).hexdigest(), "length": len(text)}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | datetime)
