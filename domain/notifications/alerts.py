"""Alerts to administrators: problems that need their attention.

An alert is a record, so that administrators see those from before their time, and each is closed
once. Everybody also has it in the own feed. A problem that occurs again while its alert is open
counts there.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from domain.accounts.user import User
from domain.kernel.actor import Role
from domain.kernel.fields import about
from domain.kernel.outbox import Event, Numbering
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork

MAX_ADMINS = 100

Kind = Annotated[str, about("What happened, such as refund_failed.")]
Subject = Annotated[str, about("The id of what it is about.")]
Message = Annotated[str, about("What happened and what to do, for a person.")]
Urgent = Annotated[bool, about("Whether somebody has to act.")]


class Alert(msgspec.Struct, frozen=True):
    """A problem that administrators should know of.

    An alert that is not `urgent` needs no action: it is listed, and not mailed.
    """

    kind: Kind
    subject: Subject
    message: Message
    urgent: Urgent = True
    id: Annotated[str, about("The id of the alert, for `admin.alert_close`.")] = ""


class AlertRecord(Record, frozen=True):
    """An alert as it is kept. It is open until an administrator closes it, if it is urgent."""

    COLLECTION = "alerts"
    PREFIX = "alr"
    INDEXES = (
        Index((("open", 1), ("_id", -1))),
        Index((("kind", 1), ("_id", -1))),
        Index((("subject", 1), ("_id", -1))),
    )

    kind: Kind
    subject: Subject
    message: Message
    urgent: Urgent
    open: Annotated[bool, about("Whether it is still to be closed; false if it is not urgent.")]
    last_at: Annotated[datetime, about("When it last occurred.")]
    count: Annotated[int, about("How often it occurred while it was open.")] = 1
    closed_by: Annotated[
        str | None, about("The id of the administrator who closed it; null if none did.")
    ] = None
    closed_at: Annotated[datetime | None, about("When it was closed; null if it was not.")] = None
    close_reason: Annotated[str, about("Why it was closed; empty if it was not.")] = ""


ALERT = Event(
    "/admin",
    "alert",
    Alert,
    about="When something happened that administrators should know of, to all administrators.",
)
ALERT_UPDATED = Event(
    "/admin",
    "alert.updated",
    AlertRecord,
    Numbering.NEVER,
    about="When an alert was closed, to all administrators. `admin.alerts` has those that were "
    "missed.",
)


async def alert(
    uow: UnitOfWork, kind: str, subject: str, message: str, *, urgent: bool = True
) -> None:
    """Keep an alert, and publish it in the feed of each administrator, the newest `MAX_ADMINS` of
    them."""
    id = await _keep(uow, kind, subject, message, urgent)
    admins = await uow.all(User, {"role": Role.ADMIN}, (("_id", -1),), MAX_ADMINS)
    data = Alert(kind, subject, message, urgent, id)
    uow.publish(ALERT, data, to=[admin.id for admin in admins])


async def _keep(uow: UnitOfWork, kind: str, subject: str, message: str, urgent: bool) -> str:
    """The id of the record, which is an open one of the same problem, or new."""
    same = await uow.find(AlertRecord, {"subject": subject, "kind": kind, "open": True})
    if same:
        await uow.change(AlertRecord, same.id, inc={"count": 1}, message=message, last_at=uow.now)
        return same.id
    new = uow.new(
        AlertRecord,
        kind=kind,
        subject=subject,
        message=message,
        urgent=urgent,
        open=urgent,
        last_at=uow.now,
    )
    await uow.add(new)
    return new.id
