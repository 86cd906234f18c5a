"""Names in other records, so that a list shows them without a query for each.

Decision: a changed name is written into these records by a task, as a deleted one is. Until that is
done, each process shows it from memory (`kernel/recent_names.py`). Looking all names up when a
record is read was rejected: every answer, push and export would depend on a cache that must always
be right on every process; this one has to be for minutes after a change only.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from domain.accounts.user import User
from domain.chat.conversation import Conversation
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.disputes.dispute import Dispute
from domain.jobs.applications import Application
from domain.jobs.job import Job
from domain.kernel.actor import Role
from domain.kernel.outbox import Lane
from domain.kernel.recent_names import Renamed
from domain.kernel.record import Change, Record
from domain.kernel.store import UnitOfWork
from domain.operations.task import Task
from domain.ports.ports import Ports

REPEAT_AFTER = timedelta(minutes=2)  # longer than a transaction can stay open
COPIES: Mapping[Role, tuple[type[Record], ...]] = {
    Role.CUSTOMER: (Job, Offer, Payment, Dispute),
    Role.CONTRACTOR: (Application, Offer, Payment, Dispute),
}


class CopyName(Task, frozen=True, tag="copy_name"):
    """Copy a changed name. Runs twice: the second time for records that were created at the same
    moment under the old name."""

    lane = Lane.NOTICE

    user_id: str

    async def run(self, ports: Ports) -> None:
        """A run for an earlier change may end later, so each copies until the name stands."""
        uow, copied = ports.store.single(), None
        while (user := await uow.get(User, self.user_id)).name != copied:
            await copy_name(uow, user)
            copied = user.name


async def copy_name(uow: UnitOfWork, user: User) -> None:
    """Write the name of a user into the records that hold another one."""
    side = user.role.value
    renamed: dict[str, Any] = {f"{side}_name": user.name}
    for kind in COPIES.get(user.role, ()):
        other = {f"{side}_id": user.id, f"{side}_name": {"$ne": user.name}}
        await uow.change_all(kind, other, **renamed)
    name = f"names.{user.id}"
    names: dict[str, Any] = {name: user.name}
    await uow.change_all(Conversation, {"members": user.id, name: {"$ne": user.name}}, **names)


def renamed_users(changes: Iterable[Change]) -> Iterator[Renamed]:
    """Those whose names were changed, deleted users included."""
    for change in changes:
        if change.kind is User and change.before and change.before["name"] != change.after["name"]:
            yield Renamed(change.after["_id"], change.after["version"], change.after["name"])


def queue_name_copies(uow: UnitOfWork) -> None:
    """Queue a `CopyName` for each user whose name changed, but not for deleted ones, of whom
    `EraseCopies` takes care. Called before each commit."""
    deleted = {change.after["_id"] for change in uow.changes if change.after.get("deleted_at")}
    for renamed in renamed_users(uow.changes):
        if renamed.user_id not in deleted:
            copy = CopyName(renamed.user_id)
            uow.later(copy)
            uow.later(copy, at=uow.now + REPEAT_AFTER)
