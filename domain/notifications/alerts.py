"""Alerts to administrators: problems that need their attention."""

import msgspec

from domain.accounts.user import User
from domain.kernel.actor import Role
from domain.kernel.outbox import Event
from domain.kernel.store import UnitOfWork

ALERT = Event("/admin", "alert")
MAX_ADMINS = 100


class Alert(msgspec.Struct, frozen=True):
    """`kind` is a code such as `refund_failed`, `subject` the id of the object it is about.

    An alert that is not `urgent` needs no action: it is listed, and not mailed.
    """

    kind: str
    subject: str
    message: str
    urgent: bool = True


async def alert(
    uow: UnitOfWork, kind: str, subject: str, message: str, *, urgent: bool = True
) -> None:
    """Publish an alert in the feed of each administrator, the newest `MAX_ADMINS` of them."""
    admins = await uow.all(User, {"role": Role.ADMIN}, (("_id", -1),), MAX_ADMINS)
    uow.publish(ALERT, Alert(kind, subject, message, urgent), to=[admin.id for admin in admins])
