"""The audit rows of what the platform does by itself: from a task, a job or an event of Stripe.

A command leaves a row with all that it changed. A transaction without one that books money gets a
row for each booking, such as `platform.captured`; one that only moves the state of a deal gets one,
such as `platform.offer_expired`. The row says what caused it, and is found by the id of Stripe's
event and of the task's outbox row, too.

Decision: the rows are made from the changes of the transaction when it is committed. A call beside
each booking would be forgotten at the next one.
"""

from collections.abc import Iterator

import msgspec

from domain.kernel.record import Change
from domain.kernel.store import UnitOfWork, new_id
from domain.operations.audit_log import AuditEntry, WaitingRow, sealed_row
from domain.operations.cause import current_cause
from domain.ports.ports import Seal

REFERENCES = ("offer_id", "withdrawal_id")
Deed = tuple[str, list[Change]]


def queue_own_deeds(uow: UnitOfWork, seal: Seal) -> list[WaitingRow]:
    """The rows of a transaction that no command has audited."""
    if any(change.kind is WaitingRow for change in uow.changes):
        return []
    cause = current_cause()
    fields = msgspec.to_builtins(cause)
    rows = []
    for name, changes in own_deeds(uow.changes):
        entry = AuditEntry(operation=f"platform.{name}", fields=fields)
        named = [change.after.get(field) for change in changes for field in REFERENCES]
        about = [id for id in (cause.event, cause.row, *named) if id]
        rows.append(sealed_row(new_id(WaitingRow.PREFIX), uow.now, seal, entry, changes, about))
    return rows


def own_deeds(changes: list[Change]) -> Iterator[Deed]:
    """The deeds in the changes of one transaction, each with its changes.

    Of several bookings the first has all other changes with it.
    """
    logged = [change for change in changes if change.kind.LOGGED]
    bookings = [change for change in logged if change.kind.DEED == "kind"]
    others = [change for change in logged if change.kind.DEED != "kind"]
    for place, booking in enumerate(bookings):
        yield booking.after["kind"], [booking, *([] if place else others)]
    moved = next(filter(_moves, others), None)
    if moved and not bookings:
        yield f"{moved.kind.__name__.lower()}_{moved.after['status']}", others


def _moves(change: Change) -> bool:
    """Whether a record of a deal has another state afterwards."""
    return (
        change.kind.DEED == "status"
        and (change.before or {}).get("status") != change.after["status"]
    )
