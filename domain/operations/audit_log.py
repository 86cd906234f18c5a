"""The audit log: who changed or read what. A row is committed together with the change itself.

Each row is sealed when it is written. Soon after it gets a number and a place in the hash chain,
see `audit_trail/hash_chain.py`; chaining within the transactions would serialise all commands. So a
row is written twice and never changed: first to a collection of waiting rows, which costs a command
little, then to the log with its indexes.

Secrets and chat texts are left out. Personal data must not outlive its account, and rows cannot be
changed, so the log keeps only keyed digests of it. A digest shows whether it was a given value.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from domain.kernel.bounds import Bounded
from domain.kernel.record import Change, Index, Record
from domain.kernel.store import UnitOfWork, new_id
from domain.operations.command import Command
from domain.ports.ports import Seal

ALWAYS_CHANGE = frozenset({"version", "updated_at", "_id"})
MAX_VALUE_BYTES = 4000  # of one value as JSON; of longer values only a digest is stored


class WaitingRow(Record, frozen=True):
    """One command, or one read by an administrator, that waits for its place in the chain.

    `detail` is JSON: the command's `fields`, and the `changes` with the values before and after.
    `subjects` are the ids of the records that it is about. `seal` covers all other content.
    """

    COLLECTION = "audit_waiting"
    PREFIX = "aud"
    ENCRYPTED = frozenset({"address", "detail"})

    actor_id: str | None
    role: str | None
    session_id: str | None
    operation: str
    request_id: str | None
    address: str
    subjects: Annotated[tuple[str, ...], Bounded(5000)]
    detail: str
    seal: str = ""

    @property
    def content(self) -> bytes:
        """The sealed fields in a canonical form."""
        fields = {name: getattr(self, name) for name in SEALED_FIELDS}
        return msgspec.json.encode(fields, order="deterministic")


SEALED_FIELDS = tuple(
    name for name in WaitingRow.__struct_fields__ if name not in ("version", "updated_at", "seal")
)


class AuditRow(WaitingRow, frozen=True, kw_only=True):
    """A row in the chain: `seq` is its number, and `mac` binds it to the row before."""

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
    """The content of a row besides the changes. `command` declares the fields to leave out."""

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
    """Write the row of an entry with the changes that the unit of work has made so far."""
    changes = [change for change in uow.changes if change.kind.LOGGED]
    await uow.add(sealed_row(new_id(WaitingRow.PREFIX), uow.now, seal, entry, changes, subjects))


def sealed_row(
    id: str,
    now: datetime,
    seal: Seal,
    entry: AuditEntry,
    changes: Iterable[Change],
    subjects: Iterable[str] = (),
) -> WaitingRow:
    """Build the row of an entry. A caller that may write it twice gives it the same `id`."""
    changes = list(changes)
    fields = entry.fields if isinstance(entry.fields, Mapping) else {}
    detail = {
        "fields": _loggable(seal, entry.command, fields),
        "changes": [_logged_change(seal, change) for change in changes],
    }
    ids = dict.fromkeys([*subjects, *(str(change.after["_id"]) for change in changes)])
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
    if len(text) <= MAX_VALUE_BYTES:
        return value
    return {"digest": hashlib.sha256(text).hexdigest(), "length": len(text)}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | datetime)
