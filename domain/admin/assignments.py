"""Who looks after what: one administrator for each alert, dispute, report, chargeback, difference
or dead letter. An assignment says so to the others, and permits nothing."""

from typing import Annotated, Any

from msgspec import Meta as Limits

from domain.accounts.user import User
from domain.chat.reports import Report
from domain.deals.chargeback import Chargeback
from domain.disputes.dispute import Dispute
from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.documents import given
from domain.kernel.errors import Invalid, NotFound, Rule
from domain.kernel.fields import about
from domain.kernel.outbox import Event, Numbering, OutboxRow
from domain.kernel.record import Index, Page, Record
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import AlertRecord
from domain.operations.command import Command, Cursor, Id, OptionalReason, PageSize, Style
from domain.operations.operation import operation
from domain.reconciliation.book_difference import BookDifference
from domain.reconciliation.foreign_lines import ForeignLine
from domain.reconciliation.ownerless_money import OwnerlessMoney

ASSIGNABLE: tuple[type[Record], ...] = (
    AlertRecord,
    Dispute,
    Report,
    Chargeback,
    BookDifference,
    OwnerlessMoney,
    ForeignLine,
    OutboxRow,
)

Ids = Annotated[tuple[Id, ...], Limits(min_length=1, max_length=100)]


class Assignment(Record, frozen=True):
    """The administrator who looks after `subject`; the id is made of the subject's."""

    COLLECTION = "assignments"
    PREFIX = "asg"
    INDEXES = (Index((("assignee_id", 1), ("_id", -1))),)

    subject: Annotated[str, about("The id of what is looked after.")]
    assignee_id: Annotated[
        str | None, about("The id of the administrator; null if it is no longer assigned.")
    ]
    assignee_name: Annotated[str, about("The name of the administrator; empty if there is none.")]
    by: Annotated[str, about("The id of the administrator who assigned it.")]


UPDATED = Event(
    "/admin",
    "assignment.updated",
    Assignment,
    Numbering.NEVER,
    about="When an administrator takes or gives work, to all administrators. `admin.assignments` "
    "has those that were missed.",
)


class Assign(Command, frozen=True):
    subject: Annotated[
        Id,
        about(
            "The id of an alert, a dispute, a report, a chargeback, a difference or a dead letter."
        ),
    ]
    to: Annotated[Id | None, about("The id of the administrator; null to unassign it.")]
    reason: OptionalReason = None


class List(Command, frozen=True):
    """All that is assigned, or what is assigned to one, or who looks after some things."""

    assignee_id: Annotated[Id | None, about("Only what this administrator looks after.")] = None
    subjects: Annotated[Ids | None, about("Only what has these ids.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 100


@operation("admin.assign", roles=ADMINS, errors=(NotFound,))
async def assign(cmd: Assign, actor: Actor, uow: UnitOfWork) -> Assignment:
    """Say who looks after something. Raises NotFound, and Invalid if it cannot be assigned."""
    kinds = [kind for kind in ASSIGNABLE if cmd.subject.startswith(f"{kind.PREFIX}_")]
    if not kinds:
        raise Invalid("this cannot be assigned.", field="subject", rule=Rule.VALUE)
    await uow.get(kinds[0], cmd.subject)
    assignee = await uow.get(User, cmd.to, role=Role.ADMIN, deleted_at=None) if cmd.to else None
    fields: dict[str, Any] = {
        "assignee_id": assignee.id if assignee else None,
        "assignee_name": assignee.name if assignee else "",
        "by": actor.id,
    }
    id = _id_of(cmd.subject)
    done = await uow.change(Assignment, id, **fields)
    if done is None:
        done = uow.new(Assignment, id=id, subject=cmd.subject, **fields)
        await uow.add(done)
    uow.publish(UPDATED, done, room=role_room(Role.ADMIN))
    return done


@operation("admin.assignments", roles=ADMINS, style=Style.READ, audited=False)
async def assignments(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[Assignment]:
    """Who looks after what, the newest subjects of each kind first."""
    where = given(assignee_id=cmd.assignee_id)
    if cmd.subjects:
        where["_id"] = tuple(_id_of(subject) for subject in cmd.subjects)
    if cmd.assignee_id is None:
        where["assignee_id"] = {"$gt": ""}
    return await uow.page(Assignment, where, cursor=cmd.cursor, limit=cmd.limit)


async def unassign(uow: UnitOfWork, subject: str) -> None:
    """End the assignment of what is done."""
    await uow.remove(Assignment, {"_id": _id_of(subject)})


def _id_of(subject: str) -> str:
    return f"{Assignment.PREFIX}_{subject}"
