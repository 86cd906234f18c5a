"""Alerts: what an administrator has to know and perhaps do something about."""

import msgspec

from domain.accounts.user import User
from domain.kernel.actor import Role
from domain.kernel.outbox import Event
from domain.kernel.store import UnitOfWork

ALERT = Event("/admin", "alert")
MAX_ADMINS = 100


class Alert(msgspec.Struct, frozen=True):
    """`kind` is a word such as `refund_failed`, `subject` the id of what it is about.

    What is not `urgent` needs nobody to act: it is listed, and not mailed.
    """

    kind: str
    subject: str
    message: str
    urgent: bool = True


async def alert(
    uow: UnitOfWork, kind: str, subject: str, message: str, *, urgent: bool = True
) -> None:
    """Tell every administrator, in their feeds."""
    admins = await uow.all(User, {"role": Role.ADMIN}, (("_id", -1),), MAX_ADMINS)
    uow.publish(ALERT, Alert(kind, subject, message, urgent), to=[admin.id for admin in admins])
