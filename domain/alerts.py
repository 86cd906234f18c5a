"""Alerts: what an administrator has to know and perhaps do something about."""

import msgspec

from domain.accounts import User
from domain.operation import Role
from domain.outbox import Event
from domain.store import UnitOfWork

ALERT = Event("/admin", "alert")
MAX_ADMINS = 100


class Alert(msgspec.Struct, frozen=True):
    """`kind` is a word such as `refund_failed`, `subject` the id of what it is about."""

    kind: str
    subject: str
    message: str


async def alert(uow: UnitOfWork, kind: str, subject: str, message: str) -> None:
    """Tell every administrator, in their feeds."""
    admins = await uow.all(User, {"role": Role.ADMIN}, (("_id", -1),), MAX_ADMINS)
    uow.publish(ALERT, Alert(kind, subject, message), to=[admin.id for admin in admins])
